import { describe, expect, it } from 'vitest';
import { eventually } from '../support/ports.ts';
import { settledPeriod, withPair } from '../support/store-pair.ts';
import { freshUser } from '../support/stores.ts';

const BLOCK_MS = 600_000;

describe('a kick with a block on one node, while the user logs in on another one', () => {
  it.concurrent.each(['bun', 'node'] as const)(
    '[PR7] ends the period that is about to open, on %s',
    { timeout: 90_000 },
    (runtime) =>
      withPair({ timeoutMs: 10_000, env: { LINGXI_SQL_TIMEOUT_MS: '10000' } }, async (pair) => {
        const [opens, kicks] = runtime === 'bun' ? [pair.bun, pair.node] : [pair.node, pair.bun];
        const user = freshUser();
        // The first login of an empty Redis waits until every node could restore.
        expect((await opens.login(freshUser())).status).toBe(200);
        const service = (method: string, path: string, body?: unknown) =>
          kicks.gateway.service(method, path, body);
        await pair.postgres.rival(async (query) => {
          await query('LOCK TABLE lingxi_periods IN SHARE MODE');
          const login = opens.v1(user);
          await eventually(async () =>
            expect(await pair.postgres.query('SELECT 1 FROM pg_locks WHERE NOT granted')).not.toEqual([]),
          );
          const kick = service('POST', `/api/users/${user}/disconnect`, { blockMs: BLOCK_MS });
          await eventually(async () =>
            expect((await service('GET', `/api/dashboard/users/${user}`)).body['blockedUntil']).toBeDefined(),
          );
          await query('ROLLBACK');
          const client = await login;
          expect((await kick).status).toBe(200);
          expect((await client.closed).code).toBe(4002);
        });
        expect(await settledPeriod(pair, user)).toMatchObject({ reason: 'kick' });
        expect(await kicks.status(user)).toBe('offline');
      }),
  );
});
