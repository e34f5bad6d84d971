import { expect } from 'vitest';
import { comeBack, expectUnmoved, freshUsers, joinAll, joinPatiently, leave, type Member } from './crowd.ts';
import { eventually, sleep } from './ports.ts';
import { type Cluster, figure, type PeriodRow, PING_SHARE, untilSettled, wireOf } from './two-nodes.ts';

/** A scenario in small size for every test run, and in its real size if there is time. */
export interface Size {
  readonly users: number;
  readonly timeoutMs: number;
}

/** When a node dies, its newest recorded proof of life may be older than the true one by this time (rule ST5). */
const RECORD_MS = 5_000;
/** On a busy machine, this process reads what a server sent this much later. */
const READ_LATE_MS = 1_500;
/** This process and the servers have the same wall clock, but their readings are rounded. */
const ROUNDING_MS = 100;

/** Each user has one period, ended once and settled once, by the death of its node between these two moments. */
export async function expectLostOnce(
  cluster: Cluster,
  lost: readonly Member[],
  death: { readonly after: number; readonly before: number; readonly timeoutMs: number },
): Promise<readonly PeriodRow[]> {
  const users = lost.map(({ user }) => user);
  const rows = await untilSettled(cluster, users, death.timeoutMs + 12_000);
  expect(rows).toHaveLength(users.length);
  const opened = new Map(lost.map(({ user, welcome }) => [user, welcome.period]));
  const wrong = rows.filter(
    (row) => row.reason !== 'node-lost' || row.writes !== 1 || row.period !== opened.get(row.userId),
  );
  expect(wrong).toEqual([]);
  expect(await cluster.ends(...users)).toBe(users.length);
  expect(await cluster.countInSet(users)).toBe(0);
  for (const row of rows) {
    expect(row.logoutAt).toBeLessThanOrEqual(death.before + death.timeoutMs + ROUNDING_MS);
    expect(row.logoutAt).toBeGreaterThanOrEqual(
      death.after - death.timeoutMs * PING_SHARE - RECORD_MS + death.timeoutMs - ROUNDING_MS,
    );
    expect(row.logoutAt).toBe((row.lastSeenAt ?? 0) + death.timeoutMs);
  }
  return rows;
}

/**
 * 13 and 22: node 0 ends without a goodbye. A tenth of its users comes to node 1 in time, and node 1 ends the periods of the
 * others.
 */
export async function nodeDies(
  cluster: Cluster,
  size: Size,
  scenario: { readonly number: number; readonly how: string; readonly die: () => Promise<void> },
): Promise<void> {
  const { timeoutMs } = size;
  const crowd = await joinAll(cluster.node(0), freshUsers(size.users));
  await sleep(timeoutMs / 4);
  expect(await cluster.countInSet(crowd.map(({ user }) => user))).toBe(size.users);
  const after = Date.now();
  await scenario.die();
  const at = Date.now();
  await Promise.all(crowd.map(({ client }) => client.closed));
  const returning = crowd.filter((_, index) => index % 10 === 0);
  const lost = crowd.filter((_, index) => index % 10 !== 0);
  const back = await comeBack(cluster.node(1), returning, timeoutMs / 2);
  const rows = await expectLostOnce(cluster, lost, { after, before: at, timeoutMs });
  const waits = rows.map(({ settledAt }) => (settledAt ?? 0) - at);
  figure(
    scenario.number,
    `${scenario.how}, timeout ${timeoutMs} ms: ${lost.length} users ended by the peer and settled ` +
      `${Math.min(...waits)} to ${Math.max(...waits)} ms after the death, ${back.length} kept their period`,
  );
  expect(Math.max(...waits)).toBeLessThanOrEqual(timeoutMs + 2_000);
  for (const row of [rows.at(0), rows.at(-1)])
    expect(await cluster.userTime(row?.userId ?? 0)).toBe(row?.logoutAt);
  await expectUnmoved(
    cluster,
    back.map(({ user, client }, index) => ({
      user,
      client,
      welcome: returning[index]?.welcome ?? expect.fail('nobody came back'),
    })),
  );
  leave(back);
}

