import type { UserStoreOptions } from './sql-dialect.ts';
import { NO_USERS_TABLE, parseTableName, quoteIdentifier, quoteTable } from './users-table.ts';

/** The role that gets the rights, and the schema of our own tables. */
export interface Grantee {
  /** `undefined`: not known; the operator fills it in. */
  readonly role: string | undefined;
  readonly schema: string;
}

/** Placeholder for an unknown role. PostgreSQL refuses it, so a pasted statement gives no rights to the wrong role. */
const UNNAMED = '<role of the server>';
/** Every role may use this schema by default. */
const DEFAULT_SCHEMA = 'public';

/** The rights that the gateway needs on our own tables. */
export const OWN_TABLE_RIGHTS: readonly { readonly table: string; readonly rights: readonly string[] }[] = [
  { table: 'lingxi_periods', rights: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] },
  { table: 'lingxi_nodes', rights: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] },
  { table: 'lingxi_migrations', rights: ['SELECT'] },
];

/** The statements that let a role run a gateway on tables of another role. */
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
