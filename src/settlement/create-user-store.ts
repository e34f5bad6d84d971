import { err, ok, type Result } from '../lib/result.ts';
import { migrate, openConnection } from './migrate.ts';
import type { StartFailure, UserStoreOptions, UsersTable } from './sql-dialect.ts';
import { describeError } from './sql-errors.ts';
import { SqlUserStore } from './sql-user-store.ts';
import type { UserStore } from './user-store.ts';
import { NO_USERS_TABLE } from './users-table.ts';

/**
 * Opens the embedded database, or PostgreSQL where `databaseUrl` is set, brings our own tables up to date as
 * `migrate` says, and checks the operator's users table. A failure is one sentence that says what to do.
 */
export async function createUserStore(options: UserStoreOptions): Promise<Result<UserStore, StartFailure>> {
  const opened = await openConnection(options);
  if (!opened.ok) return opened;
  const connection = opened.value;
  const fail = async (failure: StartFailure): Promise<Result<UserStore, StartFailure>> => {
    await connection.close();
    return err(failure);
  };
  const migrated = await migrate(connection, options.migrate);
  if (!migrated.ok) return fail(migrated.error);
  let users: UsersTable | undefined;
  if (options.usersTable !== NO_USERS_TABLE) {
    const inspected = await connection.inspectUsers().catch((error: unknown) =>
      err({
        message: `The users table ${options.usersTable} cannot be looked at (${describeError(error)}): check the name and the rights of the database role.`,
      }),
    );
    if (!inspected.ok) return fail(inspected.error);
    users = inspected.value;
  }
  return ok(
    new SqlUserStore(connection, {
      users,
      createsUsers: options.unknownUsers === 'create',
      loginResetsTime: options.loginResetsTime,
    }),
  );
}
