import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sleep } from '../support/ports.ts';
import { type Welcome, welcomeOf } from '../support/presence-view.ts';
import { freshUser } from '../support/stores.ts';
import { BUN_AND_NODE, type Cluster, figure, type PeriodRow, startCluster } from '../support/two-nodes.ts';

const TIMEOUT_MS = 10_000;

interface Return {
  readonly user: number;
  readonly first: Welcome;
  readonly second: Welcome;
  /** From the last proof of life to the request to connect, and to its answer. */
  readonly askedAfterMs: number;
  readonly answeredAfterMs: number;
  readonly rows: readonly PeriodRow[];
}

describe('a user returns at the tenth second, to the other of two nodes, with the default timeout', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster({
      nodes: BUN_AND_NODE,
      timeoutMs: TIMEOUT_MS,
      // The server sends no ping, so the ping of the client is the last proof of life.
      env: { LINGXI_PING_INTERVAL_MS: '9000' },
    });
  });
  afterAll(() => cluster?.stop());

  /** Every second user is silent with an open socket. The others lost their sockets. */
  async function comeBack(index: number, awayMs: number): Promise<Return> {
    const user = freshUser();
    const here = cluster.node(index % 2);
    const there = cluster.node(1 - (index % 2));
    const client = await here.view.v1(user, { autoPong: false });
    const first = await welcomeOf(client);
    await sleep(50);
    const last = client.ping();
    await client.next('pong');
    if (index % 4 < 2) client.terminate();
    await sleep(awayMs - (performance.now() - last));
    const askedAfterMs = performance.now() - last;
    const back = await there.view.v1(user);
    const answeredAfterMs = performance.now() - last;
    const second = await welcomeOf(back);
    await sleep(2_000);
    // The user is online, whatever the order was.
    expect(back.socket.readyState).toBe(back.socket.OPEN);
    expect(await here.view.player(user)).toMatchObject({ status: 'online', connections: 1 });
    expect(await cluster.inSet(user)).toBe(true);
    const rows = await cluster.periods(user);
    expect(await cluster.ends(user)).toBe(rows.length - 1);
    back.terminate();
    return { user, first, second, askedAfterMs, answeredAfterMs, rows };
  }

  /** One after the other, so that a process that stands still for a moment delays only a few. */
  const eightReturns = (awayMs: number): Promise<readonly Return[]> =>
    Promise.all(
      Array.from({ length: 8 }, async (_, index) => {
        await sleep(index * 900);
        return comeBack(index, awayMs);
      }),
    );

  function samePeriod({ first, second, rows }: Return): void {
    expect(second).toMatchObject({ period: first.period, resumed: true });
    expect(rows).toMatchObject([{ period: first.period, settledAt: undefined, writes: 0 }]);
  }

  function newPeriod({ first, second, rows }: Return): void {
    expect(second.resumed).toBe(false);
    expect(rows).toMatchObject([
      { period: first.period, reason: 'timeout', settledAt: expect.any(Number), writes: 1 },
      { period: second.period, settledAt: undefined, writes: 0 },
    ]);
    const [old, next] = rows;
    expect(old?.logoutAt).toBe((old?.lastSeenAt ?? 0) + TIMEOUT_MS);
    expect(next?.loginAt).toBeGreaterThanOrEqual(old?.logoutAt ?? 0);
  }

  const eachRose = ({ first, second }: Return): void => expect(second.epoch).toBeGreaterThan(first.epoch);

  it.concurrent('[scenario 4] [HB1] [PR2] reaping races a connection at 10.000 s: in either order the user is online, with at most one settlement', async () => {
    // 10 ms apart, from 10.000 s - 150 ms to 10.000 s + 140 ms.
    const close = Array.from({ length: 30 }, (_, index) => TIMEOUT_MS - 150 + index * 10);
    // These are on their side of the deadline even if the machine stops a process for a while.
    const clear = [-2_000, -1_900, 1_900, 2_000].map((ms) => TIMEOUT_MS + ms);
    const returns = await Promise.all([...close, ...clear].map((awayMs, index) => comeBack(index, awayMs)));
    for (const one of returns) {
      eachRose(one);
      if (one.second.resumed) samePeriod(one);
      else newPeriod(one);
    }
    const kept = returns.filter(({ second }) => second.resumed).length;
    const keptClose = returns.slice(0, close.length).filter(({ second }) => second.resumed).length;
    figure(4, `${keptClose} of ${close.length} connects within 150 ms of 10.000 s kept the period`);
    expect(kept).toBeGreaterThan(0);
    expect(kept).toBeLessThan(returns.length);
  });

  it.concurrent('[scenario 5] [HB1] [PR5] a return at 9.9 s: the same period', async () => {
    const returns = await eightReturns(9_900);
    // If the machine was too busy to connect in time, the user proves nothing.
    const inTime = returns.filter(({ answeredAfterMs }) => answeredAfterMs < TIMEOUT_MS);
    expect(inTime.length).toBeGreaterThan(0);
    for (const one of returns) eachRose(one);
    for (const one of inTime) samePeriod(one);
  });

  it.concurrent('[scenario 6] [HB1] [PR2] a return at 10.1 s: the old period is settled, and a new one opens', async () => {
    const returns = await eightReturns(10_100);
    for (const one of returns) {
      eachRose(one);
      expect(one.askedAfterMs).toBeGreaterThanOrEqual(10_100);
      // A node that stood still in these 100 ms has not judged the silence yet: the user was never offline (rule HB5).
      if (one.second.resumed) samePeriod(one);
      else newPeriod(one);
    }
    expect(returns.filter(({ second }) => second.resumed).length).toBeLessThanOrEqual(2);
  });
});
