import type { UserStoreOptions } from './sql-dialect.ts';
import { NO_USERS_TABLE, parseTableName, quoteIdentifier, quoteTable } from './users-table.ts';

/** Who gets the rights, and the schema of our own tables. */
export interface Grantee {
  /** `undefined`: not known, and left for the operator to fill in. */
  readonly role: string | undefined;
  readonly schema: string;
}

/** Stands for a role that nobody named: PostgreSQL refuses it, so that pasting it gives no rights to the wrong one. */
const UNNAMED = '<role of the server>';
/** Everybody may use it unless somebody took that right away. */
const DEFAULT_SCHEMA = 'public';

/** The rights that the gateway needs of our own tables. */
export const OWN_TABLE_RIGHTS: readonly { readonly table: string; readonly rights: readonly string[] }[] = [
  { table: 'lingxi_periods', rights: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] },
  { table: 'lingxi_nodes', rights: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] },
  { table: 'lingxi_migrations', rights: ['SELECT'] },
];

/** The statements that let a role run a gateway on tables that belong to another one. */
export function grantsNeeded(options: UserStoreOptions, grantee: Grantee): readonly string[] {
  const to = nameOf(grantee);
  return [
    ...new Set([
      ...(grantee.schema === DEFAULT_SCHEMA ? [] : [schemaGrant(grantee.schema, to)]),
      ...OWN_TABLE_RIGHTS.map(({ table, rights }) => `GRANT ${rights.join(', ')} ON ${table} TO ${to};`),
      ...(options.usersTable === NO_USERS_TABLE ? [] : usersTableGrants(options, grantee)),
    ]),
  ];
}

export function usersTableGrants(
  options: UserStoreOptions,
  grantee: Pick<Grantee, 'role'>,
): readonly string[] {
  const name = parseTableName(options.usersTable);
  if (name === undefined) return [];
  const to = nameOf(grantee);
  const id = quoteIdentifier(options.usersIdColumn);
  const time = quoteIdentifier(options.usersTimeColumn);
  const insert = options.unknownUsers === 'create' ? `, INSERT (${id}, ${time})` : '';
  const table = `GRANT SELECT (${id}, ${time}), UPDATE (${time})${insert} ON ${quoteTable(name)} TO ${to};`;
  return name.schema === undefined ? [table] : [schemaGrant(name.schema, to), table];
}

function schemaGrant(schema: string, to: string): string {
  return `GRANT USAGE ON SCHEMA ${quoteIdentifier(schema)} TO ${to};`;
}

function nameOf({ role }: Pick<Grantee, 'role'>): string {
  return role === undefined ? UNNAMED : quoteIdentifier(role);
}
