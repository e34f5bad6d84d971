import type { Kysely, RawBuilder } from 'kysely';
import type { Config } from '../config/config.ts';
import type { Result } from '../lib/result.ts';

/** What of the configuration the SQL store needs. */
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

/** One sentence for the operator that says what to do. It never holds a password. */
export interface StartFailure {
  readonly message: string;
}

export type SqlExpression = RawBuilder<unknown>;

/** Statements run on this, inside a transaction or outside. */
export type SqlExecutor = Kysely<unknown>;

export interface BatchColumn {
  readonly name: string;
  readonly type: 'integer' | 'text';
  readonly values: readonly (number | string)[];
}

/** How the operator keeps the time column. `bigint` and `integer` are milliseconds, `timestamp` is read as UTC. */
export type UserTimeType = 'timestamptz' | 'timestamp' | 'bigint';

/** The operator's users table as it was found at start. */
export interface UsersTable {
  readonly table: SqlExpression;
  readonly id: SqlExpression;
  readonly time: SqlExpression;
  readonly timeType: UserTimeType;
  /** The greatest id that the column can hold; greater ids exist nowhere. */
  readonly maxId: number;
}

/** The few expressions in which the two databases differ. Everything else is one text for both. */
export interface SqlDialect {
  readonly name: 'sqlite' | 'postgres';
  /** Column type of our own times. */
  readonly timeType: SqlExpression;
  /** A relation named `batch` with one row per value of the columns, which are all of one length. */
  batch(columns: readonly BatchColumn[]): SqlExpression;
  /** Milliseconds to a time as our own tables keep it. */
  toTime(ms: SqlExpression): SqlExpression;
  /** A time of our own tables to milliseconds. */
  toMs(time: SqlExpression): SqlExpression;
  /** A time of our own tables to one of the operator's column. */
  toUserTime(time: SqlExpression, type: UserTimeType): SqlExpression;
  /** The earlier of two times; the second may be NULL and then does not count. */
  earlier(time: SqlExpression, orNull: SqlExpression): SqlExpression;
  /** Ends a SELECT that locks rows ahead of an UPDATE; `undefined` where a writer locks the whole database. */
  readonly rowLock: SqlExpression | undefined;
  /** Lets an INSERT name the value of an identity column. */
  readonly overridingIdentity: SqlExpression;
}

export interface ConnectedRole {
  readonly role: string;
  /** Schema in which our own tables are made and found. */
  readonly schema: string;
  /** False where some of our own tables exist and this role lacks a right of theirs that the gateway needs. */
  readonly mayUseOwnTables: boolean;
}

/** An open database with what its dialect does in its own way. */
export interface SqlConnection {
  readonly dialect: SqlDialect;
  readonly db: SqlExecutor;
  /** Whether one of our own tables exists. */
  tableExists(name: string): Promise<boolean>;
  /** Runs `work` in a transaction that no other migration of any process overlaps. */
  exclusively<Value>(work: (tx: SqlExecutor) => Promise<Value>): Promise<Value>;
  /** The users table that the embedded database still lacks; always `undefined` on the operator's own database. */
  missingUsersTable(): Promise<{ create(tx: SqlExecutor): Promise<void> } | undefined>;
  /** Who is connected, and where our own tables are; `undefined` on the embedded database, which has no roles. */
  role(): Promise<ConnectedRole | undefined>;
  inspectUsers(): Promise<Result<UsersTable, StartFailure>>;
  withReconcilerLock(work: () => Promise<void>): Promise<boolean>;
  /** Rejects where the database does not answer, or another program keeps every writer out. */
  ping(): Promise<void>;
  close(): Promise<void>;
}
