import type { Clock, Timer } from '../lib/clock.ts';
import { type Opening, type PeriodKey, periodKey } from '../protocol/periods.ts';
import type { UserStore } from './user-store.ts';

/** Largest number of openings that wait to be dropped. Beyond it, the oldest is left to the reconciler. */
const MAX_GIVEN_UP = 100_000;
const BATCH = 500;
const LOOK_EVERY_MS = 1000;
/** Looks at each opening while SQL answers. The reconciler takes what is left open for longer. */
const LOOKS = 10;

interface GivenUpOptions {
  readonly clock: Clock;
  /** This incarnation. */
  readonly node: string;
  readonly store: Pick<UserStore, 'dropOpenings'>;
}

/**
 * Openings whose logins were refused although SQL may have their rows, or may still commit them. No client was ever in such a
 * period, so its row is deleted, whenever it comes.
 */
export class GivenUpOpenings {
  readonly #options: GivenUpOptions;
  /** With the number of looks that are left. */
  readonly #looksLeft = new Map<string, { readonly opening: PeriodKey; looks: number }>();
  #timer: Timer | undefined;
  #looking: Promise<void> | undefined;
  #isStopped = false;

  constructor(options: GivenUpOptions) {
    this.#options = options;
  }

  add(opening: Opening): void {
    this.#looksLeft.set(periodKey(opening), { opening, looks: LOOKS });
    const oldest = this.#looksLeft.keys().next().value;
    if (this.#looksLeft.size > MAX_GIVEN_UP && oldest !== undefined) this.#looksLeft.delete(oldest);
    this.#lookSoon();
  }

  has(opening: PeriodKey): boolean {
    return this.#looksLeft.size > 0 && this.#looksLeft.has(periodKey(opening));
  }

  /** The period runs after all: its row must stay. A promise: its row may be deleted until then. */
  takeBack(period: PeriodKey): Promise<void> | undefined {
    if (this.#looksLeft.size === 0 || !this.#looksLeft.delete(periodKey(period))) return undefined;
    return this.#looking;
  }

  /** Looks once more. What comes later is left to the reconciler. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#looking;
    if (this.#looksLeft.size > 0) await this.#look();
    this.#looksLeft.clear();
  }

  #lookSoon(): void {
    if (this.#isStopped || this.#looksLeft.size === 0) return;
    this.#timer ??= this.#options.clock.after(LOOK_EVERY_MS, () => {
      this.#looking = this.#look().finally(() => {
        this.#timer = undefined;
        this.#looking = undefined;
        this.#lookSoon();
      });
    });
  }

  async #look(): Promise<void> {
    const { store, node } = this.#options;
    const entries = [...this.#looksLeft];
    for (let from = 0; from < entries.length; from += BATCH) {
      const batch = entries.slice(from, from + BATCH);
      const openings = batch.map(([, { opening }]) => opening);
      const isDone = await store.dropOpenings(openings, node).then(
        () => true,
        () => false,
      );
      if (!isDone) return;
      for (const [key, entry] of batch) {
        entry.looks -= 1;
        if (entry.looks === 0) this.#looksLeft.delete(key);
      }
    }
  }
}
