import { sql } from 'kysely';
import { err, ok, type Result } from '../lib/result.ts';
import { usersTableGrants } from './grants.ts';
import type { SqlExecutor, StartFailure, UserStoreOptions, UsersTable, UserTimeType } from './sql-dialect.ts';
import { parseTableName, quoteTable, tableExpression, usersTableFailures } from './users-table.ts';

interface ColumnFacts {
  readonly name: string | null;
  readonly type: string | null;
  readonly required: boolean;
  readonly readable: boolean;
  readonly updatable: boolean;
  readonly insertable: boolean;
  /** The role with these rights. */
  readonly role: string;
}

const MAX_IDS: Readonly<Record<string, number>> = {
  smallint: 32_767,
  integer: 2_147_483_647,
  bigint: Number.MAX_SAFE_INTEGER,
  numeric: Number.MAX_SAFE_INTEGER,
};

const TIME_TYPES: Readonly<Record<string, UserTimeType>> = {
  'timestamp with time zone': 'timestamptz',
  'timestamp without time zone': 'timestamp',
  bigint: 'bigint',
};

/** Finds the operator's users table and checks that settlements can use it. */
export async function inspectPostgresUsers(
  db: SqlExecutor,
  options: UserStoreOptions,
): Promise<Result<UsersTable, StartFailure>> {
  const name = parseTableName(options.usersTable);
  if (name === undefined) return err(usersTableFailures.badName(options));
  const columns = await readColumns(db, quoteTable(name));
  if (columns.length === 0) return err(usersTableFailures.missingTable(options));
  const id = columns.find((column) => column.name === options.usersIdColumn);
  const time = columns.find((column) => column.name === options.usersTimeColumn);
  if (id === undefined || time === undefined) {
    const column = id === undefined ? options.usersIdColumn : options.usersTimeColumn;
    return err(usersTableFailures.missingColumn(options, { column, table: name, type: 'timestamptz' }));
  }
  const maxId = MAX_IDS[plainType(id)];
  if (maxId === undefined) return err(badId(options, plainType(id)));
  const timeType = TIME_TYPES[plainType(time)];
  if (timeType === undefined) return err(badTime(options, plainType(time)));
  const creates = options.unknownUsers === 'create';
  const granted = id.readable && time.readable && time.updatable && (!creates || id.insertable);
  if (!granted) return err(usersTableFailures.missingGrant(options, usersTableGrants(options, id)));
  const given = [options.usersIdColumn, ...(options.loginResetsTime ? [options.usersTimeColumn] : [])];
  const blocker = columns.find((column) => column.required && !given.includes(column.name ?? ''));
  if (creates && blocker !== undefined)
    return err(usersTableFailures.cannotCreate(options, blocker.name ?? ''));
  return ok({
    table: tableExpression(name),
    id: sql.id(options.usersIdColumn),
    time: sql.id(options.usersTimeColumn),
    timeType,
    maxId,
  });
}

async function readColumns(db: SqlExecutor, table: string): Promise<readonly ColumnFacts[]> {
  const found = await sql<ColumnFacts>`
    select a.attname as name,
      format_type(coalesce(nullif(t.typbasetype, 0), a.atttypid), null) as type,
      a.attnotnull and not a.atthasdef and a.attidentity = '' and a.attgenerated = '' as required,
      has_column_privilege(a.attrelid, a.attnum, 'select') as readable,
      has_column_privilege(a.attrelid, a.attnum, 'update') as updatable,
      has_column_privilege(a.attrelid, a.attnum, 'insert') as insertable,
      current_user as role
    from pg_attribute a join pg_type t on t.oid = a.atttypid
    where a.attrelid = to_regclass(${table}) and a.attnum > 0 and not a.attisdropped`.execute(db);
  return found.rows;
}

function plainType(column: ColumnFacts): string {
  return column.type ?? '';
}

function badId(options: UserStoreOptions, type: string): StartFailure {
  return usersTableFailures.badColumnType(options, {
    column: options.usersIdColumn,
    type,
    allowed: 'integer or bigint',
    variable: 'LINGXI_USERS_ID_COLUMN',
  });
}

function badTime(options: UserStoreOptions, type: string): StartFailure {
  return usersTableFailures.badColumnType(options, {
    column: options.usersTimeColumn,
    type,
    allowed: 'timestamptz, timestamp or bigint',
    variable: 'LINGXI_USERS_TIME_COLUMN',
  });
}
