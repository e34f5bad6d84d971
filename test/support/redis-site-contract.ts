import { join } from 'node:path';
import { expect, it } from 'vitest';
import { REPOSITORY } from './cache.ts';
import { startChild } from './child.ts';
import type { Runtime } from './gateway-process.ts';
import { eventually } from './ports.ts';
import { pushOf, type Site, settled } from './redis-failover.ts';
import type { RedisDeployment } from './redis-sentinel.ts';
import { freshUser } from './stores.ts';

const RUNTIMES: readonly Runtime[] = ['bun', 'node'];

/** What holds on every kind of Redis while nothing happens to it. The doctor looks at one of the two gateways. */
export function itServesPlayers(site: () => Site<RedisDeployment>, examined: Runtime): void {
  it.concurrent.each(RUNTIMES)(
    '[PR13] a user of the %s gateway comes, is pushed to and leaves',
    async (runtime) => {
      const { redis } = site();
      const { gateway, view } = site().node(runtime);
      const [user, player] = [freshUser(), freshUser()];
      const client = await view.v1(user);
      client.keepAlive(300);
      const hash = (id: number, field: string) =>
        redis.cli('HGET', `${redis.prefix}player:online:${id}`, field);
      const inSet = (id: number) =>
        redis.cli('SISMEMBER', `${redis.prefix}server:online:players`, String(id));
      await eventually(async () => expect(await inSet(user)).toBe('1'));
      expect(await hash(user, 'status')).toBe('online');
      expect(await view.player(user)).toMatchObject({ status: 'online', connections: 1 });

      expect((await view.login(player)).status).toBe(200);
      expect(await inSet(player)).toBe('1');
      const beat = await view.heartbeat(player);
      expect(beat.status).toBe(200);
      // What is in Redis is at most 5 s behind (contract section 5).
      await eventually(
        async () => {
          await view.heartbeat(player);
          expect(Number(await hash(player, 'lastHeartbeat'))).toBeGreaterThanOrEqual(
            Number(beat.body['lastHeartbeat']),
          );
        },
        { timeoutMs: 10_000, intervalMs: 500 },
      );

      await redis.cli('PUBLISH', 'lingxi:push', pushOf([user]));
      expect((await client.next('news')).data).toBe(1);
      await redis.cli('XADD', `${redis.prefix}lingxi:push:stream`, '*', 'message', pushOf([user]));
      expect((await client.next('news')).data).toBe(1);
      client.send({ type: 'chat', data: user });
      await eventually(async () =>
        expect(await redis.cli('XRANGE', `${redis.prefix}lingxi:inbound`, '-', '+')).toContain(`\n${user}\n`),
      );
      expect((await view.logout(user)).status).toBe(200);
      expect((await client.closed).code).toBe(4000);
      expect((await view.logout(player)).status).toBe(200);
      for (const id of [user, player]) await settled(site(), id);
      for (const secret of redis.secrets) expect(gateway.printed()).not.toContain(secret);
    },
  );

  it.concurrent(`lingxi doctor finds the ${examined} gateway well`, async () => {
    const { gateway } = site().node(examined);
    const users = `${freshUser()},${freshUser()}`;
    const child = startChild(
      process.execPath,
      [join(REPOSITORY, 'bin/lingxi.js'), 'doctor', '--url', gateway.url, '--users', users],
      {
        cwd: gateway.dataDir,
        env: { ...process.env, LINGXI_API_KEY: gateway.apiKey, NODE_ENV: 'development' },
      },
    );
    const exit = await child.exited;
    expect(child.output()).toContain('✓');
    expect(exit.code, child.output()).toBe(0);
  });
}
