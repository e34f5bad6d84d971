import { expect } from 'vitest';
import { Aborted, eventually, sleep } from './ports.ts';
import { type Welcome, welcomeOf } from './presence-view.ts';
import { KNOWN_USERS } from './stores.ts';
import type { Cluster, ClusterNode } from './two-nodes.ts';
import { type Client, tryConnect } from './ws-client.ts';

/** A user with a `lingxi.v1` client that answers pings by itself. */
export interface Member {
  readonly user: number;
  readonly client: Client;
  readonly welcome: Welcome;
}

/** Handshakes in progress at the same time: as many as one test process and two nodes on two cores can do without a queue. */
const DIALS_AT_ONCE = 50;

let given = 0;

/** Users of {@link KNOWN_USERS} that no other test of the cluster has. */
export function freshUsers(count: number): number[] {
  return Array.from({ length: count }, () => {
    given += 1;
    return 1 + (given % KNOWN_USERS);
  });
}

export function joinAll(node: ClusterNode, users: readonly number[]): Promise<readonly Member[]> {
  return inTurns(users, (user) => join(node, user));
}

/** A node that waited for Redis for longer than a second, as on a busy machine, refuses until it has restored its holds. */
function join(node: ClusterNode, user: number): Promise<Member> {
  return joinPatiently(node, user, 100);
}

/** A busy server may also decide that a request took too long to arrive. */
const BUSY: ReadonlySet<number> = new Set([408, 503]);

/** Retries every half second for 40 s, as a client does after a refusal or without an answer. */
export function joinPatiently(node: ClusterNode, user: number, intervalMs = 500): Promise<Member> {
  const { gateway } = node;
  return eventually(
    async () => {
      const options = { token: gateway.token(user), protocols: ['lingxi.v1'] };
      const outcome = await tryConnect(gateway.wsUrl, options);
      if (!('status' in outcome)) return { user, client: outcome, welcome: await welcomeOf(outcome) };
      const refusal = `refused with ${outcome.status} ${JSON.stringify(outcome.body)}`;
      throw BUSY.has(outcome.status) ? new Error(refusal) : new Aborted(refusal);
    },
    { timeoutMs: 40_000, intervalMs },
  );
}

/** Runs `work` for each, a bounded number at the same time. */
export async function inTurns<Item, Done>(
  items: readonly Item[],
  work: (item: Item, index: number) => Promise<Done>,
): Promise<Done[]> {
  const done: Done[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const index = next;
      next += 1;
      done[index] = await work(items[index] as Item, index);
    }
  };
  await Promise.all(Array.from({ length: Math.min(DIALS_AT_ONCE, items.length) }, worker));
  return done;
}

/** All of them are online in the period that they opened, which never ended, on an open socket. */
export async function expectUnmoved(cluster: Cluster, members: readonly Member[]): Promise<void> {
  const users = members.map(({ user }) => user);
  const closed = members.filter(({ client }) => client.socket.readyState !== client.socket.OPEN);
  expect(closed.map(({ user }) => user)).toEqual([]);
  const opened = new Map(members.map(({ user, welcome }) => [user, welcome.period]));
  const rows = await cluster.periods(...users);
  const wrong = rows.filter(
    ({ userId, period, settledAt, writes }) =>
      settledAt !== undefined || writes > 0 || period !== opened.get(userId),
  );
  expect(wrong).toEqual([]);
  expect(rows).toHaveLength(users.length);
  expect(await cluster.ends(...users)).toBe(0);
  expect(await cluster.countInSet(users)).toBe(users.length);
}

/** Sockets that return one after the other within `withinMs`, each into its previous period. */
export async function comeBack(
  node: ClusterNode,
  members: readonly Member[],
  withinMs: number,
): Promise<readonly Member[]> {
  return Promise.all(
    members.map(async ({ user, welcome }, index) => {
      await sleep((withinMs * index) / members.length);
      const back = await join(node, user);
      expect(back.welcome).toMatchObject({ period: welcome.period, resumed: true });
      expect(back.welcome.epoch).toBeGreaterThan(welcome.epoch);
      return back;
    }),
  );
}

export function leave(members: readonly Member[]): void {
  for (const { client } of members) client.terminate();
}
