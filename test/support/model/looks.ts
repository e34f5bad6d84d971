import type { RedisPresenceStore } from '../../../src/presence/store/redis/store.ts';
import type { PeriodKey } from '../../../src/protocol/periods.ts';
import type { Dice } from './commands.ts';
import type { ExpectedRedis } from './expected-redis.ts';

/** The two sides of one call: what the scripts do, and what the rules expect. */
interface Sides<Answer> {
  readonly name: string;
  readonly redis: () => Promise<Answer>;
  readonly rules: (wall: number) => Answer;
}

interface Looker {
  readonly node: string;
  readonly store: RedisPresenceStore;
  readonly expected: ExpectedRedis;
  readonly users: readonly number[];
}

/** A call that changes nothing. */
export function lookAt(
  { node, store, expected, users }: Looker,
  what: 'read' | 'knows' | 'nodes',
  rows: readonly PeriodKey[],
): Sides<unknown> {
  const byName = (left: { node: string }, right: { node: string }): number =>
    left.node < right.node ? -1 : 1;
  return {
    name: what,
    redis: async () => {
      if (what === 'read') return store.read(users);
      if (what === 'knows') return store.knows(rows);
      return [...(await store.nodes.list())].sort(byName);
    },
    rules: (wall) => {
      if (what === 'read') return expected.read(node, users, wall);
      if (what === 'knows') return expected.knows(rows, wall);
      return [...expected.sightings(wall)].sort(byName);
    },
  };
}

/** A page of a group. */
export function pageOfGroup({ store, expected }: Looker, group: string, dice: Dice): Sides<unknown> {
  const page = { group, limit: dice.pick([1, 2, 10]), cursor: dice.pick([undefined, '11']) };
  return {
    name: `members ${JSON.stringify(page)}`,
    redis: () => store.groupPage(page),
    rules: () => expected.groupPage(page),
  };
}
