import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readMetrics } from '../support/metrics.ts';
import { eventually, sleep } from '../support/ports.ts';
import { COMBINATIONS, type Deployment, deploy, freshUser } from '../support/stores.ts';
import { connect } from '../support/ws-client.ts';

/** A busy machine may stop this process for this long. */
const BUSY_S = 1.5;

describe('the timeout of the Go server, with default settings', () => {
  const deployments: Deployment[] = [];
  beforeAll(async () => {
    deployments.push(...(await Promise.all(COMBINATIONS.map((combination) => deploy(combination)))));
  });
  afterAll(() => Promise.all(deployments.map((deployment) => deployment.stop())));

  it('[HB1] [HB4] silence logs a user out 10.0 to 10.2 s after the last ping, in Redis and SQL too', async () => {
    await Promise.all(deployments.map(loggedOutInTime));
  });

  async function loggedOutInTime(deployment: Deployment): Promise<void> {
    const { gateway, stores } = deployment;
    const user = freshUser();
    const client = await connect(gateway.wsUrl, { token: gateway.token(user) });
    const stop = client.keepAlive(1_000);
    await sleep(2_500);
    stop();
    const lastAt = Date.now();
    const last = client.ping();
    const closed = await client.closed;
    const closedAt = performance.timeOrigin + closed.at;
    const silence = (closed.at - last) / 1000;
    expect(closed.code).toBe(4100);
    expect(silence).toBeGreaterThanOrEqual(9.995);
    // By the server's own measure: this process may read the close late.
    const metric = await readMetrics(gateway);
    expect(metric('lingxi_detection_lag_seconds_count')).toBe(1);
    expect(metric('lingxi_detection_lag_seconds_sum')).toBeLessThanOrEqual(0.2);
    expect(silence).toBeLessThanOrEqual(10.2 + BUSY_S);
    const row = await eventually(async () => {
      const [first] = await deployment.periods(user);
      expect(first?.settledAt).toEqual(expect.any(Number));
      return first;
    });
    expect(row).toMatchObject({ reason: 'timeout', logoutAt: (row?.lastSeenAt ?? 0) + 10_000 });
    expect(row?.logoutAt).toBeGreaterThanOrEqual(lastAt + 10_000 - 5);
    expect(row?.logoutAt).toBeLessThan(closedAt + 100);
    expect(await deployment.userTime(user)).toBe(row?.logoutAt);
    if (stores.redis === undefined) return;
    const field = (name: string) => stores.redis?.cli('HGET', `player:online:${user}`, name);
    expect(await field('status')).toBe('offline');
    expect(await field('logoutTime')).toBe(String(row?.logoutAt));
    expect(await stores.redis.cli('SISMEMBER', 'server:online:players', String(user))).toBe('0');
  }
});
