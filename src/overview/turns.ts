import type { Clock } from '../lib/clock.ts';

/** Time of one slice. After it the loop is free again. */
const SLICE_MS = 4;
/** Pause between two slices, so that this work uses about half of the processor at most. */
const REST_MS = 4;
/** Number of steps between two readings of the clock. */
const STEPS_PER_LOOK = 8;

/** Runs one long work at a time, in slices. There is always a pause between slices, also of different works. */
export class Turns {
  readonly #clock: Clock;
  #last: Promise<unknown> = Promise.resolve();
  /** Undefined: the next step begins a slice. */
  #until: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs `steps` to the end, after all works before it have ended. It may pause at each `yield`. */
  run<Value>(steps: () => Generator<unknown, Value>): Promise<Value> {
    const work = this.#last.then(() => this.#run(steps()));
    this.#last = work.catch(() => undefined);
    return work;
  }

  async #run<Value>(steps: Generator<unknown, Value>): Promise<Value> {
    for (let step = 0; ; step += 1) {
      if (step % STEPS_PER_LOOK === 0) while (this.#isOver()) await this.#rest();
      const { done, value } = steps.next();
      if (done === true) return value;
    }
  }

  #isOver(): boolean {
    const now = this.#clock.monotonic();
    if (this.#until === undefined) {
      this.#until = now + SLICE_MS;
      this.#clock.defer(() => {
        this.#until = undefined;
      });
    }
    return now >= this.#until;
  }

  #rest(): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.after(REST_MS, resolve);
    });
  }
}
