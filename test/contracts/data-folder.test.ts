import { chmodSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'libsql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../support/child.ts';
import { eventually } from '../support/ports.ts';
import { viewPresence, welcomeOf } from '../support/presence-view.ts';
import { type Deployment, deploy, freshUser } from '../support/stores.ts';
import { startWitness } from '../support/witness.ts';
import { refusal } from '../support/ws-client.ts';

/** A user and a group of the machine that own no files. */
const NOBODY = 65_534;
const READ_BY_ALL = 0o666;
const ENTERED_BY_ALL = 0o777;
/** A server needs less to reach its database, and waits for two seconds there. */
const RELEASED_AFTER_MS = 1_200;

const rightsOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

describe.concurrent.each(['bun', 'node'] as const)('the data folder on %s', (runtime) => {
  let deployment: Deployment;
  let folder: string;
  beforeAll(async () => {
    deployment = await deploy({ runtime, kind: 'embedded', env: { LINGXI_API_KEY: undefined } });
    folder = join(deployment.gateway.dataDir, 'data');
  });
  afterAll(() => deployment?.stop());

  const files = (): Record<string, string> =>
    Object.fromEntries(readdirSync(folder).map((name) => [name, rightsOf(join(folder, name))]));

  /** The files that another user of the machine can open. Only root can try this; other users read the permissions. */
  async function openedByAnother(): Promise<string> {
    if (process.getuid?.() !== 0)
      return Object.entries(files())
        .flatMap(([name, rights]) => (rights.endsWith('00') ? [] : [name]))
        .join(' ');
    const program = `
      const fs = require('node:fs');
      const opened = process.argv.slice(1).filter((file) => {
        try { fs.closeSync(fs.openSync(file, 'r')); return true; } catch { return false; }
      });
      process.stdout.write(opened.join(' '));`;
    const names = readdirSync(folder).map((name) => join(folder, name));
    return run(process.execPath, ['-e', program, ...names], { uid: NOBODY, cwd: '/' });
  }

  it.sequential('only its owner can open the folder and every file in it, from the first start on', () => {
    expect(rightsOf(folder)).toBe('700');
    expect(Object.keys(files())).toEqual(
      expect.arrayContaining(['api-key', 'lingxi.db', 'lingxi.db-shm', 'lingxi.db-wal', 'lock.db']),
    );
    expect(new Set(Object.values(files()))).toEqual(new Set(['600']));
  });

  it.sequential('[ST8] logins do not make the log of the database longer, and a start after a kill reads them from it', async () => {
    const { gateway } = deployment;
    const logSize = (): number => statSync(join(folder, 'lingxi.db-wal')).size;
    const sizeAtStart = logSize();
    expect(sizeAtStart).toBeGreaterThan(4_000_000);
    const view = viewPresence(deployment);
    const user = freshUser();
    const first = await welcomeOf(await view.v1(user));
    await gateway.kill();
    expect(logSize()).toBe(sizeAtStart);
    await gateway.restart();
    const again = await view.v1(user);
    expect(await welcomeOf(again)).toMatchObject({ period: first.period, resumed: true });
    again.terminate();
  });

  it.sequential('the next start removes the access of other users to the folder', async () => {
    const { gateway } = deployment;
    // After a kill, the files beside the database remain.
    await gateway.kill();
    for (const name of readdirSync(folder)) chmodSync(join(folder, name), READ_BY_ALL);
    chmodSync(folder, ENTERED_BY_ALL);
    chmodSync(gateway.dataDir, ENTERED_BY_ALL);
    await gateway.restart();
    expect(rightsOf(folder)).toBe('700');
    expect(new Set(Object.values(files()))).toEqual(new Set(['600']));
  });

  it.sequential('another user of the machine cannot lock the database', async () => {
    chmodSync(deployment.gateway.dataDir, ENTERED_BY_ALL);
    expect(await openedByAnother()).toBe('');
    // The permissions of the files protect them if those of the folder change while the server runs.
    chmodSync(folder, ENTERED_BY_ALL);
    expect(await openedByAnother()).toBe('');
    chmodSync(folder, 0o700);
  });

  it.sequential('/readyz answers degraded while another program locks the database, and online users notice nothing', async () => {
    const { gateway } = deployment;
    const witness = await startWitness(gateway);
    const other = new Database(join(folder, 'lingxi.db'));
    const readiness = async () => {
      const { status, body } = await gateway.call('GET', '/readyz');
      return { status, state: body['status'], code: body['code'] };
    };
    const ok = { status: 200, state: 'ok', code: undefined };
    const degraded = { status: 200, state: 'degraded', code: 'settlement-unavailable' };
    try {
      expect(await readiness()).toEqual(ok);
      other.exec('begin immediate');
      const refused = await refusal(gateway.wsUrl, { token: gateway.token(freshUser()) });
      expect(refused.status).toBe(503);
      // Only the first wait blocks the loop for half a second. Otherwise each further login would do so.
      const since = performance.now();
      for (let login = 0; login < 30; login += 1)
        expect((await refusal(gateway.wsUrl, { token: gateway.token(freshUser()) })).status).toBe(503);
      expect(performance.now() - since).toBeLessThan(10_000);
      await eventually(async () => expect(await readiness()).toEqual(degraded), { timeoutMs: 5_000 });
      await gateway.waitForLog('settlement-unavailable', (line) => String(line['cause']).includes('locked'));
      other.exec('rollback');
      await eventually(async () => expect(await readiness()).toEqual(ok), { timeoutMs: 10_000 });
      await gateway.waitForLog('settlement-restored');
      // A write waits for the lock and blocks the loop for 0.5 s at most. The machine may be busy.
      await witness.noticedNothing(4_000);
    } finally {
      other.close();
      witness.stop();
    }
  }, 60_000);
});

describe.concurrent.each(['bun', 'node'] as const)(
  'a start beside another program in the data folder, on %s',
  (runtime) => {
    it('waits for a program that releases the database soon, and names one that keeps it', async () => {
      const deployment = await deploy({ runtime, kind: 'embedded' });
      const { gateway } = deployment;
      // Another program that recovers, closes or copies the database locks it even against those who only read.
      const other = new Database(join(gateway.dataDir, 'data', 'lingxi.db'));
      const read = (): unknown => other.prepare('select count(*) from sqlite_master').get();
      const lock = (): void => {
        // SQLite keeps an exclusive lock until the end if that is its first access.
        read();
        other.exec('pragma locking_mode = exclusive');
        other.exec('begin immediate; commit');
      };
      const release = (): void => {
        other.exec('pragma locking_mode = normal');
        read();
      };
      try {
        await gateway.kill();
        lock();
        const released = setTimeout(release, RELEASED_AFTER_MS);
        await gateway.restart().finally(() => clearTimeout(released));
        expect((await gateway.call('GET', '/readyz')).status).toBe(200);
        await gateway.kill();
        lock();
        await expect(gateway.restart()).rejects.toThrow(
          /lingxi\.db is locked by another program .*end that program.*start again/,
        );
      } finally {
        other.close();
        await deployment.stop();
      }
    }, 60_000);
  },
);

describe.concurrent.each(['bun', 'node'] as const)('PostgreSQL away, on %s', (runtime) => {
  it('[ST9] the node stays ready but degraded, also while PostgreSQL answers but accepts no writes', async () => {
    const { gateway, stores, stop } = await deploy({ runtime, kind: 'redis+postgres' });
    const { postgres } = stores;
    try {
      const readiness = async () => {
        const { status, body } = await gateway.call('GET', '/readyz');
        return [status, body['status'], body['code']];
      };
      const becomes = (state: readonly unknown[]) =>
        eventually(async () => expect(await readiness()).toEqual(state), { timeoutMs: 30_000 });
      await becomes([200, 'ok', undefined]);
      await postgres?.query('ALTER SYSTEM SET default_transaction_read_only = on');
      await postgres?.query('SELECT pg_reload_conf()');
      await becomes([200, 'degraded', 'settlement-unavailable']);
      await postgres?.query('SET default_transaction_read_only = off');
      await postgres?.query('ALTER SYSTEM RESET default_transaction_read_only');
      await postgres?.query('SELECT pg_reload_conf()');
      await becomes([200, 'ok', undefined]);
      await postgres?.kill();
      await becomes([200, 'degraded', 'settlement-unavailable']);
      expect((await gateway.call('GET', '/healthz')).status).toBe(200);
      await postgres?.restart();
      await becomes([200, 'ok', undefined]);
    } finally {
      await stop();
    }
  }, 120_000);
});
