import { sql } from 'kysely';
import type { SqlExpression, StartFailure, UserStoreOptions } from './sql-dialect.ts';

export interface TableName {
  readonly schema: string | undefined;
  readonly table: string;
}

/** Value of `LINGXI_USERS_TABLE` for no users table. */
export const NO_USERS_TABLE = 'none';

/** Reads `users`, `game.users` or either part in double quotes. It keeps names as written and does not fold case. */
export function parseTableName(name: string): TableName | undefined {
  const match = /^(?:("(?:[^"]|"")+"|[^".]+)\.)?("(?:[^"]|"")+"|[^".]+)$/.exec(name.trim());
  const table = match?.[2];
  if (table === undefined) return undefined;
  const schema = match?.[1];
  return { schema: schema === undefined ? undefined : unquote(schema), table: unquote(table) };
}

export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function quoteTable(name: TableName): string {
  const table = quoteIdentifier(name.table);
  return name.schema === undefined ? table : `${quoteIdentifier(name.schema)}.${table}`;
}

export function tableExpression(name: TableName): SqlExpression {
  return name.schema === undefined ? sql.id(name.table) : sql.id(name.schema, name.table);
}

export const usersTableFailures = {
  badName(options: UserStoreOptions): StartFailure {
    return {
      message: `LINGXI_USERS_TABLE is ${JSON.stringify(options.usersTable)}: write a table name, schema.table, or none.`,
    };
  },
  foreignSchema(options: UserStoreOptions): StartFailure {
    return {
      message: `LINGXI_USERS_TABLE is ${options.usersTable}, but the embedded database has no schemas: write the table's name alone, or set DATABASE_URL.`,
    };
  },
  missingTable(options: UserStoreOptions): StartFailure {
    return {
      message: `The users table ${options.usersTable} does not exist: create it, or set LINGXI_USERS_TABLE to the right name, or to none to settle into lingxi_periods alone.`,
    };
  },
  missingColumn(
    options: UserStoreOptions,
    missing: { column: string; table: TableName; type: string },
  ): StartFailure {
    const alter = `ALTER TABLE ${quoteTable(missing.table)} ADD COLUMN ${quoteIdentifier(missing.column)} ${missing.type};`;
    return missing.column === options.usersIdColumn
      ? {
          message: `The users table ${options.usersTable} has no column ${missing.column}: set LINGXI_USERS_ID_COLUMN to the column that holds the user id.`,
        }
      : {
          message: `The users table ${options.usersTable} has no column ${missing.column}: run ${alter} or set LINGXI_USERS_TIME_COLUMN to the column that holds the time.`,
        };
  },
  badColumnType(
    options: UserStoreOptions,
    bad: { column: string; type: string; allowed: string; variable: string },
  ): StartFailure {
    return {
      message: `The column ${bad.column} of the users table ${options.usersTable} has the type ${bad.type || 'none'}, needed is ${bad.allowed}: alter it, or set ${bad.variable} to another column.`,
    };
  },
  missingGrant(options: UserStoreOptions, grants: readonly string[]): StartFailure {
    return {
      message: `The database role may not use the users table ${options.usersTable} as needed: run ${grants.join(' ')}`,
    };
  },
  cannotCreate(options: UserStoreOptions, column: string): StartFailure {
    return {
      message: `LINGXI_UNKNOWN_USERS is create, but the column ${column} of the users table ${options.usersTable} is NOT NULL without a default: give it a default, or set LINGXI_UNKNOWN_USERS to reject or ignore.`,
    };
  },
};

function unquote(part: string): string {
  return part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part;
}
