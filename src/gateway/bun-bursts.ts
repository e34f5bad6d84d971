import { MAX_UNANSWERED } from './gateway-server.ts';

/**
 * Bounds the answers to one connection in one turn of the event loop. Bun handles all requests of one read in one turn,
 * each after the answer to the last one, and nothing else meanwhile. If an answer takes longer than the turn, Bun
 * itself ends a connection that sends another request before it.
 */
export class BunBursts {
  readonly #counts = new Map<string, number>();

  /** False if the connection of this peer has used its share of the present turn. */
  take(peer: { readonly address: string; readonly port: number }): boolean {
    if (this.#counts.size === 0) setImmediate(() => this.#counts.clear());
    const key = `${peer.address}:${peer.port}`;
    const count = (this.#counts.get(key) ?? 0) + 1;
    this.#counts.set(key, count);
    return count <= MAX_UNANSWERED;
  }
}
