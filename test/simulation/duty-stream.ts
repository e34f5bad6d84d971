import type { Duty } from '../../src/protocol/periods.ts';

export type DutyKey = Pick<Duty, 'id' | 'userId' | 'period'>;

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
  readonly #appended: string[] = [];
  #serial = 0;

  get size(): number {
    return this.#entries.size;
  }

  append(duty: Omit<Duty, 'id'>, wall: number): void {
    this.#serial += 1;
    const id = `${wall}-${this.#serial}`;
    this.#entries.set(id, { duty: { ...duty, id }, deliveredAt: undefined, consumer: '' });
    this.#appended.push(id);
  }

  /** What was appended since the last call. */
  appended(): readonly Duty[] {
    return this.#appended.flatMap((id) => this.#entries.get(id)?.duty ?? []);
  }

  /** Replaces what was appended by the same duties, with the ids and the order of another stream. */
  adopt(duties: readonly Duty[]): void {
    for (const id of this.#appended.splice(0)) this.#entries.delete(id);
    for (const duty of duties) this.#entries.set(duty.id, { duty, deliveredAt: undefined, consumer: '' });
  }

  /** New duties first, then those that a consumer has had for too long. */
  take(consumer: string, limit: number, wall: number): readonly Duty[] {
    const fresh = this.fresh(consumer, limit, wall);
    return [...fresh, ...this.abandoned(consumer, limit - fresh.length, wall)];
  }

  /** Duties that no consumer has had. */
  fresh(consumer: string, limit: number, wall: number): readonly Duty[] {
    return this.#give(consumer, { limit, wall }, ({ deliveredAt }) => deliveredAt === undefined);
  }

  /** Duties that a consumer has had for too long. */
  abandoned(consumer: string, limit: number, wall: number): readonly Duty[] {
    return this.#give(
      consumer,
      { limit, wall },
      ({ deliveredAt }) => deliveredAt !== undefined && wall - deliveredAt >= ABANDONED_AFTER_MS,
    );
  }

  /** Duties that `consumer` has and has not acknowledged. */
  heldBy(consumer: string): readonly Duty[] {
    return [...this.#entries.values()].filter((entry) => entry.consumer === consumer).map(({ duty }) => duty);
  }

  /** The same duties, delivered once more. */
  again(consumer: string, limit: number, wall: number): readonly Duty[] {
    return this.#give(consumer, { limit, wall }, (entry) => entry.consumer === consumer);
  }

  /** The duties of a dead consumer go to the next one that takes. Returns their number. */
  requeue(consumer: string, wall: number): number {
    const had = [...this.#entries.values()].filter((entry) => entry.consumer === consumer);
    const given = had.slice(0, MAX_REQUEUED);
    for (const { duty } of given) {
      this.#entries.delete(duty.id);
      this.append(duty, wall);
    }
    return given.length;
  }

  /** After a rollback another duty may have this id. That one stays. */
  remove({ id, userId, period }: DutyKey): void {
    const duty = this.#entries.get(id)?.duty;
    if (duty?.userId === userId && duty.period === period) this.#entries.delete(id);
  }

  /** Consumers that have any duty. */
  get consumers(): readonly string[] {
    return [...this.#entries.values()].flatMap(({ consumer }) => (consumer === '' ? [] : [consumer]));
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

  #give(
    consumer: string,
    { limit, wall }: { readonly limit: number; readonly wall: number },
    isGiven: (entry: Entry) => boolean,
  ): readonly Duty[] {
    const given = [...this.#entries.values()].filter(isGiven).slice(0, limit);
    for (const entry of given) Object.assign(entry, { deliveredAt: wall, consumer });
    return given.map(({ duty }) => duty);
  }
}