/** 16 and 18: node `place` stands still for less time than makes it dead. */
export async function standsStill(
  cluster: Cluster,
  size: Size,
  how: { readonly place: number; readonly stop: () => Promise<void> },
): Promise<void> {
  const crowd = await joinAll(cluster.node(how.place), freshUsers(size.users));
  const others = await joinAll(cluster.node(1 - how.place), freshUsers(5));
  await sleep(size.timeoutMs / 4);
  await untilRenewed(cluster, how.place);
  await how.stop();
  await sleep(size.timeoutMs + 1_500);
  await expectUnmoved(cluster, [...crowd, ...others]);
  leave([...crowd, ...others]);
}

/** Waits until the node has just renewed its lease: from then on it has the whole time until its peer would reap it. */
async function untilRenewed(cluster: Cluster, place: number): Promise<void> {
  const lines = async (): Promise<string> => {
    const flat = (await cluster.redis.cli('HGETALL', 'lingxi:nodes')).split('\n');
    const at = flat.findIndex((name) => name.startsWith(`${'ab'.charAt(place)}:`));
    return at < 0 ? expect.fail('the node has no lease') : (flat[at + 1] ?? '');
  };
  const before = await lines();
  await eventually(async () => expect(await lines()).not.toBe(before), { intervalMs: 10 });
}

/** SIGSTOP of a whole node for `awayMs`. */
export async function pause(cluster: Cluster, place: number, awayMs: number): Promise<void> {
  const { gateway } = cluster.node(place);
  gateway.signalAll('SIGSTOP');
  await sleep(awayMs);
  gateway.signalAll('SIGCONT');
}

/** 17 and 20: node 0 looks dead to its peer while its sockets are open. */
export async function looksDead(
  cluster: Cluster,
  size: Size,
  how: {
    readonly number: number;
    readonly away: () => Promise<void>;
    readonly return: () => void;
    /** Says whether the node itself answers in that time. */
    readonly meanwhile?: (crowd: readonly Member[]) => Promise<void>;
  },
): Promise<void> {
  const { timeoutMs } = size;
  const [here, peer] = [cluster.node(0), cluster.node(1)];
  const crowd = await joinAll(here, freshUsers(size.users));
  const [mover] = await joinAll(here, freshUsers(1));
  if (mover === undefined) throw new Error('nobody moves');
  const [silent] = freshUsers(1);
  const quiet = await here.view.v1(silent ?? 0, { autoPong: false });
  await sleep(timeoutMs / 4);
  const after = Date.now();
  const away = how.away();
  const before = Date.now();
  await sleep(timeoutMs / 2);
  const [moved] = await comeBack(peer, [mover], 0);
  await how.meanwhile?.(crowd);
  await away;
  const rows = await expectLostOnce(cluster, crowd, { after, before, timeoutMs });
  expect(crowd.filter(({ client }) => client.socket.readyState !== client.socket.OPEN)).toEqual([]);
  how.return();
  const began = performance.now();
  const users = crowd.map(({ user }) => user);
  await eventually(async () => expect(await cluster.countInSet(users)).toBe(users.length), {
    timeoutMs: 10_000,
  });
  figure(
    how.number,
    `timeout ${timeoutMs} ms: ${rows.length} users of a node that looked dead were logged out once and ` +
      `connected anew ${Math.round(performance.now() - began)} ms after its return`,
  );
  await sleep(timeoutMs + 1_500);
  // Connected anew on their old sockets, once.
  expect(crowd.filter(({ client }) => client.socket.readyState !== client.socket.OPEN)).toEqual([]);
  expect(await cluster.ends(...users)).toBe(users.length);
  for (const { user, welcome } of crowd) {
    const [old, next, ...more] = await cluster.periods(user);
    expect(more).toEqual([]);
    expect(old).toMatchObject({ period: welcome.period, writes: 1 });
    expect(next).toMatchObject({ settledAt: undefined, writes: 0 });
    expect(next?.period).toBeGreaterThan(welcome.period);
  }
  // Users who moved stay on their node. Silent users are not connected anew.
  expect((await mover.client.closed).code).toBe(4001);
  if (moved === undefined) throw new Error('nobody moved');
  await expectUnmoved(cluster, [{ ...moved, welcome: mover.welcome }]);
  expect((await quiet.closed).code).toBeGreaterThanOrEqual(4100);
  await eventually(async () => expect(await cluster.inSet(silent ?? 0)).toBe(false));
  for (const row of await untilSettled(cluster, [silent ?? 0])) expect(row.writes).toBe(1);
  leave([...crowd, moved]);
}

