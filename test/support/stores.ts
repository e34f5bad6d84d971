import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'libsql';
import { type Gateway, type Runtime, type Stores, startGateway } from './gateway-process.ts';
import { openRedisDatabase } from './redis.ts';
import { type PostgresServer, type RedisDatabase, startPostgres } from './services.ts';

export type StoreKind = 'embedded' | 'redis+postgres';

/** Every combination of runtime and stores that the contract tests use. */
export const COMBINATIONS: readonly { readonly runtime: Runtime; readonly kind: StoreKind }[] = [
  { runtime: 'bun', kind: 'embedded' },
  { runtime: 'node', kind: 'embedded' },
  { runtime: 'bun', kind: 'redis+postgres' },
  { runtime: 'node', kind: 'redis+postgres' },
];

/** Each runtime once and each pair of stores once, for rules that may depend on one of them, but not on the combination. */
export const ONE_OF_EACH: typeof COMBINATIONS = [
  { runtime: 'node', kind: 'embedded' },
  { runtime: 'bun', kind: 'redis+postgres' },
];

/** On PostgreSQL the users from 1 to this one exist. */
export const KNOWN_USERS = 20_000;

/** A row of `lingxi_periods`; times in ms. */
export interface StoredPeriod {
  readonly userId: number;
  readonly period: number;
  readonly loginAt: number;
  readonly lastSeenAt: number | null;
  readonly logoutAt: number | null;
  readonly reason: string | null;
  readonly settledAt: number | null;
}

/** The stores of one gateway, seen from outside with their own tools. */
export interface TestStores {
  readonly kind: StoreKind;
  readonly settings: Stores;
  readonly redis: RedisDatabase | undefined;
  readonly postgres: PostgresServer | undefined;
  stop(): Promise<void>;
}

export async function openStores(kind: StoreKind): Promise<TestStores> {
  if (kind === 'embedded') {
    return { kind, settings: 'embedded', redis: undefined, postgres: undefined, stop: async () => undefined };
  }
  const [redis, postgres] = await Promise.all([openRedisDatabase(), startPostgres()]);
  await createUsers(postgres);
  return {
    kind,
    settings: { redisUrl: redis.url, databaseUrl: postgres.url },
    redis,
    postgres,
    async stop() {
      await Promise.all([redis.stop(), postgres.stop()]);
    },
  };
}

/** The operator's table in the form of the Go game. */
export async function createUsers(postgres: Pick<PostgresServer, 'query'>): Promise<void> {
  await postgres.query('CREATE TABLE users (id bigint PRIMARY KEY, last_spirit_gain_time timestamptz)');
  await postgres.query('INSERT INTO users (id) SELECT generate_series(1, $1::int)', [KNOWN_USERS]);
}

/**
 * `LINGXI_REDIS_TIMEOUT_MS` where no test stops Redis. A busy machine stops a gateway for longer than the default of a second, and
 * then the gateway refuses logins.
 */
export const PATIENT_REDIS_MS = '5000';

/** A gateway on new stores, with access to what the tests inspect. */
export interface Deployment {
  readonly gateway: Gateway;
  readonly stores: TestStores;
  /** `last_spirit_gain_time` in ms: `null` if it is NULL, `undefined` if the row is missing. */
  userTime(userId: number): Promise<number | null | undefined>;
  /** Rows of `lingxi_periods` of the user, oldest first. */
  periods(userId: number): Promise<readonly StoredPeriod[]>;
  stop(): Promise<void>;
}

export async function deploy(options: {
  readonly runtime: Runtime;
  readonly kind: StoreKind;
  readonly env?: Readonly<Record<string, string | undefined>>;
}): Promise<Deployment> {
  const stores = await openStores(options.kind);
  try {
    const gateway = await startGateway({
      runtime: options.runtime,
      stores: stores.settings,
      env: { LINGXI_REDIS_TIMEOUT_MS: PATIENT_REDIS_MS, ...options.env },
    });
    const read = (sql: string, userId: number) => readRows({ stores, gateway }, sql, userId);
    return {
      gateway,
      stores,
      async userTime(userId) {
        const [row] = await read('SELECT last_spirit_gain_time AS t FROM users WHERE id = ?', userId);
        return row === undefined ? undefined : toMs(row['t']);
      },
      async periods(userId) {
        const rows = await read('SELECT * FROM lingxi_periods WHERE user_id = ? ORDER BY period', userId);
        return rows.map(toPeriod);
      },
      async stop() {
        await gateway.stop();
        await stores.stop();
      },
    };
  } catch (error) {
    await stores.stop();
    throw error;
  }
}

let lastUser = 0;

/** A user id that no other test of this file uses, and that exists on PostgreSQL. */
export function freshUser(): number {
  lastUser += 1;
  return lastUser;
}

/** The next file in the same process has its own stores, and begins with the first user again. */
export function forgetFreshUsers(): void {
  lastUser = 0;
}

async function readRows(
  where: { readonly stores: TestStores; readonly gateway: Gateway },
  sql: string,
  userId: number,
): Promise<readonly Record<string, unknown>[]> {
  const { postgres } = where.stores;
  if (postgres !== undefined) return postgres.query(sql.replace('?', '$1'), [userId]);
  const folder = join(where.gateway.dataDir, 'data');
  const file = readdirSync(folder).find((name) => /\.(db|sqlite3?)$/.test(name));
  if (file === undefined) throw new Error(`no database file in ${folder}: ${readdirSync(folder).join(', ')}`);
  const database = new Database(join(folder, file));
  try {
    database.exec('PRAGMA busy_timeout = 2000');
    return database.prepare(sql).all(userId) as Record<string, unknown>[];
  } finally {
    database.close();
  }
}

function toPeriod(row: Record<string, unknown>): StoredPeriod {
  return {
    userId: Number(row['user_id']),
    period: Number(row['period']),
    loginAt: toMs(row['login_at']) ?? Number.NaN,
    lastSeenAt: toMs(row['last_seen_at']),
    logoutAt: toMs(row['logout_at']),
    reason: row['reason'] === null ? null : String(row['reason']),
    settledAt: toMs(row['settled_at']),
  };
}

function toMs(value: unknown): number | null {
  if (value === null || value === undefined) return null;
  return value instanceof Date ? value.getTime() : Number(value);
}
