import { sql } from 'kysely';
import { openConnection } from './migrate.ts';
import type { UserStoreOptions } from './sql-dialect.ts';
import { NO_USERS_TABLE } from './users-table.ts';

/** Ids of the operator's users table, the greatest first. Empty if the table or the database cannot be read. */
export async function sampleUsers(options: UserStoreOptions, limit: number): Promise<readonly number[]> {
  if (options.usersTable === NO_USERS_TABLE) return [];
  const opened = await openConnection(options);
  if (!opened.ok) return [];
  const connection = opened.value;
  try {
    const users = await connection.inspectUsers();
    if (!users.ok) return [];
    const { table, id } = users.value;
    const found = await sql<{ id: number | string }>`
      select ${id} as id from ${table} order by ${id} desc limit ${limit}`.execute(connection.db);
    return found.rows.map((row) => Number(row.id)).filter(Number.isSafeInteger);
  } catch {
    return [];
  } finally {
    await connection.close();
  }
}