/** 19: every node stands still for `awayMs`. Users who are connected then are kept, the others are settled once. */
export async function everybodyStandsStill(
  cluster: Cluster,
  size: Size & { readonly awayMs: number },
): Promise<void> {
  const crowds = await Promise.all(cluster.nodes.map((node) => joinAll(node, freshUsers(size.users / 2))));
  const crowd = crowds.flat();
  await sleep(size.timeoutMs / 4);
  const leaving = crowd.filter((_, index) => index % 5 === 0);
  const staying = crowd.filter((_, index) => index % 5 !== 0);
  await Promise.all(cluster.nodes.map((_, place) => pause(cluster, place, size.awayMs)));
  leave(leaving);
  const rows = await untilSettled(
    cluster,
    leaving.map(({ user }) => user),
    size.timeoutMs + 12_000,
  );
  expect(rows.filter(({ reason, writes }) => reason !== 'timeout' || writes !== 1)).toEqual([]);
  expect(rows).toHaveLength(leaving.length);
  await expectUnmoved(cluster, staying);
  leave(staying);
}

/** 19: every node is gone for `awayMs`. Then all users have time to return, and those who do not are settled once. */
export async function everybodyIsGone(
  cluster: Cluster,
  size: Size & { readonly awayMs: number; readonly returnWithinMs: number },
): Promise<void> {
  const { timeoutMs } = size;
  const crowds = await Promise.all(cluster.nodes.map((node) => joinAll(node, freshUsers(size.users / 2))));
  const crowd = crowds.flat();
  await sleep(timeoutMs / 4);
  const after = Date.now();
  await Promise.all(cluster.nodes.map(({ gateway }) => gateway.kill()));
  const before = Date.now();
  await sleep(size.awayMs);
  const rows = await cluster.periods(...crowd.map(({ user }) => user));
  expect(rows.filter(({ settledAt }) => settledAt !== undefined)).toEqual([]);
  const returning = crowd.filter((_, index) => index % 2 === 0);
  const lost = crowd.filter((_, index) => index % 2 !== 0);
  await Promise.all(cluster.nodes.map(({ gateway }) => gateway.restart()));
  const began = performance.now();
  const back = await comeBack(cluster.node(1), returning, size.returnWithinMs);
  await expectLostOnce(cluster, lost, { after, before, timeoutMs });
  figure(
    19,
    `every node gone for ${size.awayMs} ms, timeout ${timeoutMs} ms: ${back.length} came back into their period, ` +
      `${lost.length} were settled ${Math.round(performance.now() - began)} ms after the start at the latest`,
  );
  await expectUnmoved(
    cluster,
    back.map((member, index) => ({ ...member, welcome: returning[index]?.welcome ?? member.welcome })),
  );
  leave(back);
}

