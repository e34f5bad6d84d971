import type { Clock } from '../lib/clock.ts';
import { OFF_WHEEL, TimeoutWheel, type WheelNode } from './timeout-wheel.ts';

/** Largest number of expiries in one check. The rest follows in the next turn of the loop. */
const MAX_DUE_PER_LOOK = 1000;

/** An object that expires at a time of the wall clock. */
export interface Expiring {
  /** The time has passed. Called once for each {@link Expiries.watch}. Must not throw. */
  expired(): void;
  /** Belongs to {@link Expiries}; undefined while nothing is watched. */
  expiry: Expiry | undefined;
}

/**
 * Expiries at times of the wall clock, such as the `exp` of a token. No stall, outage or suspend moves them, so they have their
 * own wheel beside the one in observed time.
 */
export class Expiries {
  readonly #clock: Pick<Clock, 'now'>;
  #wheel: TimeoutWheel<Expiry>;
  #lookedAt: number;

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
    this.#lookedAt = clock.now();
    this.#wheel = new TimeoutWheel(this.#lookedAt);
  }

  /** Watches `owner` until `at` (wall-clock ms), and forgets an earlier time. Undefined: it does not expire. */
  watch(owner: Expiring, at: number | undefined): void {
    this.unwatch(owner);
    if (at === undefined) return;
    owner.expiry = new Expiry(owner, at);
    this.#wheel.add(owner.expiry);
  }

  unwatch(owner: Expiring): void {
    if (owner.expiry === undefined) return;
    this.#wheel.remove(owner.expiry);
    owner.expiry = undefined;
  }

  /** Whether one may expire within `ms`. */
  within(ms: number): boolean {
    return this.#wheel.countUntil(this.#clock.now() + ms) > 0;
  }

  /** Calls the owners whose time has passed. Returns whether there may be more. */
  look(): boolean {
    const now = this.#clock.now();
    if (now < this.#lookedAt) this.#startAnew(now);
    this.#lookedAt = now;
    const ended = this.#wheel.advance(now, MAX_DUE_PER_LOOK, ({ owner }) => {
      owner.expiry = undefined;
      owner.expired();
    });
    return ended === MAX_DUE_PER_LOOK;
  }

  /** The clock was set back. The wheel would not turn until the clock reaches its old place again. */
  #startAnew(now: number): void {
    const before = this.#wheel;
    this.#wheel = new TimeoutWheel(now);
    for (const expiry of [...before]) {
      before.remove(expiry);
      this.#wheel.add(expiry);
    }
  }
}

/** The time at which one owner expires. */
export class Expiry implements WheelNode {
  readonly owner: Expiring;
  wheelSlot = OFF_WHEEL;
  wheelPrevious: WheelNode | undefined = undefined;
  wheelNext: WheelNode | undefined = undefined;
  readonly #at: number;

  constructor(owner: Expiring, at: number) {
    this.owner = owner;
    this.#at = at;
  }

  dueAt(): number {
    return this.#at;
  }
}
