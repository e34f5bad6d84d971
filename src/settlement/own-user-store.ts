import { join } from 'node:path';
import Database from 'libsql';
import { keepPrivate, makePrivateFile } from '../config/make-folder.ts';
import { err, ok, type Result } from '../lib/result.ts';
import { createUserStore } from './create-user-store.ts';
import type { StartFailure, UserStoreOptions } from './sql-dialect.ts';
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
  const lock = lockFolder(options.dataDir);
  if (lock === undefined) {
    await store.close();
    return err({
      message: `The data folder ${options.dataDir} is in use by another process: stop that one, or set LINGXI_DATA_DIR to another folder.`,
    });
  }
  const closeStore = store.close.bind(store);
  const close = async (): Promise<void> => {
    await closeStore();
    lock.close();
  };
  return ok(Object.assign(store, { close }));
}

/** An uncommitted transaction holds the lock. The system frees it when this process ends in any way. */
function lockFolder(dataDir: string): Database.Database | undefined {
  let database: Database.Database | undefined;
  try {
    const file = join(dataDir, LOCK_FILE);
    makePrivateFile(file);
    keepPrivate(`${file}-journal`);
    database = new Database(file, { timeout: 0 });
    database.exec('begin exclusive');
    return database;
  } catch {
    database?.close();
    return undefined;
  }
}
