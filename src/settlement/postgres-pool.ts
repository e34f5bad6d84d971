import type { PostgresPool, PostgresPoolClient } from 'kysely';
import pg from 'pg';

export interface PostgresPoolOptions {
  readonly databaseUrl: string;
  /** Connections at most. */
  readonly max: number;
  /** To connect, and to wait for a free connection. */
  readonly connectTimeoutMs: number;
  /** For one statement, on the server and here. */
  readonly statementTimeoutMs: number;
  /** After it the server ends a transaction whose client has gone silent, so that a frozen node holds no locks. */
  readonly idleInTransactionMs: number;
}

const INT8_OID = 20;

type TypeParser = (value: string) => unknown;
/** The server gets this much time to report its own statement timeout before this side gives up on it. */
const CLIENT_GRACE_MS = 250;

/** A pool of `pg` whose connections are thrown away once they are in doubt. */
export function createPostgresPool(options: PostgresPoolOptions): pg.Pool {
  const pool = new pg.Pool({
    connectionString: options.databaseUrl,
    max: options.max,
    connectionTimeoutMillis: options.connectTimeoutMs,
    statement_timeout: options.statementTimeoutMs,
    query_timeout: options.statementTimeoutMs + CLIENT_GRACE_MS,
    idle_in_transaction_session_timeout: options.idleInTransactionMs,
    keepAlive: true,
    allowExitOnIdle: true,
    application_name: 'lingxi',
    // Every bigint here is an id, a period or milliseconds, all below 2^53.
    types: {
      getTypeParser: (oid: number, format?: 'text' | 'binary') =>
        oid === INT8_OID ? Number : (pg.types.getTypeParser(oid, format ?? 'text') as TypeParser),
    },
  });
  // A lost connection is reported by the statement that needed it; unheard, these events would end the process.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}

/** The pool as kysely wants it. */
export function guardedPool(pool: pg.Pool): PostgresPool {
  return {
    async connect() {
      return guardedClient(await pool.connect());
    },
    end: () => pool.end(),
  };
}

/**
 * After a statement that the server did not answer in time the connection still waits for that answer, and whatever
 * comes next would queue behind it: such a connection is closed instead of going back to the pool.
 */
function guardedClient(client: pg.PoolClient): PostgresPoolClient {
  let broken: Error | undefined;
  const query = async (text: string, parameters: readonly unknown[]): Promise<unknown> => {
    if (broken !== undefined) throw broken;
    try {
      return await client.query(text, [...parameters]);
    } catch (error) {
      if (!isServerError(error)) broken = error instanceof Error ? error : new Error(String(error));
      throw error;
    }
  };
  return {
    query: query as PostgresPoolClient['query'],
    release: () => client.release(broken),
  };
}

/** An answer of the server, after which the connection is in order again. */
function isServerError(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.severity !== 'FATAL';
}
