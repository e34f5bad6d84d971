import type { UserHold } from './hold.ts';

/** The holds that changed after their last claim. The store does not know these changes yet. */
export class ChangedHolds {
  readonly #holds = new Set<UserHold>();
  readonly #wake: () => void;

  /** @param wake makes {@link Sync} claim these holds soon. Changes of one turn of the loop share one call. */
  constructor(wake: () => void) {
    this.#wake = wake;
  }

  get size(): number {
    return this.#holds.size;
  }

  [Symbol.iterator](): Iterator<UserHold> {
    return this.#holds.values();
  }

  /** Claims the hold with the next batch, whenever that leaves. */
  add(hold: UserHold): void {
    this.#holds.add(hold);
  }

  delete(hold: UserHold): void {
    this.#holds.delete(hold);
  }

  /** Claims the hold at the end of this turn of the loop. */
  claimSoon(hold: UserHold): void {
    this.#holds.add(hold);
    this.#wake();
  }

  /** As {@link claimSoon}, for many holds. */
  claimAllSoon(holds: Iterable<UserHold>): void {
    for (const hold of holds) this.#holds.add(hold);
    this.#wake();
  }
}
