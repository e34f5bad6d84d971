import type { SqlDialect, SqlExecutor } from '../sql-dialect.ts';

/** A change of our own tables. Migrations run in the order of their names. A published one never changes. */
export interface Migration {
  readonly name: string;
  up(tx: SqlExecutor, dialect: SqlDialect): Promise<void>;
}