/** 20: no node reaches Redis for `awayMs`. */
export async function everybodyIsCutOff(
  cluster: Cluster,
  size: Size & { readonly awayMs: number },
  how: 'cut' | 'hang',
): Promise<void> {
  const crowds = await Promise.all(cluster.nodes.map((node) => joinAll(node, freshUsers(size.users / 2))));
  await sleep(size.timeoutMs / 4);
  const wires = cluster.nodes.map((node) => wireOf(node, 'redis'));
  for (const wire of wires) wire[how]();
  await sleep(size.awayMs);
  for (const { gateway } of cluster.nodes) {
    expect((await gateway.call('GET', '/readyz')).body['code']).toBe('presence-unavailable');
    expect((await gateway.call('GET', '/healthz')).status).toBe(200);
  }
  for (const wire of wires) wire.heal();
  const began = performance.now();
  for (const { gateway } of cluster.nodes)
    await eventually(async () => expect((await gateway.call('GET', '/readyz')).status).toBe(200));
  figure(
    20,
    `all nodes ${how} off from Redis for ${size.awayMs} ms: ready ${Math.round(performance.now() - began)} ms after`,
  );
  await sleep(size.timeoutMs + 1_500);
  await expectUnmoved(cluster, crowds.flat());
  leave(crowds.flat());
}

/** 23: node 0 is stopped by SIGTERM; its users move to node 1 at the time in their `goodbye`. */
export async function drains(
  cluster: Cluster,
  size: Size & {
    /** Share of the users that this machine must have reconnected in time. */
    readonly leastInTime: number;
  },
): Promise<void> {
  const { timeoutMs } = size;
  const crowd = await joinAll(cluster.node(0), freshUsers(size.users));
  await sleep(timeoutMs / 4);
  const began = performance.now();
  const exit = cluster.node(0).gateway.terminate();
  const leaving = crowd.filter((_, index) => index % 20 === 0);
  const staying = crowd.filter((_, index) => index % 20 !== 0);
  const returns = await Promise.all(
    staying.map(async ({ user, client, welcome }) => {
      const goodbye = await client.next('goodbye', 30_000);
      const { reconnectAfterMs } = goodbye.data as { reconnectAfterMs: number };
      const closed = await client.closed;
      expect(closed.code).toBe(1012);
      await sleep(reconnectAfterMs);
      const again = await joinPatiently(cluster.node(1), user);
      return { again, welcome, awayMs: performance.now() - closed.at };
    }),
  );
  expect(await exit).toEqual({ code: 0, signal: null });
  const tookMs = Math.round(performance.now() - began);
  const rows = await untilSettled(
    cluster,
    leaving.map(({ user }) => user),
    timeoutMs + 12_000,
  );
  expect(rows).toHaveLength(leaving.length);
  expect(rows.filter(({ writes }) => writes !== 1)).toEqual([]);
  // When the socket is closed, the newest proof of life may be as old as the interval of the server's pings. And this process
  // may have read the close late.
  const inTime = returns.filter(({ awayMs }) => awayMs < timeoutMs * (1 - PING_SHARE) - READ_LATE_MS);
  for (const { again, welcome } of inTime)
    expect(again.welcome).toMatchObject({ period: welcome.period, resumed: true });
  await expectUnmoved(
    cluster,
    inTime.map(({ again, welcome }) => ({ ...again, welcome })),
  );
  figure(
    23,
    `drain of ${size.users} users, timeout ${timeoutMs} ms: ${inTime.length} of ${staying.length} were back on the ` +
      `peer in time (all within ${tookMs} ms) without a settlement, ${leaving.length} stayed away and were settled once`,
  );
  expect(inTime.length).toBeGreaterThanOrEqual(staying.length * size.leastInTime);
  // A late user was settled once, and is online too.
  const all = returns.map(({ again }) => again);
  expect(await cluster.countInSet(all.map(({ user }) => user))).toBe(all.length);
  await eventually(async () => {
    const periods = await cluster.periods(...all.map(({ user }) => user));
    expect(periods.filter(({ settledAt, writes }) => writes !== (settledAt === undefined ? 0 : 1))).toEqual(
      [],
    );
    expect(periods.filter(({ settledAt }) => settledAt === undefined)).toHaveLength(all.length);
  });
  leave(all);
}
