import type { Clock } from '../lib/clock.ts';
import type { TicketStore } from './tickets.ts';

interface Kept {
  readonly text: string;
  /** Monotonic ms. */
  readonly until: number;
  isTaken: boolean;
}

/**
 * Tickets in this process. All have the same lifetime, so the oldest expires first. The limit on issued tickets bounds their
 * number.
 */
export class MemoryTickets implements TicketStore {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #kept = new Map<string, Kept>();

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#kept.size;
  }

  put(key: string, text: string, ttlMs: number): Promise<void> {
    const now = this.#clock.monotonic();
    for (const [old, { until }] of this.#kept) {
      if (until > now) break;
      this.#kept.delete(old);
    }
    this.#kept.set(key, { text, until: now + ttlMs, isTaken: false });
    return Promise.resolve();
  }

  read(key: string): Promise<string | undefined> {
    return Promise.resolve(this.#unused(key)?.text);
  }

  take(key: string): Promise<boolean> {
    const kept = this.#unused(key);
    if (kept !== undefined) kept.isTaken = true;
    return Promise.resolve(kept !== undefined);
  }

  giveBack(key: string): Promise<void> {
    const kept = this.#kept.get(key);
    if (kept !== undefined) kept.isTaken = false;
    return Promise.resolve();
  }

  #unused(key: string): Kept | undefined {
    const kept = this.#kept.get(key);
    return kept === undefined || kept.isTaken || kept.until <= this.#clock.monotonic() ? undefined : kept;
  }
}
