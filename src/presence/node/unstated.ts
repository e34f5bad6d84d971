import type { UserHold } from './hold.ts';

/** The holds that changed since the store last heard of them. */
export class Unstated {
  readonly #holds = new Set<UserHold>();
  readonly #wake: () => void;

  /** @param wake states what is here soon; changes of one turn of the loop share their calls */
  constructor(wake: () => void) {
    this.#wake = wake;
  }

  get size(): number {
    return this.#holds.size;
  }

  [Symbol.iterator](): Iterator<UserHold> {
    return this.#holds.values();
  }

  /** The store hears of the hold with the next statements, whenever they go. */
  add(hold: UserHold): void {
    this.#holds.add(hold);
  }

  delete(hold: UserHold): void {
    this.#holds.delete(hold);
  }

  /** The store is to hear of the hold now. */
  stateSoon(hold: UserHold): void {
    this.#holds.add(hold);
    this.#wake();
  }

  /** As {@link stateSoon}, for a great many. */
  stateAllSoon(holds: Iterable<UserHold>): void {
    for (const hold of holds) this.#holds.add(hold);
    this.#wake();
  }
}
