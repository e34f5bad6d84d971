import type { Clock, Timer } from './clock.ts';

interface Entry {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/**
 * A clock that moves only when a test moves it. {@link stepWall} moves wall time alone, to simulate a clock step.
 */
export class FakeClock implements Clock {
  #monotonic = 0;
  #wall: number;
  #order = 0;
  readonly #entries = new Set<Entry>();

  constructor(wallMs = Date.UTC(2026, 0, 1)) {
    this.#wall = wallMs;
  }

  now(): number {
    return Math.floor(this.#wall);
  }

  monotonic(): number {
    return this.#monotonic;
  }

  after(delayMs: number, callback: () => void): Timer {
    const entry = { at: this.#monotonic + Math.max(0, delayMs), order: this.#order++, run: callback };
    this.#entries.add(entry);
    return { cancel: () => this.#entries.delete(entry) };
  }

  every(intervalMs: number, callback: () => void): Timer {
    let timer: Timer;
    const run = (): void => {
      timer = this.after(intervalMs, run);
      callback();
    };
    timer = this.after(intervalMs, run);
    return { cancel: () => timer.cancel() };
  }

  defer(callback: () => void): Timer {
    return this.after(0, callback);
  }

  /** Moves both clocks forward by `ms` and runs each due callback at its own moment, in order. */
  advance(ms: number): void {
    const target = this.#monotonic + ms;
    for (let next = this.#nextDue(target); next !== undefined; next = this.#nextDue(target)) {
      this.#moveTo(Math.max(next.at, this.#monotonic));
      this.#entries.delete(next);
      next.run();
    }
    // A callback may have stalled the clock beyond this moment.
    this.#moveTo(Math.max(target, this.#monotonic));
  }

  /** As {@link advance}, but promises settle between the steps of `stepMs`. */
  async advanceAsync(ms: number, stepMs = 10): Promise<void> {
    await settlePromises();
    for (let left = ms; left > 0; left -= stepMs) {
      this.advance(Math.min(stepMs, left));
      await settlePromises();
    }
  }

  /** Moves time forward without running anything, as a blocked event loop or a suspended machine does. */
  stall(ms: number): void {
    this.#moveTo(this.#monotonic + ms);
  }

  /** Steps only the wall clock, in either direction. */
  stepWall(ms: number): void {
    this.#wall += ms;
  }

  #moveTo(monotonic: number): void {
    this.#wall += monotonic - this.#monotonic;
    this.#monotonic = monotonic;
  }

  #nextDue(target: number): Entry | undefined {
    let found: Entry | undefined;
    for (const entry of this.#entries) {
      if (entry.at > target) continue;
      if (
        found === undefined ||
        entry.at < found.at ||
        (entry.at === found.at && entry.order < found.order)
      ) {
        found = entry;
      }
    }
    return found;
  }
}

async function settlePromises(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}
