import type { Duty } from '../../src/protocol/periods.ts';

interface Entry {
  readonly duty: Duty;
  deliveredAt: number | undefined;
  consumer: string;
}

/** As in `redis-duties.ts`. */
const ABANDONED_AFTER_MS = 10_000;

/** The stream of duties with its one consumer group. */
export class DutyStream {
  readonly #entries = new Map<string, Entry>();
  #serial = 0;

  get size(): number {
    return this.#entries.size;
  }

  append(duty: Omit<Duty, 'id'>, wall: number): void {
    this.#serial += 1;
    const id = `${wall}-${this.#serial}`;
    this.#entries.set(id, { duty: { ...duty, id }, deliveredAt: undefined, consumer: '' });
  }

  /** Fresh duties, then those that somebody has had for too long. */
  take(consumer: string, limit: number, wall: number): readonly Duty[] {
    const fresh: Entry[] = [];
    const abandoned: Entry[] = [];
    for (const entry of this.#entries.values()) {
      if (entry.deliveredAt === undefined) fresh.push(entry);
      else if (wall - entry.deliveredAt >= ABANDONED_AFTER_MS) abandoned.push(entry);
    }
    const given = [...fresh, ...abandoned].slice(0, limit);
    for (const entry of given) Object.assign(entry, { deliveredAt: wall, consumer });
    return given.map(({ duty }) => duty);
  }

  /** What `consumer` has had and not acknowledged. */
  heldBy(consumer: string): readonly Duty[] {
    return [...this.#entries.values()].filter((entry) => entry.consumer === consumer).map(({ duty }) => duty);
  }

  /** What a dead consumer had goes to whoever takes next. */
  requeue(consumer: string, wall: number): void {
    for (const [id, entry] of this.#entries) {
      if (entry.deliveredAt === undefined || entry.consumer !== consumer) continue;
      this.#entries.delete(id);
      this.append(entry.duty, wall);
    }
  }

  remove(id: string): void {
    this.#entries.delete(id);
  }

  copy(): DutyStream {
    const copy = new DutyStream();
    copy.#serial = this.#serial;
    for (const [id, entry] of this.#entries) copy.#entries.set(id, { ...entry });
    return copy;
  }
}
