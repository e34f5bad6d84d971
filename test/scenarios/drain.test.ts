import { describe, expect, it } from 'vitest';
import { sleep } from '../support/ports.ts';
import { viewPresence, welcomeOf } from '../support/presence-view.ts';
import { COMBINATIONS, deploy, freshUser } from '../support/stores.ts';
import { tryConnect } from '../support/ws-client.ts';

describe.each(COMBINATIONS)('SIGTERM on $runtime with $kind', ({ runtime, kind }) => {
  it.concurrent('[DR1] [DR2] says goodbye, closes 1012, exits 0, and logs nobody out who comes back', async () => {
    const deployment = await deploy({ runtime, kind });
    try {
      const { gateway } = deployment;
      const view = viewPresence(deployment);
      const [old, modern, leaver] = [freshUser(), freshUser(), freshUser()];
      const seed = await view.seed(old);
      const v1 = await view.v1(modern);
      const first = await welcomeOf(v1);
      await view.login(leaver);
      const { body } = await view.logout(leaver);

      const before = performance.now();
      const exit = gateway.terminate();
      const goodbye = await v1.next('goodbye');
      expect(goodbye.data).toEqual({
        code: 1012,
        reason: expect.any(String),
        reconnectAfterMs: expect.any(Number),
      });
      expect((await v1.closed).code).toBe(1012);
      expect((await seed.closed).code).toBe(1012);
      expect(seed.messages).toEqual([]);
      expect(await exit).toEqual({ code: 0, signal: null });
      expect(performance.now() - before).toBeLessThan(10_000);
      await expect(tryConnect(gateway.wsUrl, { token: gateway.token(freshUser()) })).rejects.toThrow();

      // Flushed before the exit: nobody else could do it now.
      const [row] = await deployment.periods(leaver);
      expect(row).toMatchObject({ logoutAt: body['logoutTime'], settledAt: expect.any(Number) });

      await sleep(500);
      await gateway.restart();
      const again = await view.v1(modern);
      expect(await welcomeOf(again)).toMatchObject({ period: first.period, resumed: true });
      again.terminate();
    } finally {
      await deployment.stop();
    }
  });

  it.concurrent('[DR1] POST /api/drain is SIGTERM without the exit, DELETE takes the node back', async () => {
    const deployment = await deploy({ runtime, kind });
    try {
      const { gateway } = deployment;
      const view = viewPresence(deployment);
      const user = freshUser();
      const client = await view.v1(user);
      const first = await welcomeOf(client);
      expect((await gateway.service('POST', '/api/drain', { node: 'another' })).status).toBe(404);
      expect((await gateway.service('POST', '/api/drain')).body).toMatchObject({ draining: true });
      expect((await client.next('goodbye')).data).toMatchObject({ code: 1012 });
      expect((await client.closed).code).toBe(1012);
      const ready = await gateway.call('GET', '/readyz');
      expect([ready.status, ready.body['code']]).toEqual([503, 'draining']);
      const refused = await tryConnect(gateway.wsUrl, { token: gateway.token(user) });
      expect(refused).toMatchObject({ status: 503 });
      expect((await gateway.service('DELETE', '/api/drain')).body).toMatchObject({ draining: false });
      const again = await view.v1(user);
      expect(await welcomeOf(again)).toMatchObject({ period: first.period, resumed: true });
      again.terminate();
    } finally {
      await deployment.stop();
    }
  });

  it.concurrent('[DR1] a second signal exits at once', async () => {
    const deployment = await deploy({ runtime, kind });
    try {
      const view = viewPresence(deployment);
      await Promise.all(Array.from({ length: 5 }, () => view.seed(freshUser())));
      const before = performance.now();
      const exit = deployment.gateway.terminate();
      await deployment.gateway.terminate();
      await exit;
      expect(performance.now() - before).toBeLessThan(5_000);
    } finally {
      await deployment.stop();
    }
  });
});
