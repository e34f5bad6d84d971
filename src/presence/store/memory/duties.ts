import { type Duty, type PendingDuties, periodKey } from '../../../protocol/periods.ts';

/** Largest number of dead letters. Beyond it the oldest one is dropped. Its row stays open in SQL; the next start tries it again. */
const MAX_ASIDE = 10_000;

interface Waiting {
  readonly duty: Duty;
  /** Monotonic ms. */
  readonly since: number;
}

/** Duties of this process, oldest first. While SQL is unavailable, each ended period adds one. */
export class MemoryDuties {
  readonly #monotonic: () => number;
  readonly #waiting = new Map<string, Waiting>();
  readonly #taken = new Set<string>();
  readonly #aside = new Map<string, string>();

  constructor(monotonic: () => number) {
    this.#monotonic = monotonic;
  }

  add(duty: Omit<Duty, 'id'>): void {
    const id = periodKey(duty);
    this.#waiting.set(id, { duty: { ...duty, id }, since: this.#monotonic() });
  }

  /** Whether the period's duty waits or is a dead letter. */
  has(period: { readonly userId: number; readonly period: number }): boolean {
    const id = periodKey(period);
    return this.#waiting.has(id) || this.#aside.has(id);
  }

  take(limit: number): readonly Duty[] {
    const taken: Duty[] = [];
    for (const [id, { duty }] of this.#waiting) {
      if (taken.length === limit) break;
      if (this.#taken.has(id)) continue;
      this.#taken.add(id);
      taken.push(duty);
    }
    return taken;
  }

  /** Those without an acknowledgement, oldest first. */
  get unacknowledged(): readonly Duty[] {
    return [...this.#waiting.values()].map(({ duty }) => duty);
  }

  acknowledge({ id }: Duty): void {
    this.#waiting.delete(id);
    this.#taken.delete(id);
  }

  setAside(duty: Duty, error: string): void {
    this.#aside.set(duty.id, error);
    const oldest = this.#aside.keys().next().value;
    if (this.#aside.size > MAX_ASIDE && oldest !== undefined) this.#aside.delete(oldest);
  }

  pending(): PendingDuties {
    const oldest = this.#waiting.values().next().value;
    return {
      count: this.#waiting.size,
      oldestAgeMs: oldest === undefined ? 0 : this.#monotonic() - oldest.since,
      setAside: this.#aside.size,
    };
  }
}
