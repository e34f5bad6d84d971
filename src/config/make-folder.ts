import { chmodSync, closeSync, existsSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a folder and those above it. Throws the system's error of the first one that cannot be made; a recursive
 * `mkdir` of Node never returns where the system says that a parent does not exist though it does, as under `/proc`.
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
/** Set on folders that are shared on purpose, such as `/tmp`: these stay as they are. */
const STICKY = 0o1000;

/** Makes a folder, or takes the rights of everybody else from the one that is there: it holds secrets and locks. */
export function makePrivateFolder(path: string): void {
  makeFolder(path, PRIVATE_FOLDER);
  keepPrivate(path);
}

/** Makes an empty file, or takes the rights of everybody else from the one that is there. */
export function makePrivateFile(path: string): void {
  closeSync(openSync(path, 'a', PRIVATE_FILE));
  keepPrivate(path);
}

/**
 * Takes the rights of everybody else from a file or folder; nothing happens where there is none. Some cannot be changed
 * (a volume that belongs to another user, a file system without rights): {@link openToOthers} tells.
 */
export function keepPrivate(path: string): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined || (stats.mode & FOR_OTHERS) === 0 || (stats.mode & STICKY) !== 0) return;
  try {
    chmodSync(path, stats.isDirectory() ? PRIVATE_FOLDER : PRIVATE_FILE);
  } catch {
    // The process can work with it as it is.
  }
}

/** Whether other users of the machine may enter the folder. Windows has no such rights. */
export function openToOthers(folder: string): boolean {
  const stats = statSync(folder, { throwIfNoEntry: false });
  return process.platform !== 'win32' && stats !== undefined && (stats.mode & FOR_OTHERS) !== 0;
}
