import { closeSync, constants, fstatSync, fsyncSync, openSync, statfsSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** SQLite empties its log into the database after 1,000 pages of 4,096 bytes. One commit may exceed this. */
export const LOG_BYTES = 4_600_000;
/** With less room than this on the disk the log keeps its length: the room may be needed for more important things. */
export const ROOM_BYTES = 100_000_000;
const ZEROS = new Uint8Array(65_536);

/**
 * Appends zeros to SQLite's write-ahead log. A commit that lengthens the file waits for the file system's own log as well,
 * and takes several times as long. SQLite writes over whatever follows its last valid frame, and a recovery ends there.
 */
export function lengthenLog(file: string, freeBytes: (folder: string) => number = freeOnDisk): void {
  let log: number | undefined;
  try {
    if (freeBytes(dirname(file)) < ROOM_BYTES) return;
    log = openSync(file, constants.O_WRONLY | constants.O_APPEND);
    for (let size = fstatSync(log).size; size < LOG_BYTES; size += ZEROS.length) writeSync(log, ZEROS);
    fsyncSync(log);
  } catch {
    // The commits then lengthen it.
  } finally {
    if (log !== undefined) closeSync(log);
  }
}

/** What this process may still write. */
function freeOnDisk(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}
