import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, freePort, sleep } from '../../support/ports.ts';
import {
  enter,
  figure,
  leaveAll,
  marksOf,
  restoredAfter,
  type StorePair,
  startPair,
} from '../../support/store-pair.ts';
import { freshUser } from '../../support/stores.ts';

const UNREACHABLE_MS = 60_000;

const fresh = (count: number): readonly number[] => Array.from({ length: count }, freshUser);

describe('Redis in real time, with the default timeouts', () => {
  let pair: StorePair;
  beforeAll(async () => {
    pair = await startPair({ timeoutMs: 10_000, env: { LINGXI_PING_INTERVAL_MS: '3000' } });
  });
  afterAll(() => pair?.stop());

  it('[scenario 28] [PR10] unreachable for 60 s: no logout, no crash, restored within 2 s', async () => {
    const visitors = [...(await enter(pair.bun, fresh(200))), ...(await enter(pair.node, fresh(200)))];
    const marks = await marksOf(pair);
    pair.redisProxy.aim(await freePort());
    await sleep(UNREACHABLE_MS);
    for (const node of pair.both) {
      expect(await node.ready()).toBe(503);
      expect((await node.gateway.call('GET', '/healthz')).status).toBe(200);
    }
    expect(visitors.filter(({ client }) => client.socket.readyState !== client.socket.OPEN)).toEqual([]);
    pair.redisProxy.aim(pair.redis.port);
    // The node tries to reach Redis every half second.
    figure(
      `400 users restored ${await restoredAfter(pair.redis, visitors, 2_000)} ms after 60 s without Redis`,
    );
    await eventually(async () =>
      expect(await Promise.all(pair.both.map((n) => n.ready()))).toEqual([200, 200]),
    );
    await sleep(15_000);
    for (const [index, node] of pair.both.entries())
      expect(await node.loggedSoFar('logged-out', marks[index])).toEqual([]);
    for (const { user, welcome, client } of visitors) {
      expect(client.socket.readyState).toBe(client.socket.OPEN);
      expect(await pair.periods(user)).toMatchObject([{ period: welcome.period, settledAt: null }]);
    }
    leaveAll(visitors);
  });
});
