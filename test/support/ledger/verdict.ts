import type { DeletedRow, Evidence, PeriodEntry } from './books.ts';
import type { UserFacts } from './facts.ts';
import { rowsOfRefusedLogins } from './judge-deleted.ts';
import { judgeClosings, judgeFeed } from './judge-events.ts';
import { judgeDouble, judgeMissing, judgeTimes } from './judge-rows.ts';
import { type Timeouts, UserCase } from './user-case.ts';
import type { World } from './world.ts';

export interface Violation {
  readonly kind: 'missing' | 'double' | 'stale';
  /** 0: no single user. */
  readonly userId: number;
  readonly text: string;
}

/** Compares SQL, Redis and the feed with the facts of the clients. */
export function judge(options: {
  readonly users: readonly UserFacts[];
  readonly evidence: Evidence;
  readonly world: World;
  readonly timeouts: Timeouts;
}): readonly Violation[] {
  const { users, evidence, world, timeouts } = options;
  const none: readonly PeriodEntry[] = [];
  const excused = new Set<DeletedRow>();
  const ofUsers = users.flatMap((facts) => {
    const { userId } = facts;
    const rows = evidence.periods.get(userId) ?? none;
    const deleted = rowsOfRefusedLogins(facts, evidence, world);
    for (const row of deleted) excused.add(row);
    const of = new UserCase({ facts, rows, deleted, time: evidence.times.get(userId), world, timeouts });
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
    ...evidence.deleted
      .filter((row) => !excused.has(row))
      .map(({ userId, text }): Violation => ({ kind: 'double', userId, text })),
    ...evidence.leftovers.map((text): Violation => ({ kind: 'missing', userId: 0, text })),
  ];
}
