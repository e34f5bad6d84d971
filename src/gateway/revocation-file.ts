import { readFileSync, statSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makePrivateFolder } from '../config/make-folder.ts';
import type { Revocation, RevocationStore } from './revocations.ts';

const PRIVATE_FILE = 0o600;

/**
 * Keeps revocations in a file of the data folder, for deployments with one node. Each change writes a new file beside the old
 * one, syncs it to the disk, and then replaces the old one.
 */
export class RevocationFile implements RevocationStore {
  readonly #path: string;
  readonly #kept: Map<number, number>;
  #isRead = false;
  /** Revocations that were written to the disk since the last {@link read}. */
  #written: Revocation[] = [];
  #writing: Promise<void> = Promise.resolve();
  /** A write that has not begun: further changes are added to it. */
  #next: Promise<void> | undefined;

  /** Throws if the file exists but cannot be read: to continue would make void tokens valid again. */
  constructor(path: string) {
    this.#path = path;
    this.#kept = readRevocations(path);
  }

  async put(revocations: readonly Revocation[]): Promise<void> {
    for (const { userId, at } of revocations)
      this.#kept.set(userId, Math.max(at, this.#kept.get(userId) ?? 0));
    await this.#write();
    this.#written.push(...revocations);
  }

  read(): Promise<{ readonly revocations: readonly Revocation[]; readonly isAll: boolean }> {
    const isAll = !this.#isRead;
    const written = this.#written;
    this.#isRead = true;
    this.#written = [];
    const revocations = isAll ? [...this.#kept].map(([userId, at]) => ({ userId, at })) : written;
    return Promise.resolve({ revocations, isAll });
  }

  forget(oldest: number): Promise<void> {
    const before = this.#kept.size;
    for (const [userId, at] of this.#kept) if (at <= oldest) this.#kept.delete(userId);
    return this.#kept.size === before ? Promise.resolve() : this.#write();
  }

  #write(): Promise<void> {
    this.#next ??= this.#writing.then(() => {
      this.#next = undefined;
      return this.#replace(JSON.stringify({ revoked: [...this.#kept] }));
    });
    // If this write fails, the next one may still succeed.
    this.#writing = this.#next.catch(() => undefined);
    return this.#next;
  }

  async #replace(text: string): Promise<void> {
    makePrivateFolder(dirname(this.#path));
    const fresh = `${this.#path}.new`;
    const file = await open(fresh, 'w', PRIVATE_FILE);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(fresh, this.#path);
    const folder = await open(dirname(this.#path), 'r');
    // Some file systems cannot sync a folder. The file itself is on the disk.
    await folder.sync().catch(() => undefined);
    await folder.close();
  }
}

function readRevocations(path: string): Map<number, number> {
  let text: string;
  try {
    // To open a FIFO would wait for a writer forever.
    if (!statSync(path).isFile()) throw new Error('it is no regular file');
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return new Map();
    throw unusable(path, error);
  }
  try {
    const { revoked } = JSON.parse(text) as { readonly revoked?: readonly (readonly [number, number])[] };
    if (!Array.isArray(revoked)) throw new Error('no list "revoked"');
    const known = new Map<number, number>(revoked);
    for (const [userId, at] of known)
      if (!Number.isSafeInteger(userId) || !Number.isSafeInteger(at)) throw new Error('no user id or time');
    return known;
  } catch (error) {
    throw unusable(path, error);
  }
}

function unusable(path: string, error: unknown): Error {
  const reason = error instanceof Error ? error.message : String(error);
  return new Error(
    `${path} cannot be read (${reason}): put back a copy of it, or remove it, which makes revoked tokens valid again.`,
    { cause: error },
  );
}
