import { type PeriodKey, periodKey } from '../protocol/periods.ts';

/** Largest number of noted rows. Further ones wait until others are settled; none is lost. */
export const MAX_SUSPECTS = 50_000;

/**
 * Looks at which a row must be unknown in a row. Other nodes have the reconciler's lock too, so two looks may lie far apart,
 * and presence may have known the row between them. After a wipe of Redis a row is unknown for one look only.
 */
const MIN_LOOKS = 3;

/** The open rows unknown to presence, with the time since when. */
export class Suspects {
  readonly #entries = new Map<string, { readonly since: number; looks: number; round: number }>();
  #round = 0;

  /**
   * Notes the row as unknown at `now`. Returns for how long it has been unknown, in milliseconds; 0 before the third look
   * that found it unknown.
   */
  ageMs(row: PeriodKey, now: number): number {
    const key = periodKey(row);
    const entry = this.#entries.get(key);
    if (entry !== undefined) {
      entry.round = this.#round;
      entry.looks += 1;
      return entry.looks < MIN_LOOKS ? 0 : now - entry.since;
    }
    if (this.#entries.size < MAX_SUSPECTS)
      this.#entries.set(key, { since: now, looks: 1, round: this.#round });
    return 0;
  }

  clear(row: PeriodKey): void {
    // Nearly always nothing is noted, and the keys of all open rows would be made for nothing.
    if (this.#entries.size > 0) this.#entries.delete(periodKey(row));
  }

  /** Clears all notes, because they prove nothing any more. */
  forget(): void {
    this.#entries.clear();
  }

  /** A round over all open rows is done. Removes the rows that it did not meet, because they are closed. */
  endRound(): void {
    for (const [key, entry] of this.#entries) {
      if (entry.round < this.#round) this.#entries.delete(key);
    }
    this.#round += 1;
  }
}
