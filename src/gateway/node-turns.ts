import type { Clock } from '../lib/clock.ts';

/** Number of answers in one turn: they take a few milliseconds. A turn itself costs far less. */
export const MAX_IN_TURN = 64;

/**
 * Spreads answers over turns of the event loop. In one turn, Node reads every connection that has sent something, and emits all
 * requests of a read at once. So a thousand connections with sixteen requests each would delay the others by seconds, and so
 * would a few thousand handshakes. The limit of unanswered requests per connection bounds the number of waiting requests.
 */
export class NodeTurns {
  readonly #clock: Pick<Clock, 'defer'>;
  /** Number of requests in the present turn. */
  #inTurn = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(clock: Pick<Clock, 'defer'>) {
    this.#clock = clock;
  }

  /** Resolves in the turn that answers the request, in the order of the calls. Undefined: answer it in the present turn. */
  next(): Promise<void> | undefined {
    if (this.#inTurn === 0) this.#clock.defer(() => this.#turn());
    if (this.#inTurn < MAX_IN_TURN) {
      this.#inTurn += 1;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #turn(): void {
    const due = this.#waiting.splice(0, MAX_IN_TURN);
    this.#inTurn = due.length;
    if (due.length > 0) this.#clock.defer(() => this.#turn());
    for (const resolve of due) resolve();
  }
}
