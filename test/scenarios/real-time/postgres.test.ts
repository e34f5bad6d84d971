import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, sleep } from '../../support/ports.ts';
import { eachOf, figure, type StorePair, startPair } from '../../support/store-pair.ts';
import { freshUser } from '../../support/stores.ts';

const DOWN_MS = 120_000;
const USERS = 5_000;
/** RELIABILITY.md, scenario 35: the duties of an hour within 5 minutes. These are fewer. */
const DRAINED_MS = 60_000;

describe('PostgreSQL in real time', () => {
  let pair: StorePair;
  beforeAll(async () => {
    pair = await startPair({ timeoutMs: 10_000, env: { LINGXI_PING_INTERVAL_MS: '3000' } });
  });
  afterAll(() => pair?.stop());

  it('[scenario 35] [ST7] down for two minutes with 5,000 logouts: kept, with a growing age, and settled quickly', async () => {
    const users = Array.from({ length: USERS }, freshUser);
    await eachOf(users, async (user) => {
      const node = pair.both[user % 2] ?? pair.bun;
      const login = await node.gateway.service('POST', '/api/online/login', { playerId: user });
      expect(login.status).toBe(200);
    });
    await pair.postgres.kill();
    const downAt = performance.now();
    // No user sends heartbeats by HTTP, so all users are logged out meanwhile.
    const pending = async () => Number(await pair.redis.cli('XLEN', 'lingxi:duties'));
    await eventually(async () => expect(await pair.redis.cli('SCARD', 'server:online:players')).toBe('0'), {
      timeoutMs: 40_000,
    });
    const kept = await pending();
    await sleep(DOWN_MS - (performance.now() - downAt));
    expect(await pending()).toBe(kept);
    const age = await pair.node.metric('lingxi_settlement_oldest_age_seconds');
    expect(age).toBeGreaterThan(DOWN_MS / 1000 - 30);
    await pair.postgres.restart();
    const from = performance.now();
    await eventually(async () => expect(await pending()).toBe(0), { timeoutMs: DRAINED_MS, intervalMs: 50 });
    figure(
      `${kept} duties, the oldest ${age.toFixed(0)} s, drained ${Math.round(performance.now() - from)} ms after the return`,
    );
    const [counts] = await pair.postgres.query(
      `SELECT count(*)::int AS periods, count(p.settled_at)::int AS settled,
         (count(*) FILTER (WHERE u.last_spirit_gain_time = p.logout_at))::int AS timed
       FROM lingxi_periods p JOIN users u ON u.id = p.user_id`,
    );
    expect(counts).toEqual({ periods: USERS, settled: USERS, timed: USERS });
  }, 300_000);
});
