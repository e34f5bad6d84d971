import type { PostgresPool, PostgresPoolClient } from 'kysely';
import pg from 'pg';

/**
 * For how long a time-out is set on the server. `connection`: it is a parameter with which each connection begins.
 * `transaction`: it is set anew in each transaction, and a lone statement gets a transaction of its own. A pooler gives one
 * connection of the server to many programs in turn: a setting of the connection would reach the others.
 */
export type TimeoutScope = 'connection' | 'transaction';

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
  readonly timeoutScope: TimeoutScope;
}

/** What kysely asks of a client, apart from cursors. */
interface GuardedClient {
  readonly query: (text: string, parameters: readonly unknown[]) => Promise<unknown>;
  readonly release: () => void;
}

const INT8_OID = 20;
const NO_ROWS = { command: 'BEGIN', rowCount: 0, rows: [] };

type TypeParser = (value: string) => unknown;
/** The server gets this much time to report its own statement timeout before this side gives up on it. */
const CLIENT_GRACE_MS = 250;

/** A pool of `pg` whose connections are thrown away once they are in doubt. */
export function createPostgresPool(options: PostgresPoolOptions): pg.Pool {
  const pool = new pg.Pool({
    connectionString: options.databaseUrl,
    max: options.max,
    connectionTimeoutMillis: options.connectTimeoutMs,
    query_timeout: options.statementTimeoutMs + CLIENT_GRACE_MS,
    ...(options.timeoutScope === 'connection'
      ? {
          statement_timeout: options.statementTimeoutMs,
          idle_in_transaction_session_timeout: options.idleInTransactionMs,
        }
      : {}),
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
export function guardedPool(pool: pg.Pool, options: PostgresPoolOptions): PostgresPool {
  return {
    async connect() {
      const client = guardedClient(await pool.connect());
      const { query, release } =
        options.timeoutScope === 'connection' ? client : limitedClient(client, beginning(options));
      return { query: query as PostgresPoolClient['query'], release };
    },
    end: () => pool.end(),
  };
}

/**
 * After a statement that the server did not answer in time the connection still waits for that answer, and whatever
 * comes next would queue behind it: such a connection is closed instead of going back to the pool.
 */
function guardedClient(client: pg.PoolClient): GuardedClient {
  let broken: Error | undefined;
  return {
    async query(text, parameters) {
      if (broken !== undefined) throw broken;
      try {
        return await client.query(text, [...parameters]);
      } catch (error) {
        if (!isServerError(error)) broken = error instanceof Error ? error : new Error(String(error));
        throw error;
      }
    },
    release: () => client.release(broken),
  };
}

/** Every transaction begins with its own time-outs, in one round trip. */
function limitedClient(client: GuardedClient, begin: string): GuardedClient {
  let isOpen = false;
  const open = async (): Promise<void> => {
    try {
      await client.query(begin, []);
    } catch (error) {
      // A connection in doubt is closed, and the server rolls back by itself.
      await client.query('rollback', []).catch(() => undefined);
      throw error;
    }
  };
  return {
    async query(text, parameters) {
      if (text === 'begin') {
        await open();
        isOpen = true;
        return NO_ROWS;
      }
      if (text === 'commit' || text === 'rollback') {
        isOpen = false;
        return client.query(text, parameters);
      }
      if (isOpen) return client.query(text, parameters);
      await open();
      try {
        const answer = await client.query(text, parameters);
        await client.query('commit', []);
        return answer;
      } catch (error) {
        await client.query('rollback', []).catch(() => undefined);
        throw error;
      }
    },
    release: client.release,
  };
}

function beginning({ statementTimeoutMs, idleInTransactionMs }: PostgresPoolOptions): string {
  return `begin; set local statement_timeout = ${statementTimeoutMs}; set local idle_in_transaction_session_timeout = ${idleInTransactionMs}`;
}

/** An answer of the server, after which the connection is in order again. */
function isServerError(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.severity !== 'FATAL';
}
