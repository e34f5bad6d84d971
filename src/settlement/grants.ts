import type { UserStoreOptions } from './sql-dialect.ts';
import { NO_USERS_TABLE, parseTableName, quoteIdentifier, quoteTable } from './users-table.ts';

/**
 * The statements that let `role` run a gateway whose tables someone else has migrated. Empty on the embedded
 * database. Without `role` it is the user of `DATABASE_URL`.
 */
export function grantsNeeded(options: UserStoreOptions, role = roleOf(options)): readonly string[] {
  if (options.databaseUrl === undefined) return [];
  const to = quoteIdentifier(role);
  return [
    `GRANT SELECT, INSERT, UPDATE, DELETE ON lingxi_periods, lingxi_nodes TO ${to};`,
    `GRANT SELECT ON lingxi_migrations TO ${to};`,
    ...(options.usersTable === NO_USERS_TABLE ? [] : usersTableGrants(options, role)),
  ];
}

export function usersTableGrants(options: UserStoreOptions, role = roleOf(options)): readonly string[] {
  const name = parseTableName(options.usersTable);
  if (name === undefined) return [];
  const to = quoteIdentifier(role);
  const id = quoteIdentifier(options.usersIdColumn);
  const time = quoteIdentifier(options.usersTimeColumn);
  const insert = options.unknownUsers === 'create' ? `, INSERT (${id}, ${time})` : '';
  const table = `GRANT SELECT (${id}, ${time}), UPDATE (${time})${insert} ON ${quoteTable(name)} TO ${to};`;
  if (name.schema === undefined) return [table];
  return [`GRANT USAGE ON SCHEMA ${quoteIdentifier(name.schema)} TO ${to};`, table];
}

function roleOf(options: UserStoreOptions): string {
  if (options.databaseUrl === undefined || !URL.canParse(options.databaseUrl)) return 'lingxi';
  return decodeURIComponent(new URL(options.databaseUrl).username) || 'lingxi';
}
