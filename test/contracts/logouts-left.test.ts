import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'libsql';
import { describe, expect, it } from 'vitest';
import { eventually } from '../support/ports.ts';
import { viewPresence } from '../support/presence-view.ts';
import { deploy, freshUser } from '../support/stores.ts';

const ENV = {
  LINGXI_HEARTBEAT_TIMEOUT_MS: '4000',
  LINGXI_HTTP_TIMEOUT_MS: '4000',
  LINGXI_PING_INTERVAL_MS: '600',
};
/** The user lingers for a timeout after the start. */
const NODE_LOST = { timeoutMs: 20_000 };

describe.concurrent.each(['bun', 'node'] as const)(
  'a stop while another program locks the database, on %s',
  (runtime) => {
    it('[ST1] [ST5] [ST8] loses no logout: the next start writes each one with its reason and its time', async () => {
      const deployment = await deploy({ runtime, kind: 'embedded', env: ENV });
      const { gateway } = deployment;
      const folder = join(gateway.dataDir, 'data');
      const other = new Database(join(folder, 'lingxi.db'));
      try {
        const view = viewPresence(deployment);
        const [leaver, stayer] = [freshUser(), freshUser()];
        await view.v1(leaver);
        const staying = await view.v1(stayer);
        staying.keepAlive(100);
        other.exec('begin immediate');
        const { body } = await gateway.service('POST', '/api/online/logout', { playerId: leaver });
        await gateway.waitForLog('settlement-unavailable');
        const stoppedAt = Date.now();
        expect(await gateway.terminate()).toMatchObject({ code: 0 });
        other.exec('rollback');
        const [left] = await deployment.periods(leaver);
        expect(left?.logoutAt).toBeNull();

        await gateway.restart();
        const [ended, ...more] = await deployment.periods(leaver);
        expect(more).toEqual([]);
        expect(ended).toMatchObject({ reason: 'logout', logoutAt: body['logoutTime'] });
        expect(await deployment.userTime(leaver)).toBe(body['logoutTime']);
        // While the lock lasted, the node could not write its sign of life either.
        await eventually(async () => {
          const [lost] = await deployment.periods(stayer);
          expect(lost?.reason).toBe('node-lost');
          expect(lost?.logoutAt).toBeGreaterThanOrEqual(stoppedAt);
        }, NODE_LOST);
        expect(readdirSync(folder).filter((name) => name.includes('logouts'))).toEqual([]);
      } finally {
        other.close();
        await deployment.stop();
      }
    }, 60_000);
  },
);
