import type { Clock } from '../lib/clock.ts';

/**
 * The most of a gap between two looks at the clock that is charged to anybody, in milliseconds (rule HB5). What goes
 * beyond it nobody could observe: the loop was blocked, the process stopped, or the machine asleep.
 */
export const MAX_CHARGED_GAP_MS = 1000;

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
    if (gap > MAX_CHARGED_GAP_MS) this.#stalled += gap - MAX_CHARGED_GAP_MS;
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

  /** Milliseconds of all stalls so far, frozen or not: while one lasts, what clients send queues up unread. */
  get stalledMs(): number {
    return this.#stalled;
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
