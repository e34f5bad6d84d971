import { isOnline } from '../../src/presence/rules/record.ts';
import type { Claim, ClaimAnswer } from '../../src/presence/store/port.ts';
import type { SimulatedRedis } from './simulated-redis.ts';
import type { Openings } from './witness-openings.ts';

/**
 * Periods that Redis treated as past in a restore after a failover. In the snapshot an earlier period of the user still runs, and its
 * number is the greater one. The node leaves such a period out of the next restore (bound `treated-as-past`).
 */
export class TreatedAsPast {
  readonly #openings: Openings;
  /** Redis has the contents of a snapshot, and has not lost them since. */
  #hasFailedOver = false;
  /** The node and the period as one text. The node has heard nothing but "young" about the user since. */
  readonly #refused = new Set<string>();
  /** Then Redis lost its data again. */
  readonly #lost = new Set<string>();

  constructor(openings: Openings) {
    this.#openings = openings;
  }

  claimed(claim: Claim, answer: ClaimAnswer, { node, redis }: { node: string; redis: SimulatedRedis }): void {
    if (answer.kind === 'young') return;
    const { userId, mode, period } = claim;
    const key = `${userId}:${period}`;
    // The node connects the user anew, or Redis has the user again.
    for (const refused of this.#refused)
      if (refused.startsWith(`${node} ${userId}:`)) this.#refused.delete(refused);
    const isHeld = answer.kind === 'held' || (answer.kind === 'joined' && answer.period === period);
    if (isHeld) this.#lost.delete(`${node} ${key}`);
    const record = redis.world.records.get(userId);
    const known = record !== undefined && isOnline(record) ? record.period : 0;
    const isMisnumbered = known > period && this.#openings.isMisnumbered(key, `${userId}:${known}`);
    if (mode === 'restate' && answer.kind === 'gone' && this.#hasFailedOver && isMisnumbered)
      this.#refused.add(`${node} ${key}`);
  }

  /** Redis is about to lose everything, or everything newer than a snapshot. */
  forgot(): void {
    this.#hasFailedOver = false;
    for (const refused of this.#refused) this.#lost.add(refused);
    this.#refused.clear();
  }

  /** From now on Redis has the contents of a snapshot. */
  wentBack(): void {
    this.#hasFailedOver = true;
  }

  /** Whether nobody restores what the node heard in this period. */
  isLost(node: string, key: string): boolean {
    return this.#lost.has(`${node} ${key}`);
  }
}
