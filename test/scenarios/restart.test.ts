import { describe, expect, it } from 'vitest';
import { eventually, sleep } from '../support/ports.ts';
import { viewPresence, welcomeOf } from '../support/presence-view.ts';
import { COMBINATIONS, type Deployment, deploy, freshUser, ONE_OF_EACH } from '../support/stores.ts';

/** Long enough for a start while other tests start their processes. */
const TIMEOUT_MS = 8_000;
/** Largest age of the newest recorded sign of life of a node, or proof of life of a user. */
const RECORD_MS = 5_000;
const ENV = { LINGXI_HEARTBEAT_TIMEOUT_MS: String(TIMEOUT_MS), LINGXI_PING_INTERVAL_MS: '500' };

const settledRow = (deployment: Deployment, user: number, timeoutMs = TIMEOUT_MS + 10_000) =>
  eventually(
    async () => {
      const rows = await deployment.periods(user);
      expect(rows[0]?.settledAt).toEqual(expect.any(Number));
      return rows;
    },
    { timeoutMs },
  );

describe.concurrent.each(COMBINATIONS)('kill -9 and restart on $runtime with $kind', ({ runtime, kind }) => {
  it('[ST8] [PR8] a user who returns keeps the period; the logout of a user who does not return is settled once, with the correct time', async () => {
    const deployment = await deploy({ runtime, kind, env: ENV });
    try {
      const view = viewPresence(deployment);
      const [returning, leaving] = [freshUser(), freshUser()];
      const loginAt = Date.now();
      const clients = [await view.v1(returning), await view.v1(leaving)];
      for (const client of clients) client.keepAlive(300);
      const first = await welcomeOf(clients[0] ?? expect.fail('no client'));
      await sleep(1_500);
      const killing = Date.now();
      await deployment.gateway.kill();
      const killedAt = Date.now();
      await Promise.all(clients.map((client) => client.closed));
      await sleep(500);
      await deployment.gateway.restart();

      const again = await view.v1(returning);
      again.keepAlive(300);
      const second = await welcomeOf(again);
      expect(second).toMatchObject({ period: first.period, resumed: true });
      expect(second.epoch).toBeGreaterThan(first.epoch);

      const [row, ...more] = await settledRow(deployment, leaving);
      expect(more).toEqual([]);
      const logoutAt = row?.logoutAt ?? 0;
      expect(logoutAt).toBeLessThanOrEqual(killedAt + TIMEOUT_MS + 50);
      expect(logoutAt).toBeGreaterThanOrEqual(Math.max(loginAt - 100, killing - RECORD_MS));
      if (kind === 'redis+postgres') expect(row?.reason).toBe('node-lost');
      expect(await deployment.userTime(leaving)).toBe(logoutAt);
      expect(await view.status(leaving)).toBe('offline');
      expect(await view.status(returning)).toBe('online');
      expect(await deployment.periods(returning)).toMatchObject([{ period: first.period, logoutAt: null }]);
      again.terminate();
    } finally {
      await deployment.stop();
    }
  });

  it('[ST1] a confirmed logout is settled even if the server dies at once', async () => {
    const deployment = await deploy({ runtime, kind, env: ENV });
    try {
      const view = viewPresence(deployment);
      const user = freshUser();
      await view.login(user);
      const answer = await view.logout(user);
      expect(answer.status).toBe(200);
      await deployment.gateway.kill();
      await deployment.gateway.restart();
      const [row, ...more] = await settledRow(deployment, user, TIMEOUT_MS + 25_000);
      expect(more).toEqual([]);
      expect(row?.logoutAt).toBeGreaterThanOrEqual(row?.loginAt ?? 0);
      expect(row?.logoutAt).toBeLessThanOrEqual(Number(answer.body['logoutTime']) + TIMEOUT_MS);
      if (kind === 'redis+postgres') expect(row?.logoutAt).toBe(answer.body['logoutTime']);
    } finally {
      await deployment.stop();
    }
  });
});

describe.concurrent.each(ONE_OF_EACH)(
  'kill -9, again and late, on $runtime with $kind',
  ({ runtime, kind }) => {
    it('[ST8] time without a process does not count: users linger for one timeout after the start', async () => {
      const deployment = await deploy({ runtime, kind, env: ENV });
      try {
        const view = viewPresence(deployment);
        const user = freshUser();
        const client = await view.v1(user);
        client.keepAlive(300);
        const first = await welcomeOf(client);
        await sleep(1_000);
        await deployment.gateway.kill();
        await sleep(TIMEOUT_MS * 2);
        await deployment.gateway.restart();
        const again = await view.v1(user);
        expect(await welcomeOf(again)).toMatchObject({ period: first.period, resumed: true });
        again.terminate();
      } finally {
        await deployment.stop();
      }
    });

    it('[ST5] [ST8] killed twice: the logout time comes from the last process that held the user', async () => {
      const deployment = await deploy({ runtime, kind, env: ENV });
      try {
        const view = viewPresence(deployment);
        const user = freshUser();
        let killing = 0;
        for (const stayMs of [500, RECORD_MS + 1_500]) {
          const client = await view.v1(user);
          client.keepAlive(300);
          await welcomeOf(client);
          await sleep(stayMs);
          killing = Date.now();
          await deployment.gateway.kill();
          await client.closed;
          if (stayMs === 500) await deployment.gateway.restart();
        }
        const killedAt = Date.now();
        await deployment.gateway.restart();
        const [row, ...more] = await settledRow(deployment, user);
        expect(more).toEqual([]);
        expect(row?.logoutAt ?? 0).toBeGreaterThanOrEqual(killing - RECORD_MS - 200);
        expect(row?.logoutAt ?? 0).toBeLessThanOrEqual(killedAt + TIMEOUT_MS + 50);
      } finally {
        await deployment.stop();
      }
    });
  },
);
