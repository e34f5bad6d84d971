import type { SqlDialect, SqlExecutor } from '../sql-dialect.ts';

/** A change of our own tables. Names sort in the order in which they run; a published one never changes. */
export interface Migration {
  readonly name: string;
  up(tx: SqlExecutor, dialect: SqlDialect): Promise<void>;
}
