import { MAX_UNANSWERED } from './gateway-server.ts';

/**
 * Bounds the requests that one connection has answered within one turn of the event loop. Bun reads all requests of one
 * read in one turn, each after the answer to the one before; nothing else happens meanwhile. Where an answer takes
 * longer than the turn, Bun itself ends a connection that asks again before it.
 */
export class BunBursts {
  readonly #counts = new Map<string, number>();

  /** False where the connection of this peer has had its share of the present turn. */
  take(peer: { readonly address: string; readonly port: number }): boolean {
    if (this.#counts.size === 0) setImmediate(() => this.#counts.clear());
    const key = `${peer.address}:${peer.port}`;
    const count = (this.#counts.get(key) ?? 0) + 1;
    this.#counts.set(key, count);
    return count <= MAX_UNANSWERED;
  }
}
