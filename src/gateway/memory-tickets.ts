import type { Clock } from '../lib/clock.ts';
import type { TicketStore } from './tickets.ts';

/**
 * Tickets in this process. All have the same life, so the oldest goes first. Whoever issues them bounds their number.
 */
export class MemoryTickets implements TicketStore {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #kept = new Map<string, { readonly text: string; readonly until: number }>();

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
    this.#kept.set(key, { text, until: now + ttlMs });
    return Promise.resolve();
  }

  read(key: string): Promise<string | undefined> {
    const kept = this.#kept.get(key);
    return Promise.resolve(
      kept === undefined || kept.until <= this.#clock.monotonic() ? undefined : kept.text,
    );
  }

  take(key: string): Promise<string | undefined> {
    const text = this.read(key);
    this.#kept.delete(key);
    return text;
  }
}
