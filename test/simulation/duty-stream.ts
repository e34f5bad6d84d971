import type { Duty } from '../../src/protocol/periods.ts';

interface Entry {
  readonly duty: Duty;
  deliveredAt: number | undefined;
  consumer: string;
}

/** As in `redis-duties.ts`. */
const ABANDONED_AFTER_MS = 10_000;
/** As in `reap.lua`. */
const MAX_REQUEUED = 500;

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

  /** What a dead consumer had goes to whoever takes next; answers how much that was. */
  requeue(consumer: string, wall: number): number {
    const had = [...this.#entries.values()].filter((entry) => entry.consumer === consumer);
    const given = had.slice(0, MAX_REQUEUED);
    for (const { duty } of given) {
      this.#entries.delete(duty.id);
      this.append(duty, wall);
    }
    return given.length;
  }

  /** After a rollback another duty may bear the id: that one stays. */
  remove({ id, userId, period }: Duty): void {
    const duty = this.#entries.get(id)?.duty;
    if (duty?.userId === userId && duty.period === period) this.#entries.delete(id);
  }

  /** Oldest first. */
  get all(): readonly Duty[] {
    return [...this.#entries.values()].map(({ duty }) => duty);
  }

  copyFrom(other: DutyStream): void {
    this.#serial = other.#serial;
    this.#entries.clear();
    for (const [id, entry] of other.#entries) this.#entries.set(id, { ...entry });
  }
}
