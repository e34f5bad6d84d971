import type { LastPeriod, RecordState } from './record.ts';

/** The longest heartbeat timeout that can be set. A node may hold a silent socket for that long. */
export const ENDING_KEPT_MS = 3_600_000;

/**
 * How the last period of each user ended. The record of an offline user may expire too soon: without this, a socket that
 * the store had lost, or a claim in mode `restate`, would bring the user back (rules PR7, PR9 and PR11). Readers do not get
 * it.
 */
export class Endings {
  readonly #isKept: boolean;
  readonly #ofUsers = new Map<number, { readonly last: LastPeriod; readonly expiresAt: number }>();

  constructor({ lastSeenTtlMs }: { readonly lastSeenTtlMs: number }) {
    this.#isKept = lastSeenTtlMs < ENDING_KEPT_MS;
  }

  add(userId: number, last: LastPeriod, wall: number): void {
    if (this.#isKept) this.#ofUsers.set(userId, { last, expiresAt: wall + ENDING_KEPT_MS });
  }

  /** The record says it while it is there. */
  lastOf({ userId, last }: RecordState, wall: number): LastPeriod | undefined {
    if (last !== undefined) return last;
    const kept = this.#ofUsers.get(userId);
    return kept === undefined || wall > kept.expiresAt ? undefined : kept.last;
  }

  expire(wall: number): void {
    for (const [userId, { expiresAt }] of this.#ofUsers) if (wall > expiresAt) this.#ofUsers.delete(userId);
  }

  [Symbol.iterator](): IterableIterator<[number, { readonly last: LastPeriod; readonly expiresAt: number }]> {
    return this.#ofUsers.entries();
  }

  copyFrom(other: Endings): void {
    this.#ofUsers.clear();
    for (const [userId, kept] of other.#ofUsers) this.#ofUsers.set(userId, kept);
  }
}
