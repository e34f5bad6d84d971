import { describe, expect, it } from 'vitest';
import { eventually, sleep } from '../support/ports.ts';
import { settledPeriod, withPair } from '../support/store-pair.ts';
import { freshUser } from '../support/stores.ts';

const HTTP_TIMEOUT_MS = 4_000;
/** SQL delays the login for this time. */
const LATE_MS = 1_500;
/** What a call takes on a busy machine. */
const CALL_MS = 1_000;

describe('a heartbeat by HTTP to one node, while a login on another one waits for SQL', () => {
  it.concurrent.each(['bun', 'node'] as const)(
    '[ST5] proves life at its arrival, not when presence could answer it, on %s',
    { timeout: 60_000 },
    (runtime) =>
      withPair(
        { timeoutMs: 1_000, env: { LINGXI_HTTP_TIMEOUT_MS: String(HTTP_TIMEOUT_MS) } },
        async (pair) => {
          const [opens, hears] = runtime === 'bun' ? [pair.node, pair.bun] : [pair.bun, pair.node];
          const user = freshUser();
          // The first login of an empty Redis waits until every node could restore.
          expect((await opens.login(freshUser())).status).toBe(200);
          let beatAt = 0;
          await pair.postgres.rival(async (query) => {
            await query('LOCK TABLE lingxi_periods IN SHARE MODE');
            let isIn = false;
            const login = opens.v1(user, { autoPong: false }).then((client) => {
              isIn = true;
              client.terminate();
            });
            await eventually(async () =>
              expect(await pair.postgres.query('SELECT 1 FROM pg_locks WHERE NOT granted')).not.toEqual([]),
            );
            beatAt = Date.now();
            const beat = hears.heartbeat(user);
            await sleep(LATE_MS);
            expect(isIn).toBe(false);
            await query('ROLLBACK');
            await login;
            expect((await beat).status).toBe(200);
          });
          const row = await settledPeriod(pair, user);
          expect(row.reason).toBe('timeout');
          expect((row.logoutAt ?? 0) - beatAt).toBeGreaterThanOrEqual(HTTP_TIMEOUT_MS - CALL_MS);
          expect((row.logoutAt ?? 0) - beatAt).toBeLessThan(HTTP_TIMEOUT_MS + CALL_MS);
        },
      ),
  );
});
