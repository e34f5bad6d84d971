import type { Clock } from '../lib/clock.ts';

/**
 * The largest part of a gap between two readings of the clock that counts against users, in ms (rule HB5). In the rest of the gap
 * the process could observe nothing: the loop was blocked, the process was stopped, or the machine slept.
 */
export const MAX_CHARGED_GAP_MS = 1000;

/** A loop that turns at least this often is not blocked. */
const USUAL_TURN_MS = 100;

/** This long after a stall, the process has read everything that arrived during the stall. */
const RECENT_MS = 1000;

/**
 * Time that the process could observe: monotonic time minus the stalls. It stands still while frozen. All deadlines use it, so
 * one addition credits a stall to all users.
 */
export class ObservedTime {
  readonly #clock: Clock;
  readonly #credited: (ms: number) => void;
  #last: number;
  #hidden = 0;
  #stalled = 0;
  #turnedAt: number | undefined;
  /** The newest stall: how long it was, and when it was over. */
  #newestStall = 0;
  #stallEndedAt = 0;
  #frozen = false;

  constructor(clock: Clock, credited: (ms: number) => void = () => {}) {
    this.#clock = clock;
    this.#credited = credited;
    this.#last = clock.monotonic();
  }

  /** Observed milliseconds. Never steps back. */
  now(): number {
    const monotonic = this.#clock.monotonic();
    const gap = monotonic - this.#last;
    this.#last = monotonic;
    if (this.#frozen) {
      this.#hidden += gap;
    } else if (gap > MAX_CHARGED_GAP_MS) {
      this.#hidden += gap - MAX_CHARGED_GAP_MS;
      this.#credited(gap - MAX_CHARGED_GAP_MS);
    }
    return monotonic - this.#hidden;
  }

  /** Monotonic milliseconds at the last call of {@link now}. */
  get monotonic(): number {
    return this.#last;
  }

  /** The loop has turned. The ticker calls this at each tick. */
  turned(): void {
    this.now();
    const late = this.#late();
    this.#stalled += late;
    if (late > 0) {
      this.#newestStall = late;
      this.#stallEndedAt = this.#last;
    }
    this.#turnedAt = this.#last;
  }

  /**
   * Milliseconds in which the loop did not turn, up to the last call of {@link now}, frozen or not. In that time the process did
   * not read what clients sent. The value never falls, and does not change without a ticker.
   */
  get stalledMs(): number {
    return this.#stalled + this.#late();
  }

  /**
   * How long incoming data may have waited unread, in ms: the length of the present stall, or of the newest one until a second
   * after its end. 0 while the loop turns.
   */
  recentStallMs(): number {
    this.now();
    const isRecent = this.#last - this.#stallEndedAt < RECENT_MS;
    return Math.max(this.#late(), isRecent ? this.#newestStall : 0);
  }

  #late(): number {
    return this.#turnedAt === undefined ? 0 : Math.max(0, this.#last - this.#turnedAt - USUAL_TURN_MS);
  }

  get frozen(): boolean {
    return this.#frozen;
  }

  /** Stops the time: deadlines no longer come nearer (rule PR10). */
  freeze(): void {
    this.now();
    this.#frozen = true;
  }

  thaw(): void {
    this.now();
    this.#frozen = false;
  }
}
