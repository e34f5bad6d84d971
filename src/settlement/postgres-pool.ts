import type { PostgresPool, PostgresPoolClient } from 'kysely';
import pg from 'pg';

/**
 * The scope of a timeout on the server. `connection`: it is a startup parameter of each connection. `transaction`: each
 * transaction sets it, and a single statement gets its own transaction. A pooler gives one server connection to many
 * programs in turn, so a setting of the connection would reach the others.
 */
export type TimeoutScope = 'connection' | 'transaction';

export interface PostgresPoolOptions {
  readonly databaseUrl: string;
  /** Largest number of connections. */
  readonly max: number;
  /** Timeout to connect, and to wait for a free connection. */
  readonly connectTimeoutMs: number;
  /** Timeout of one statement, on the server and here. */
  readonly statementTimeoutMs: number;
  /** After this time the server ends the transaction of a silent client, so that a frozen node holds no locks. */
  readonly idleInTransactionMs: number;
  readonly timeoutScope: TimeoutScope;
}

/** The client interface of kysely, without cursors. */
interface GuardedClient {
  readonly query: (text: string, parameters: readonly unknown[]) => Promise<unknown>;
  readonly release: () => void;
}

export interface Statement {
  readonly sql: string;
  readonly parameters: readonly unknown[];
}

export interface GuardedPool extends PostgresPool {
  /**
   * Runs the statements in one transaction, and sends all of it at once. So a login waits for one answer of the server. Five
   * answers in series would take five turns of a busy event loop. Rejects with the first error.
   */
  together(statements: readonly Statement[]): Promise<void>;
}

const INT8_OID = 20;
const NO_ROWS = { command: 'BEGIN', rowCount: 0, rows: [] };

type TypeParser = (value: string) => unknown;
/** The server gets this much time to report its own statement timeout before this side gives up on it. */
const CLIENT_GRACE_MS = 250;

/** A pool of `pg` that closes a connection once its state is in doubt. */
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
    pipeline: true,
    allowExitOnIdle: true,
    application_name: 'lingxi',
    // Every bigint here is an id, a period or milliseconds, all below 2^53.
    types: {
      getTypeParser: (oid: number, format?: 'text' | 'binary') =>
        oid === INT8_OID ? Number : (pg.types.getTypeParser(oid, format ?? 'text') as TypeParser),
    },
  });
  // The statement on a lost connection reports the loss. Without a listener these events would end the process.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}

/** The pool in the form that kysely needs. */
export function guardedPool(pool: pg.Pool, options: PostgresPoolOptions): GuardedPool {
  return {
    async together(statements) {
      const client = guardedClient(await pool.connect());
      try {
        await allSent([
          client.query(options.timeoutScope === 'connection' ? 'begin' : beginning(options), []),
          ...statements.map(({ sql, parameters }) => client.query(sql, parameters)),
          // After an error it rolls back.
          client.query('commit', []),
        ]);
      } finally {
        client.release();
      }
    },
    async connect() {
      const client = guardedClient(await pool.connect());
      const { query, release } =
        options.timeoutScope === 'connection' ? client : limitedClient(client, beginning(options));
      return { query: query as PostgresPoolClient['query'], release };
    },
    end: () => pool.end(),
  };
}

/** The statements after the first one that failed say only that the transaction is over. */
async function allSent(answers: readonly Promise<unknown>[]): Promise<void> {
  const failed = (await Promise.allSettled(answers)).find((answer) => answer.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/**
 * After a statement timed out, its connection still waits for that answer, and the next statement would queue behind it.
 * So such a connection is closed instead of going back to the pool.
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

/** Every transaction begins with its own timeouts, in one round trip. */
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

/** An error from the server itself: the connection is still in order. */
function isServerError(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.severity !== 'FATAL';
}
