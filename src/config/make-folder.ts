import { chmodSync, closeSync, existsSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a folder and those above it. Throws the system's error for the first one that cannot be made. Node's recursive
 * `mkdir` never returns if the system denies an existing parent, as under `/proc`.
 */
export function makeFolder(path: string, mode?: number): void {
  if (existsSync(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeFolder(parent, mode);
  mkdirSync(path, mode === undefined ? {} : { mode });
}

const PRIVATE_FOLDER = 0o700;
const PRIVATE_FILE = 0o600;
/** Rights of the group and of all others. */
const FOR_OTHERS = 0o077;
/** This bit marks folders that are shared on purpose, such as `/tmp`. They stay unchanged. */
const STICKY = 0o1000;

/**
 * Makes a folder, or removes the rights of others from an existing one, because it has secrets and locks. Throws the system's
 * error if a file is there, and leaves that file as it is.
 */
export function makePrivateFolder(path: string): void {
  makeFolder(path, PRIVATE_FOLDER);
  // The slash makes the system refuse a file.
  statSync(`${path}/`);
  keepPrivate(path);
}

/** Makes an empty file, or removes the rights of others from an existing one. */
export function makePrivateFile(path: string): void {
  closeSync(openSync(path, 'a', PRIVATE_FILE));
  keepPrivate(path);
}

/**
 * Removes the rights of others from a file or folder, if it exists. Some cannot be changed (a volume of another user, a
 * file system without rights): {@link openToOthers} detects them.
 */
export function keepPrivate(path: string): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined || (stats.mode & FOR_OTHERS) === 0 || (stats.mode & STICKY) !== 0) return;
  try {
    chmodSync(path, stats.isDirectory() ? PRIVATE_FOLDER : PRIVATE_FILE);
  } catch {
    // The process can use it as it is.
  }
}

/** Whether other users of the machine may enter the folder. Windows has no such rights. */
export function openToOthers(folder: string): boolean {
  const stats = statSync(folder, { throwIfNoEntry: false });
  return process.platform !== 'win32' && stats !== undefined && (stats.mode & FOR_OTHERS) !== 0;
}
