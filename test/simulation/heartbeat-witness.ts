import type { Caller } from '../../src/presence/rules/lease.ts';
import type { Claim, ClaimAnswer } from '../../src/presence/store/port.ts';
import type { SimulatedNode } from './simulated-node.ts';
import type { Witness } from './witness.ts';

/** Until a node learns of a logout elsewhere, it may answer a heartbeat from what it knows (bound `unheard-logout`). */
const HEARD_MS = 500;

/** Knows the users that Redis has taken from a node, and finds heartbeats by HTTP that the node still accepts for them. */
export class HeartbeatWitness {
  readonly #witness: Witness;
  /** When Redis first answered a node that it does not hold a user, by the node's name and the user. */
  readonly #goneAt = new Map<string, number>();

  constructor(witness: Witness) {
    this.#witness = witness;
  }

  /** Redis answered a claim. */
  claimed({ userId, mode }: Claim, { kind }: ClaimAnswer, { node }: Caller): void {
    const key = `${node} ${userId}`;
    if (kind === 'gone') {
      // The node learns of the loss only with its next claim after a restore.
      if (mode !== 'restate' && !this.#goneAt.has(key)) this.#goneAt.set(key, this.#witness.now);
    } else if (kind === 'joined' || kind === 'opened' || kind === 'held') this.#goneAt.delete(key);
  }

  /** A heartbeat by HTTP that arrived at `at` got a good answer. */
  taken({ name, troubles, frozen, badLine }: SimulatedNode, userId: number, at: number): void {
    const goneAt = this.#goneAt.get(`${name} ${userId}`);
    if (goneAt === undefined || at - goneAt <= HEARD_MS) return;
    // The node may not know of it yet.
    const { redisAway, now } = this.#witness;
    if ([troubles, frozen, badLine, redisAway].some((spells) => spells.touches(goneAt, now))) return;
    this.#witness.violated(
      `[PR1] ${name} takes a heartbeat by HTTP of user ${userId}, and Redis took the user from it ${at - goneAt} ms before`,
    );
  }
}
