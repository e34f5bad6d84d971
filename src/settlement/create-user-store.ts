import { err, ok, type Result } from '../lib/result.ts';
import { usersTableGrants } from './grants.ts';
import { migrate, openConnection } from './migrate.ts';
import type { SqlConnection, StartFailure, UserStoreOptions, UsersTable } from './sql-dialect.ts';
import { describeError, errorCode } from './sql-errors.ts';
import { SqlUserStore } from './sql-user-store.ts';
import { embeddedFailure } from './sqlite-faults.ts';
import type { UserStore } from './user-store.ts';
import { NO_USERS_TABLE, usersTableFailures } from './users-table.ts';

const INSUFFICIENT_PRIVILEGE = '42501';

/**
 * Opens the embedded database, or PostgreSQL if `databaseUrl` is set. Migrates our own tables as `migrate` says, and checks
 * the operator's users table. A failure gives one sentence that says what to do.
 */
export async function createUserStore(options: UserStoreOptions): Promise<Result<UserStore, StartFailure>> {
  const opened = await openConnection(options);
  if (!opened.ok) return opened;
  const connection = opened.value;
  const fail = async (failure: StartFailure): Promise<Result<UserStore, StartFailure>> => {
    await connection.close();
    return err(failure);
  };
  const migrated = await migrate(connection, options, options.migrate);
  if (!migrated.ok) return fail(migrated.error);
  let users: UsersTable | undefined;
  if (options.usersTable !== NO_USERS_TABLE) {
    const inspected = await connection
      .inspectUsers()
      .catch(async (error: unknown) => err(await cannotLook(connection, options, error)));
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

/** If the role may not use the schema, it cannot even see whether the table exists. */
async function cannotLook(
  connection: SqlConnection,
  options: UserStoreOptions,
  error: unknown,
): Promise<StartFailure> {
  if (options.databaseUrl === undefined) return embeddedFailure(options.dataDir, error);
  const connected = await connection.role().catch(() => undefined);
  if (connected !== undefined && errorCode(error) === INSUFFICIENT_PRIVILEGE)
    return usersTableFailures.missingGrant(options, usersTableGrants(options, connected));
  return {
    message: `The users table ${options.usersTable} cannot be looked at (${describeError(error)}): check the name and the rights of the database role.`,
  };
}
