import { type Duty, type PendingDuties, periodKey } from '../../../protocol/periods.ts';

/** Duties set aside; beyond, the oldest leaves memory: its row stays open in SQL and is tried again at the next start. */
const MAX_ASIDE = 10_000;

interface Waiting {
  readonly duty: Duty;
  /** Monotonic ms. */
  readonly since: number;
}

/** Duties of this process, oldest first. Bounded by the users that log out while SQL is away, each once a period. */
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

  /** Whether the period's duty waits or was set aside. */
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
