import { readFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KeptPlayer } from './player.ts';

const NAME = 'demo-game.json';
const NUMBERS = ['userId', 'spirit', 'power', 'grownUntil'] as const;

/** The players in a file of the data folder, so that they outlive the node. */
export class SavedPlayers {
  readonly #folder: string;
  #isWriting = false;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Empty if there is no file, or one that is none of ours: a game is no reason to fail. */
  read(most: number): readonly KeptPlayer[] {
    try {
      const value: unknown = JSON.parse(readFileSync(join(this.#folder, NAME), 'utf8'));
      return Array.isArray(value) ? value.filter(isKept).slice(0, most) : [];
    } catch {
      return [];
    }
  }

  /** Writes the file as a whole. Returns false if it cannot, and if an earlier write is in progress. */
  async write(players: readonly KeptPlayer[]): Promise<boolean> {
    if (this.#isWriting) return false;
    this.#isWriting = true;
    const path = join(this.#folder, NAME);
    try {
      await mkdir(this.#folder, { recursive: true });
      await writeFile(`${path}.new`, JSON.stringify(players), { mode: 0o600 });
      await rename(`${path}.new`, path);
      return true;
    } catch {
      return false;
    } finally {
      this.#isWriting = false;
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
