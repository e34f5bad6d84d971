import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, sleep } from '../support/ports.ts';
import { welcomeOf } from '../support/presence-view.ts';
import {
  enter,
  enterBoth,
  figure,
  leaveAll,
  marksOf,
  missingOf,
  restoredAfter,
  type StorePair,
  settledPeriod,
  startPair,
  type Visitor,
  waitForReadiness,
} from '../support/store-pair.ts';
import { freshUser } from '../support/stores.ts';
import { refusal } from '../support/ws-client.ts';

const TIMEOUT_MS = 3_000;
/** `LINGXI_REDIS_TIMEOUT_MS` (scenario 29), the pause between renewals, and some time for two busy cores. */
const NOTICED_MS = 1_000 + 500 + 3_000;
const READY_MS = 8_000;
/** Rule PR11 gives nodes 2 s, and busy cores get some more. */
const RESTORED_MS = 2_000 + 1_500;

const fresh = (count: number): readonly number[] => Array.from({ length: count }, freshUser);

/** What both nodes do during the outage: they stay alive, refuse what they cannot store, and carry messages. */
async function expectHolding(pair: StorePair, visitors: readonly Visitor[]): Promise<void> {
  for (const { gateway } of pair.both) {
    expect((await gateway.call('GET', '/healthz')).status).toBe(200);
    const login = await gateway.service('POST', '/api/online/login', { playerId: freshUser() });
    expect([login.status, login.body['code']]).toEqual([503, 'presence-unavailable']);
    const refused = await refusal(gateway.wsUrl, { token: gateway.token(freshUser()) });
    expect([refused.status, refused.body['code']]).toEqual([503, 'presence-unavailable']);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1);
  }
  const logout = await pair.bun.logout(visitors[0]?.user ?? 0);
  expect([logout.status, logout.body['code']]).toEqual([503, 'presence-unavailable']);
  for (const { client } of visitors) expect(client.socket.readyState).toBe(client.socket.OPEN);
}

async function expectMessage(visitor: Visitor, at: StorePair['bun']): Promise<void> {
  const push = { to: { userId: visitor.user }, type: 'still', data: 1 };
  expect((await at.gateway.service('POST', '/api/messages', push)).status).toBe(200);
  await visitor.client.next('still');
}

async function expectSamePeriods(pair: StorePair, visitors: readonly Visitor[]): Promise<void> {
  for (const { user, welcome } of visitors) {
    expect(await pair.periods(user)).toMatchObject([{ period: welcome.period, settledAt: null }]);
  }
}

// Each pair waits for its own Redis, so they wait side by side.
describe.concurrent('a Redis that is down', () => {
  let pair: StorePair;
  beforeAll(async () => {
    pair = await startPair({ timeoutMs: TIMEOUT_MS });
  });
  afterAll(() => pair?.stop());

  it.sequential('[scenario 28] [PR10] [PR11] unreachable for longer than the timeout, then empty: no logout, no crash', async () => {
    const visitors = await enterBoth(pair, fresh(40));
    const [silent] = await enter(pair.node, fresh(1));
    silent?.silence();
    const all = [...visitors, silent ?? expect.fail('nobody')];
    await pair.redis.kill();
    await waitForReadiness(pair, 503, NOTICED_MS);
    await expectHolding(pair, all);
    await sleep(TIMEOUT_MS * 2.5);
    await expectHolding(pair, all);
    await expectMessage(visitors[0] ?? expect.fail('nobody'), pair.bun);
    await expectMessage(visitors.at(-1) ?? expect.fail('nobody'), pair.node);
    await expectSamePeriods(pair, all);

    await pair.redis.restart();
    figure(
      `41 users restored ${await restoredAfter(pair.redis, all, RESTORED_MS)} ms after the return of an empty Redis`,
    );
    await waitForReadiness(pair, 200, READY_MS);
    await expectSamePeriods(pair, all);
    const [first] = visitors;
    const newer = await pair.node.v1(first?.user ?? 0);
    const second = await welcomeOf(newer);
    expect(second).toMatchObject({ period: first?.welcome.period, resumed: true });
    expect(second.epoch).toBeGreaterThan(first?.welcome.epoch ?? Number.NaN);
    expect((await first?.client.closed)?.code).toBe(4001);
    // Timeouts run again: a user who became silent before the outage is logged out after it, once.
    expect((await silent?.client.closed)?.code).toBe(4100);
    expect(await settledPeriod(pair, silent?.user ?? 0)).toMatchObject({ reason: 'timeout' });
    newer.terminate();
    leaveAll(visitors);
  });
});

describe.concurrent('a Redis that does not answer', () => {
  let pair: StorePair;
  beforeAll(async () => {
    pair = await startPair({ timeoutMs: TIMEOUT_MS });
  });
  afterAll(() => pair?.stop());

  it.sequential('[scenario 29] [PR10] a Redis that hangs: the node notices after the command timeout, and reconnects when Redis continues', async () => {
    const visitors = await enterBoth(pair, fresh(40));
    const [silent] = await enter(pair.bun, fresh(1));
    silent?.silence();
    pair.redis.freeze();
    const from = performance.now();
    await waitForReadiness(pair, 503, NOTICED_MS);
    figure(`a hanging Redis was noticed by both nodes after ${Math.round(performance.now() - from)} ms`);
    await expectHolding(pair, visitors);
    await sleep(TIMEOUT_MS * 1.5);
    pair.redis.thaw();
    const back = performance.now();
    await waitForReadiness(pair, 200, READY_MS);
    figure(`ready again ${Math.round(performance.now() - back)} ms after it went on`);
    await eventually(async () => expect(await missingOf(pair.redis, visitors)).toEqual([]));
    await expectSamePeriods(pair, visitors);
    expect((await silent?.client.closed)?.code).toBe(4100);
    expect(await settledPeriod(pair, silent?.user ?? 0)).toMatchObject({ reason: 'timeout' });
    leaveAll(visitors);
  });

  it.sequential('[scenario 29] half-open TCP: the node reconnects by itself, for commands and for the push channel', async () => {
    const visitors = await enterBoth(pair, fresh(40));
    const marks = await marksOf(pair);
    pair.redisProxy.hangAll();
    const from = performance.now();
    await eventually(
      () => {
        pair.both.forEach((node, index) => {
          expect(node.logged('presence-restored', marks[index])).not.toEqual([]);
        });
      },
      { timeoutMs: NOTICED_MS + 1_500 },
    );
    figure(`half-open connections were made anew after ${Math.round(performance.now() - from)} ms`);
    await waitForReadiness(pair, 200, READY_MS);
    await expectSamePeriods(pair, visitors);
    const user = freshUser();
    expect((await pair.bun.login(user)).status).toBe(200);
    expect((await pair.node.logout(user)).status).toBe(200);
    const listener = visitors[0] ?? expect.fail('nobody');
    const push = JSON.stringify({ to: { userId: listener.user }, type: 'foreign', data: 1 });
    await eventually(
      async () => {
        await pair.redis.cli('PUBLISH', 'lingxi:push', push);
        await listener.client.next('foreign', 200);
      },
      { timeoutMs: 10_000 },
    );
    figure(`the push channel was heard again after ${Math.round(performance.now() - from)} ms`);
    leaveAll(visitors);
  });
});
