import type { Claim, Loss, RenewAnswer } from '../../../src/presence/store/port.ts';
import type { RedisPresenceStore } from '../../../src/presence/store/redis/store.ts';
import type { Known } from './commands.ts';
import type { TwoSides } from './two-sides.ts';

/** What the node itself knows. */
export interface NodeState {
  readonly node: string;
  readonly store: RedisPresenceStore;
  connection: number;
  run: string;
  /** The world of its newest renewal. */
  world: string | undefined;
  losses: readonly Loss[];
  rev: number;
  readonly marks: Map<number, string[]>;
  readonly newest: Map<number, Claim>;
}

/** The periods and epochs that nodes received, by user, in that order. */
export class Numbers {
  readonly #ofUsers = new Map<number, number[]>();

  of(userId: number): readonly number[] {
    return this.#ofUsers.get(userId) ?? [];
  }

  add(userId: number, numbers: readonly number[]): void {
    const known = this.#ofUsers.get(userId) ?? [];
    for (const number of numbers) if (!known.includes(number)) known.push(number);
    this.#ofUsers.set(userId, known);
  }
}

/** What a node uses for its next claim or request about a user. */
export function knownOf(
  node: NodeState,
  userId: number,
  { sides, numbers }: { readonly sides: TwoSides; readonly numbers: Numbers },
): Known {
  const record = sides.expected.world.records.get(userId);
  node.rev += 1;
  return {
    ...{ userId, node: node.node, rev: node.rev, wall: sides.now },
    ...{ numbers: numbers.of(userId), marks: node.marks.get(userId) ?? [] },
    ...{ period: record?.period ?? 0, loginTime: record?.loginTime ?? 0, epoch: record?.epoch ?? 0 },
    groups: record?.groups ?? '',
  };
}

/** Losses have no fixed order. */
export function inOrder(answer: RenewAnswer): RenewAnswer {
  return { ...answer, losses: [...answer.losses].sort((left, right) => left.userId - right.userId) };
}
