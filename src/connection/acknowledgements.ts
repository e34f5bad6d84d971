import type { Clock, Timer } from '../lib/clock.ts';

/** Pushes that wait for their acknowledgement at one moment, at most; beyond, a push answers at once. */
const MAX_PENDING = 100_000;

/** Waits of pushes for the `ack` of their clients. */
export class Acknowledgements {
  readonly #clock: Clock;
  readonly #pending = new Map<
    string,
    { readonly userId: number; readonly settle: (acked: boolean) => void; readonly timer: Timer }
  >();
  #count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A fresh id for a message to one user, unique in this process. */
  nextId(): string {
    this.#count += 1;
    return this.#count.toString(36);
  }

  /** Resolves with whether `userId` acknowledged `id` within `timeoutMs`. */
  wait(id: string, expected: { readonly userId: number; readonly timeoutMs: number }): Promise<boolean> {
    if (this.#pending.size >= MAX_PENDING) return Promise.resolve(false);
    return new Promise((resolve) => {
      const settle = (acked: boolean): void => {
        timer.cancel();
        // A second wait for the same id has its own timer.
        if (this.#pending.get(id)?.settle === settle) this.#pending.delete(id);
        resolve(acked);
      };
      const timer = this.#clock.after(expected.timeoutMs, () => settle(false));
      this.#pending.set(id, { userId: expected.userId, settle, timer });
    });
  }

  /** Ignores ids that nobody waits for and ids of other users' messages. */
  acknowledge(userId: number, id: string): void {
    const waiting = this.#pending.get(id);
    if (waiting?.userId === userId) waiting.settle(true);
  }
}
