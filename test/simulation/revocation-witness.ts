import type { ClientConnection } from '../../src/connection/client-connection.ts';
import type { SimulatedNode } from './simulated-node.ts';
import type { Witness } from './witness.ts';

/** A revocation is in force on every node within this time of its confirmation. */
const IN_FORCE_MS = 1000;
/** After a trouble a call may still wait for its time-out, then comes a new connection, then the next look. */
const RECOVERED_MS = 3000;

interface Kept {
  readonly userId: number;
  /** Wall-clock ms. */
  readonly at: number;
  /** Simulated time of the confirmation. */
  readonly since: number;
}

/** Knows which revocations were confirmed, and holds the open connections against them. */
export class RevocationWitness {
  readonly #witness: Witness;
  readonly #now: () => number;
  readonly #nodes: () => readonly SimulatedNode[];
  readonly #kept: Kept[] = [];

  constructor(options: {
    readonly witness: Witness;
    readonly now: () => number;
    readonly nodes: () => readonly SimulatedNode[];
  }) {
    this.#witness = options.witness;
    this.#now = options.now;
    this.#nodes = options.nodes;
  }

  kept(revocation: { readonly userId: number; readonly at: number }): void {
    this.#kept.push({ ...revocation, since: this.#now() });
  }

  /** No connection with a revoked token is open, once the revocation must be in force. */
  check(): void {
    for (const node of this.#nodes())
      for (const { userId } of this.#kept)
        for (const connection of node.manager.connectionsOf(userId)) this.look(node, connection);
  }

  look(node: SimulatedNode, { userId, tokenIssuedAt, isOpen }: ClientConnection): void {
    if (!isOpen || tokenIssuedAt === undefined || !node.isUp || !this.#mustKnow(node)) return;
    const broken = this.#kept.find(
      (kept) => kept.userId === userId && tokenIssuedAt <= kept.at && this.#isInForce(kept),
    );
    if (broken !== undefined)
      this.#witness.violated(
        `[CR3] ${node.name} keeps a connection of ${userId} whose token was revoked ${this.#now() - broken.since} ms ago`,
      );
  }

  #mustKnow({ troubles, frozen, badLine }: SimulatedNode): boolean {
    const { redisTroubles, redisAway, stepped } = this.#witness;
    const now = this.#now();
    // Bound `wall-clock`: nodes whose clocks were stepped mean different moments.
    return (
      !stepped &&
      ![troubles, frozen, badLine, redisTroubles, redisAway].some((spells) =>
        spells.touches(now - RECOVERED_MS, now),
      )
    );
  }

  /** Where Redis lost it, those who could put it back may have died since, or may not reach Redis. */
  #isInForce({ since }: Kept): boolean {
    const { lostMemoryAt, diedAt } = this.#witness;
    if (this.#now() - since <= IN_FORCE_MS) return false;
    return lostMemoryAt < since || (diedAt < since && this.#nodes().every((node) => this.#mustKnow(node)));
  }
}
