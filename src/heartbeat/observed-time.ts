import type { Clock } from '../lib/clock.ts';

/**
 * The most of a gap between two looks at the clock that is charged to anybody, in milliseconds (rule HB5). What goes
 * beyond it nobody could observe: the loop was blocked, the process stopped, or the machine asleep.
 */
export const MAX_CHARGED_GAP_MS = 1000;

/** A loop that comes round as often as this does not stand still. */
const USUAL_TURN_MS = 100;

/**
 * Time as the process could observe it: monotonic time less the stalls, and standing still while frozen. Deadlines
 * live on it, so that crediting a stall to everybody costs one addition.
 */
export class ObservedTime {
  readonly #clock: Clock;
  readonly #credited: (ms: number) => void;
  #last: number;
  #hidden = 0;
  #stalled = 0;
  #turnedAt: number | undefined;
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

  /** The loop has come round: the ticker tells so at each tick. */
  turned(): void {
    this.now();
    this.#stalled += this.#late();
    this.#turnedAt = this.#last;
  }

  /**
   * Milliseconds in which the loop did not come round, up to the last call of {@link now}, frozen or not. What clients
   * sent in them was not read. It never falls, and stands still where no ticker runs.
   */
  get stalledMs(): number {
    return this.#stalled + this.#late();
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
