interface Key {
  readonly userId: number;
  readonly period: number;
}

/** Beyond this many unknown rows further ones are noted only once others are settled: they wait, none is lost. */
export const MAX_SUSPECTS = 50_000;

/** Since when each open row was found unknown to presence. */
export class Suspects {
  readonly #entries = new Map<string, { readonly since: number; round: number }>();
  #round = 0;

  /** Notes the row as unknown at `now` and answers for how long it has been, in milliseconds. */
  ageMs(row: Key, now: number): number {
    const key = keyOf(row);
    const entry = this.#entries.get(key);
    if (entry !== undefined) {
      entry.round = this.#round;
      return now - entry.since;
    }
    if (this.#entries.size < MAX_SUSPECTS) this.#entries.set(key, { since: now, round: this.#round });
    return 0;
  }

  clear(row: Key): void {
    this.#entries.delete(keyOf(row));
  }

  /** What was noted proves nothing any more. */
  forget(): void {
    this.#entries.clear();
  }

  /** Every open row was looked at once more: those not met again are closed, and forgotten. */
  endRound(): void {
    for (const [key, entry] of this.#entries) {
      if (entry.round < this.#round) this.#entries.delete(key);
    }
    this.#round += 1;
  }
}

function keyOf({ userId, period }: Key): string {
  return `${userId}:${period}`;
}
