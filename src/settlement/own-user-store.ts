import { join } from 'node:path';
import Database from 'libsql';
import { keepPrivate, makePrivateFile } from '../config/make-folder.ts';
import { err, ok, type Result } from '../lib/result.ts';
import { createUserStore } from './create-user-store.ts';
import type { StartFailure, UserStoreOptions } from './sql-dialect.ts';
import { describeError } from './sql-errors.ts';
import { isBusy, isNoDatabase } from './sqlite-faults.ts';
import type { UserStore } from './user-store.ts';

const LOCK_FILE = 'lock.db';

/**
 * Opens the store for the process that serves. An embedded data folder belongs to one process. A second one would treat
 * the running periods as those of a dead process and end them.
 */
export async function ownUserStore(options: UserStoreOptions): Promise<Result<UserStore, StartFailure>> {
  const opened = await createUserStore(options);
  if (!opened.ok || options.databaseUrl !== undefined) return opened;
  const store = opened.value;
  const locked = lockFolder(options.dataDir);
  if (!locked.ok) {
    await store.close();
    return locked;
  }
  const lock = locked.value;
  const closeStore = store.close.bind(store);
  const close = async (): Promise<void> => {
    await closeStore();
    lock.close();
  };
  return ok(Object.assign(store, { close }));
}

/** An uncommitted transaction holds the lock. The system frees it when this process ends in any way. */
function lockFolder(dataDir: string): Result<Database.Database, StartFailure> {
  let database: Database.Database | undefined;
  const file = join(dataDir, LOCK_FILE);
  try {
    makePrivateFile(file);
    keepPrivate(`${file}-journal`);
    database = new Database(file, { timeout: 0 });
    database.exec('begin exclusive');
    return ok(database);
  } catch (error) {
    database?.close();
    return err({ message: `The data folder ${dataDir} ${whyNotLocked(file, error)}` });
  }
}

function whyNotLocked(file: string, error: unknown): string {
  if (isBusy(error))
    return 'is in use by another process: stop that one, or set LINGXI_DATA_DIR to another folder.';
  const cause = describeError(error);
  if (isNoDatabase(error))
    return `cannot be locked (${cause}): remove ${file}, which only has the lock, and start again.`;
  return `cannot be locked (${cause}): make ${file} writable and the disk free, or set LINGXI_DATA_DIR to another folder.`;
}
