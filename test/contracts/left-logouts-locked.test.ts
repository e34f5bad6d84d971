import { expect, it } from 'vitest';
import { startGateway } from '../support/gateway-process.ts';
import { eventually } from '../support/ports.ts';
import { viewPresence, welcomeOf } from '../support/presence-view.ts';
import { startPostgres } from '../support/services.ts';

const USER = 3;

it.concurrent.each(['bun', 'node'] as const)(
  '[PR7] [ST1] [ST8] a restart brings no user back online whose logout waits for a locked row, on %s',
  async (runtime) => {
    const postgres = await startPostgres();
    await postgres.query('CREATE TABLE users (id integer PRIMARY KEY, last_spirit_gain_time timestamptz)');
    await postgres.query('INSERT INTO users (id) SELECT generate_series(1, 100)');
    const env = {
      DATABASE_URL: postgres.url,
      LINGXI_SQL_TIMEOUT_MS: '1000',
      LINGXI_DRAIN_TIMEOUT_MS: '4000',
    };
    const gateway = await startGateway({ runtime, stores: 'embedded', env });
    try {
      const view = viewPresence({ gateway });
      const before = await welcomeOf(await view.v1(USER));
      await postgres.rival(async (query) => {
        await query('SELECT id FROM users WHERE id = $1 FOR UPDATE', [USER]);
        const { body } = await gateway.service('POST', '/api/online/logout', { playerId: USER });
        // Twice: the second process must keep what the first one left.
        for (let stop = 0; stop < 2; stop += 1) {
          expect(await gateway.terminate()).toMatchObject({ code: 0 });
          await gateway.restart();
          expect(await view.status(USER)).not.toBe('online');
          expect((await view.heartbeat(USER)).status).not.toBe(200);
        }
        await query('ROLLBACK');
        // No further start is needed.
        await eventually(async () => {
          const periods = await postgres.query(
            'SELECT reason, extract(epoch FROM logout_at) * 1000 AS at FROM lingxi_periods WHERE user_id = $1',
            [USER],
          );
          expect(periods.map(({ reason, at }) => [reason, Number(at)])).toEqual([
            ['logout', body['logoutTime']],
          ]);
        });
      });
      const after = await welcomeOf(await view.v1(USER));
      expect(after).toMatchObject({ resumed: false });
      expect(after.period).toBeGreaterThan(before.period);
      await gateway.terminate();
      await gateway.restart();
      expect(await view.status(USER)).toBe('online');
    } finally {
      await gateway.stop();
      await postgres.stop();
    }
  },
  90_000,
);
