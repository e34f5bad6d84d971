import { readFileSync, statSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KeptPlayer } from './player.ts';

const NAME = 'demo-game.json';
const NUMBERS = ['userId', 'spirit', 'power', 'grownUntil'] as const;

/** The players in a file of the data folder, so that they survive a restart of the node. */
export class SavedPlayers {
  readonly #folder: string;
  #writing: Promise<boolean> | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Empty if there is no file, or the file has another format. The game must not prevent the start of the server. */
  read(most: number): readonly KeptPlayer[] {
    try {
      const path = join(this.#folder, NAME);
      // To open a FIFO would wait for a writer forever.
      if (!statSync(path).isFile()) return [];
      const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
      return Array.isArray(value) ? value.filter(isKept).slice(0, most) : [];
    } catch {
      return [];
    }
  }

  /** Writes the whole file. Returns false if that fails, or if an earlier write is in progress. */
  async write(players: readonly KeptPlayer[]): Promise<boolean> {
    if (this.#writing !== undefined) return false;
    this.#writing = this.#replace(players);
    const isWritten = await this.#writing;
    this.#writing = undefined;
    return isWritten;
  }

  /** Writes the whole file after the write that is in progress, so that the file has these players. Call it once, at the end. */
  async writeLast(players: readonly KeptPlayer[]): Promise<boolean> {
    await this.#writing;
    return this.#replace(players);
  }

  async #replace(players: readonly KeptPlayer[]): Promise<boolean> {
    const path = join(this.#folder, NAME);
    try {
      await mkdir(this.#folder, { recursive: true });
      await writeFile(`${path}.new`, JSON.stringify(players), { mode: 0o600 });
      await rename(`${path}.new`, path);
      return true;
    } catch {
      return false;
    }
  }
}

function isKept(value: unknown): value is KeptPlayer {
  if (typeof value !== 'object' || value === null) return false;
  const fields = value as Readonly<Record<string, unknown>>;
  return (
    NUMBERS.every((name) => Number.isFinite(fields[name])) &&
    typeof fields['username'] === 'string' &&
    (fields['period'] === undefined || Number.isFinite(fields['period']))
  );
}
