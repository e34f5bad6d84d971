import { type Evidence, type PeriodEntry } from './books.ts';
import type { UserFacts } from './facts.ts';
import { judgeClosings, judgeFeed } from './judge-events.ts';
import { judgeDouble, judgeMissing, judgeTimes } from './judge-rows.ts';
import { type Timeouts, UserCase } from './user-case.ts';
import type { World } from './world.ts';

export interface Violation {
  readonly kind: 'missing' | 'double' | 'stale';
  /** 0: of nobody in particular. */
  readonly userId: number;
  readonly text: string;
}

/** Holds SQL, Redis and the feed against what the clients know. */
export function judge(options: {
  readonly users: readonly UserFacts[];
  readonly evidence: Evidence;
  readonly world: World;
  readonly timeouts: Timeouts;
}): readonly Violation[] {
  const { users, evidence, world, timeouts } = options;
  const none: readonly PeriodEntry[] = [];
  const ofUsers = users.flatMap((facts) => {
    const { userId } = facts;
    const rows = evidence.periods.get(userId) ?? none;
    const of = new UserCase({ facts, rows, time: evidence.times.get(userId), world, timeouts });
    return [
      ...facts.complaints.map((text) => ({ kind: 'stale' as const, text })),
      ...judgeMissing(of),
      ...judgeDouble(of),
      ...judgeTimes(of),
      ...judgeClosings(of),
    ].map((judgement): Violation => ({ ...judgement, userId }));
  });
  return [
    ...ofUsers,
    ...judgeFeed(evidence.feed, evidence.periods, world),
    ...evidence.changes.map(
      (text): Violation => ({ kind: 'double', userId: Number(text.split(':')[0]), text }),
    ),
    ...evidence.leftovers.map((text): Violation => ({ kind: 'missing', userId: 0, text })),
  ];
}
