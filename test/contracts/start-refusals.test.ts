import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Exit, startChild } from '../support/child.ts';
import {
  GATEWAY_COMMAND,
  gatewayEnvironment,
  type Runtime,
  startGateway,
} from '../support/gateway-process.ts';
import { freePort, sleep } from '../support/ports.ts';
import { viewPresence } from '../support/presence-view.ts';
import { type PostgresServer, startPostgres } from '../support/services.ts';
import { freshUser } from '../support/stores.ts';

const LIMIT_MS = 25_000;

/** Starts the gateway, expects it to end by itself, and returns its output. */
async function failedStart(runtime: Runtime, env: Readonly<Record<string, string | undefined>>) {
  const folder = mkdtempSync(join(tmpdir(), 'lingxi-refused-'));
  const started = performance.now();
  const child = startChild(process.execPath, GATEWAY_COMMAND, {
    cwd: folder,
    env: gatewayEnvironment({ runtime, stores: 'embedded', env }, folder),
    removeOnDeath: folder,
  });
  const exit = await Promise.race<Exit | undefined>([child.exited, sleep(LIMIT_MS).then(() => undefined)]);
  const took = performance.now() - started;
  if (exit === undefined) {
    child.signalGroup('SIGKILL');
    await child.exited;
  }
  rmSync(folder, { recursive: true, force: true });
  return { exit, took, output: child.output() };
}

describe.each(['bun', 'node'] as const)('a start that cannot succeed, on %s', (runtime) => {
  let postgres: PostgresServer;
  let taken: Server;
  let takenPort: number;
  beforeAll(async () => {
    postgres = await startPostgres();
    await postgres.query('CREATE TABLE users (id bigint PRIMARY KEY, last_spirit_gain_time timestamptz)');
    taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const address = taken.address();
    takenPort = typeof address === 'object' && address !== null ? address.port : 0;
  });
  afterAll(async () => {
    taken?.close();
    await postgres?.stop();
  });

  const refuses = async (env: Readonly<Record<string, string | undefined>>, ...words: readonly RegExp[]) => {
    const { exit, took, output } = await failedStart(runtime, env);
    expect(exit, `still running after ${Math.round(took)} ms: ${output}`).toBeDefined();
    expect(exit?.code, output).not.toBe(0);
    expect(exit?.signal, output).toBeNull();
    for (const word of words) expect(output).toMatch(word);
    // A sentence for people: no stack, and few lines.
    expect(output).not.toMatch(/^\s+at .+:\d+:\d+\)?$/m);
    expect(output.trim().split('\n').length).toBeLessThan(12);
    return output;
  };

  it('names a port in use', () => refuses({ PORT: String(takenPort) }, new RegExp(String(takenPort))));

  it('names a Redis that cannot be reached', async () => {
    const port = await freePort();
    const env = { REDIS_URL: `redis://:hidden-word@127.0.0.1:${port}`, DATABASE_URL: postgres.url };
    const output = await refuses(env, /redis/i);
    expect(output).not.toContain('hidden-word');
  });

  it('names a PostgreSQL that cannot be reached', async () => {
    const port = await freePort();
    const output = await refuses(
      { DATABASE_URL: `postgres://someone:hidden-word@127.0.0.1:${port}/game` },
      /postgres|database/i,
    );
    expect(output).not.toContain('hidden-word');
  });

  it('names a data folder that is a file, and leaves the file as it is', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lingxi-file-'));
    const file = join(folder, 'not-a-folder');
    writeFileSync(file, 'x', { mode: 0o644 });
    await refuses({ LINGXI_DATA_DIR: file }, /not-a-folder.*set LINGXI_DATA_DIR to a folder, not to a file/);
    expect((statSync(file).mode & 0o777).toString(8)).toBe('644');
    rmSync(folder, { recursive: true });
  });

  it('names a users table that does not exist', async () => {
    const database = await postgres.createDatabase(`without_table_${runtime}`);
    await refuses({ DATABASE_URL: database.url }, /users/);
    await database.stop();
  });

  it('names a users table without the column', async () => {
    const database = await postgres.createDatabase(`without_column_${runtime}`);
    await database.query('CREATE TABLE users (id bigint PRIMARY KEY)');
    await refuses({ DATABASE_URL: database.url }, /last_spirit_gain_time/);
    await database.stop();
  });

  it('names a column whose type cannot hold a time', async () => {
    const database = await postgres.createDatabase(`wrong_type_${runtime}`);
    await database.query('CREATE TABLE users (id bigint PRIMARY KEY, last_spirit_gain_time text)');
    await refuses({ DATABASE_URL: database.url }, /last_spirit_gain_time/);
    await database.stop();
  });

  it.each<[string, Record<string, string | undefined>, RegExp]>([
    ['an unknown name', { LINGXI_HEARTBEAT_TIMEOUT: '10000' }, /LINGXI_HEARTBEAT_TIMEOUT\b/],
    ['a bad number', { LINGXI_HEARTBEAT_TIMEOUT_MS: 'ten' }, /LINGXI_HEARTBEAT_TIMEOUT_MS/],
    ['a bad choice', { LINGXI_SESSION_POLICY: 'perhaps' }, /LINGXI_SESSION_POLICY/],
    ['a weak secret', { JWT_SECRET: 'short' }, /JWT_SECRET/],
    ['a contradiction', { LINGXI_PING_INTERVAL_MS: '20000' }, /LINGXI_PING_INTERVAL_MS/],
    ['production without a JWT key', { NODE_ENV: 'production', JWT_SECRET: undefined }, /JWT/],
    [
      'production without a service key',
      { NODE_ENV: 'production', LINGXI_API_KEY: undefined },
      /LINGXI_API_KEY/,
    ],
    [
      'production with a short service key',
      { NODE_ENV: 'production', LINGXI_API_KEY: 'service-key-of-23-bytes' },
      /LINGXI_API_KEY must have at least 24 bytes/,
    ],
    [
      'production with a secret of one letter',
      { NODE_ENV: 'production', JWT_SECRET: 'x'.repeat(48) },
      /JWT_SECRET can be guessed/,
    ],
    [
      'production with Redis and no PostgreSQL',
      { NODE_ENV: 'production', REDIS_URL: 'redis://127.0.0.1:1' },
      /REDIS_URL is set without DATABASE_URL/,
    ],
    [
      'an origin with a star in it',
      { LINGXI_ALLOWED_ORIGINS: 'https://*.example' },
      /LINGXI_ALLOWED_ORIGINS must be .*exact origins/,
    ],
  ])('names %s', async (_name, env, word) => {
    const output = await refuses(env, word);
    expect(output).not.toContain(env['JWT_SECRET'] === 'short' ? '"short"' : 'test-jwt-secret');
  });

  it('refuses a data folder that another process uses, because it would end the open periods there', async () => {
    const first = await startGateway({ runtime, stores: 'embedded', env: {} });
    try {
      const view = viewPresence({ gateway: first });
      const user = freshUser();
      const client = await view.seed(user);
      client.keepAlive(1_000);
      await refuses(
        { LINGXI_DATA_DIR: join(first.dataDir, 'data') },
        /in use by another process/,
        /LINGXI_DATA_DIR/,
      );
      expect(await view.status(user)).toBe('online');
      client.terminate();
    } finally {
      await first.stop();
    }
  });
});
