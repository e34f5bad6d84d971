import type { ClientConnection } from '../../src/connection/client-connection.ts';
import type { SimulatedNode } from './simulated-node.ts';
import type { Witness } from './witness.ts';

/** A revocation is in force on every node within this time of its confirmation. */
const IN_FORCE_MS = 1000;
/** After a fault, a call may still wait for its time-out. A new connection and the next look follow. */
const RECOVERED_MS = 3000;

interface Kept {
  readonly userId: number;
  /** Wall-clock ms. */
  readonly at: number;
  /** Simulated time of the confirmation. */
  readonly since: number;
  /** The nodes that ran then. A stopping node runs until its process ends. */
  readonly nodes: readonly SimulatedNode[];
}

/** Knows the confirmed revocations, and compares the open connections with them. */
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
    this.#kept.push({ ...revocation, since: this.#now(), nodes: this.#nodes().filter(({ isUp }) => isUp) });
  }

  /** Once a revocation must be in force, no connection with a revoked token is open. */
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
    // Bound `wall-clock`: nodes with stepped clocks mean different moments.
    return (
      !stepped &&
      ![troubles, frozen, badLine, redisTroubles, redisAway].some((spells) =>
        spells.touches(now - RECOVERED_MS, now),
      )
    );
  }

  /** If Redis lost it, the nodes that could put it back may have died since, or may not reach Redis. */
  #isInForce({ since, nodes }: Kept): boolean {
    if (this.#now() - since <= IN_FORCE_MS) return false;
    if (this.#witness.lostMemoryAt < since) return true;
    return (
      nodes.every(({ diedAt }) => diedAt === undefined) && this.#nodes().every((node) => this.#mustKnow(node))
    );
  }
}
