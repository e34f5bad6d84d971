import { FEED_START, type PresenceChange, type StoredChange } from '../../api.ts';

/** Name of a log, and number of an entry, which begin at 1. */
const CURSOR = /^.+-[1-9][0-9]*$/;

/**
 * The newest `capacity` changes of presence, in memory, each with a number. A cursor names its log, so a cursor of an earlier
 * process counts as expired.
 */
export class ChangeLog {
  readonly #name: string;
  readonly #capacity: number;
  readonly #ring: PresenceChange[] = [];
  /** Number of the next change. The changes from `#next - ring.length` on are kept. */
  #next = 1;

  constructor(name: string, capacity: number) {
    this.#name = name;
    this.#capacity = capacity;
  }

  add(change: PresenceChange): void {
    this.#ring[this.#next % this.#capacity] = change;
    this.#next += 1;
  }

  /** Oldest first, after `cursor`. Undefined if some may be gone. */
  after(
    cursor: string,
    wanted: { readonly limit: number; readonly of: (change: PresenceChange) => boolean },
  ): readonly StoredChange[] | undefined {
    const oldest = Math.max(1, this.#next - this.#capacity);
    const read = cursor === FEED_START ? oldest - 1 : this.#numberOf(cursor);
    if (read === undefined || read < oldest - 1 || read >= this.#next) return undefined;
    const found: StoredChange[] = [];
    for (let number = read + 1; number < this.#next && found.length < wanted.limit; number += 1)
      this.#collect(found, number, wanted.of);
    return found;
  }

  /** Newest first, before `cursor`. Undefined if `cursor` has the wrong form. */
  before(
    cursor: string | undefined,
    wanted: { readonly limit: number; readonly of: (change: PresenceChange) => boolean },
  ): readonly StoredChange[] | undefined {
    if (cursor !== undefined && !CURSOR.test(cursor)) return undefined;
    const oldest = Math.max(1, this.#next - this.#capacity);
    const from = cursor === undefined ? this.#next : (this.#numberOf(cursor) ?? 0);
    const found: StoredChange[] = [];
    for (
      let number = Math.min(from, this.#next) - 1;
      number >= oldest && found.length < wanted.limit;
      number -= 1
    )
      this.#collect(found, number, wanted.of);
    return found;
  }

  #collect(found: StoredChange[], number: number, of: (change: PresenceChange) => boolean): void {
    const change = this.#ring[number % this.#capacity];
    if (change !== undefined && of(change)) found.push({ ...change, cursor: `${this.#name}-${number}` });
  }

  #numberOf(cursor: string): number | undefined {
    const at = cursor.lastIndexOf('-');
    const number = Number(cursor.slice(at + 1));
    return cursor.slice(0, at) === this.#name && Number.isSafeInteger(number) ? number : undefined;
  }
}
