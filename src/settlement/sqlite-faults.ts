import { join } from 'node:path';
import type { StartFailure } from './sql-dialect.ts';
import { describeError, errorCode } from './sql-errors.ts';

export const SQLITE_FILE = 'lingxi.db';

/** Why the embedded database in `dataDir` cannot be used, and what to do about it, in one sentence. */
export function embeddedFailure(dataDir: string, error: unknown): StartFailure {
  return { message: `The embedded database ${join(dataDir, SQLITE_FILE)} ${whyUnusable(error)}` };
}

function whyUnusable(error: unknown): string {
  const cause = describeError(error);
  if (isBusy(error))
    return `is locked by another program (${cause}): end that program, or wait until it has finished, and start again.`;
  if (isNoDatabase(error))
    return `has other content (${cause}): put back a copy of it, or move it away, and the start makes an empty one.`;
  if (hasCode(error, 'SQLITE_CORRUPT'))
    return `is damaged (${cause}): put back a copy of it, or repair it with the command .recover of sqlite3.`;
  if (hasCode(error, 'SQLITE_ERROR'))
    return `has tables that this program cannot use (${cause}): put back a copy of it, or move it away, and the start makes an empty one.`;
  if (hasCode(error, 'EISDIR'))
    return 'is a folder, not a file: move it away, or set LINGXI_DATA_DIR to another folder.';
  if (hasCode(error, 'ENOTDIR'))
    return `cannot be made (${cause}): set LINGXI_DATA_DIR to a folder, not to a file.`;
  return `cannot be opened for writing (${cause}): make the folder writable for this process and the disk free, or set LINGXI_DATA_DIR to another one.`;
}

/** Whether another connection or another program has the lock. */
export function isBusy(error: unknown): boolean {
  return hasCode(error, 'SQLITE_BUSY');
}

/** Whether the file has content that is not SQLite's. */
export function isNoDatabase(error: unknown): boolean {
  return hasCode(error, 'SQLITE_NOTADB');
}

/** Extended codes begin with the general one. */
function hasCode(error: unknown, code: string): boolean {
  return errorCode(error)?.startsWith(code) === true;
}
