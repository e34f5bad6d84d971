import type { Kysely, RawBuilder } from 'kysely';
import type { Config } from '../config/config.ts';
import type { Result } from '../lib/result.ts';

/** The part of the configuration that the SQL store needs. */
export type UserStoreOptions = Pick<
  Config,
  | 'databaseUrl'
  | 'dataDir'
  | 'sqlPool'
  | 'sqlTimeoutMs'
  | 'migrate'
  | 'usersTable'
  | 'usersIdColumn'
  | 'usersTimeColumn'
  | 'unknownUsers'
  | 'loginResetsTime'
>;

/** One sentence for the operator that says what to do. It never has a password. */
export interface StartFailure {
  readonly message: string;
}

export type SqlExpression = RawBuilder<unknown>;

/** Runs statements, inside a transaction or outside. */
export type SqlExecutor = Kysely<unknown>;

export interface BatchColumn {
  readonly name: string;
  readonly type: 'integer' | 'text';
  readonly values: readonly (number | string)[];
}

/** Type of the operator's time column. `bigint` and `integer` are milliseconds, `timestamp` is UTC. */
export type UserTimeType = 'timestamptz' | 'timestamp' | 'bigint';

/** The operator's users table, as found at start. */
export interface UsersTable {
  readonly table: SqlExpression;
  readonly id: SqlExpression;
  readonly time: SqlExpression;
  readonly timeType: UserTimeType;
  /** The greatest id that the column can hold. Greater ids are unknown users. */
  readonly maxId: number;
}

/** The few expressions that differ between the two databases. All other SQL is the same for both. */
export interface SqlDialect {
  /** Column type of our own times. */
  readonly timeType: SqlExpression;
  /** A relation named `batch` with one row per value of the columns. All columns have the same length. */
  batch(columns: readonly BatchColumn[]): SqlExpression;
  /** Converts milliseconds to a time of our own tables. */
  toTime(ms: SqlExpression): SqlExpression;
  /** Converts a time of our own tables to milliseconds. */
  toMs(time: SqlExpression): SqlExpression;
  /** Converts a time of our own tables to one of the operator's column. */
  toUserTime(time: SqlExpression, type: UserTimeType): SqlExpression;
  /** The earlier of two times. A second one that is NULL does not count. */
  earlier(time: SqlExpression, orNull: SqlExpression): SqlExpression;
  /** The end of a SELECT that locks rows before an UPDATE, or `undefined` if a writer locks the whole database. */
  readonly rowLock: SqlExpression | undefined;
  /** Lets an INSERT set the value of an identity column. */
  readonly overridingIdentity: SqlExpression;
}

export interface ConnectedRole {
  readonly role: string;
  /** Schema of our own tables. */
  readonly schema: string;
  /** False if some of our own tables exist and this role lacks a right on them that the gateway needs. */
  readonly mayUseOwnTables: boolean;
}

/** An open database with the operations that its dialect does in its own way. */
export interface SqlConnection {
  readonly dialect: SqlDialect;
  readonly db: SqlExecutor;
  /**
   * Runs the statements in one transaction, in their order. None may need the answer to another: over a network they all
   * go out at once.
   */
  together(statements: readonly SqlExpression[]): Promise<void>;
  /** Whether one of our own tables exists. */
  tableExists(name: string): Promise<boolean>;
  /** Runs `work` in a transaction. No other migration of any process runs at the same time. */
  exclusively<Value>(work: (tx: SqlExecutor) => Promise<Value>): Promise<Value>;
  /** The users table if the embedded database still lacks it. Always `undefined` on the operator's own database. */
  missingUsersTable(): Promise<{ create(tx: SqlExecutor): Promise<void> } | undefined>;
  /** The connected role and the schema of our own tables; `undefined` on the embedded database, which has no roles. */
  role(): Promise<ConnectedRole | undefined>;
  inspectUsers(): Promise<Result<UsersTable, StartFailure>>;
  withReconcilerLock(work: () => Promise<void>): Promise<boolean>;
  /** Rejects if the database does not answer, or if another program locks out every writer. */
  ping(): Promise<void>;
  close(): Promise<void>;
}
