import type { Clock, Timer } from '../lib/clock.ts';

/** Pieces of work in one turn of the loop. One close is about 50 µs of system calls. */
const A_TURN = 10;

/**
 * Work that may wait a little. The first pieces of a turn of the loop run at once, in order. The others run in the next turns. So
 * a burst does not delay other work.
 */
export class PacedWork {
  readonly #clock: Clock;
  #waiting: (() => void)[] = [];
  /** How many of them are done. */
  #done = 0;
  #left = A_TURN;
  #turn: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  run(piece: () => void): void {
    if (this.#left === 0) this.#waiting.push(piece);
    else this.#do(piece);
  }

  #do(piece: () => void): void {
    this.#turn ??= this.#clock.defer(() => this.#nextTurn());
    this.#left -= 1;
    piece();
  }

  #nextTurn(): void {
    this.#turn = undefined;
    this.#left = A_TURN;
    const pieces = this.#waiting.slice(this.#done, this.#done + A_TURN);
    this.#done += pieces.length;
    if (this.#done === this.#waiting.length) {
      this.#waiting = [];
      this.#done = 0;
    }
    for (const piece of pieces) this.#do(piece);
  }
}
