import { MAX_UNANSWERED } from './gateway-server.ts';

/** Number of requests that one turn of the event loop answers. */
const MAX_IN_TURN = 256;

/** `later`: in the next turn. `refuse`: the connection has used its share of this turn. */
export type Verdict = 'now' | 'later' | 'refuse';

/**
 * Bounds the answers of one turn of the event loop, in total and per connection. Bun accepts, reads and answers a connection, and
 * then looks for another one in the same turn. If clients return as soon as they are answered, the turn would never end.
 *
 * Bun handles all requests of one read in one turn: one after the other, each after the answer to the previous one. If an answer
 * takes longer than the turn and the connection sends another request before it, Bun itself ends that connection.
 */
export class BunBursts {
  /** Number of requests in the present turn. */
  #inTurn = 0;
  #address = '';
  #port = 0;
  /** Number of requests of this peer since the last request of another one. */
  #ofPeer = 0;

  judge({ address, port }: { readonly address: string; readonly port: number }): Verdict {
    if (this.#inTurn === 0)
      setImmediate(() => {
        this.#inTurn = 0;
        this.#ofPeer = 0;
      });
    this.#inTurn += 1;
    if (port !== this.#port || address !== this.#address) {
      this.#address = address;
      this.#port = port;
      this.#ofPeer = 0;
    }
    this.#ofPeer += 1;
    if (this.#ofPeer > MAX_UNANSWERED) return 'refuse';
    return this.#inTurn > MAX_IN_TURN ? 'later' : 'now';
  }
}
