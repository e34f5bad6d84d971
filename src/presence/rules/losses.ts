import type { Loss } from '../store/port.ts';

/** A dead node may only be frozen. It must still get its losses when it thaws (rule PR8). */
const KEPT_OF_DEAD_MS = 3_600_000;

/** Losses: holds that the store took from nodes. Each renewal of a node brings its losses until it acknowledges them (rule PR4). */
export class Losses {
  readonly #ofNodes = new Map<string, Map<number, Loss>>();
  /** Wall-clock time at which the losses of a dead node expire. */
  readonly #expiries = new Map<string, number>();

  /** The losses of one node, by user. */
  get(node: string): ReadonlyMap<number, Loss> | undefined {
    return this.#ofNodes.get(node);
  }

  /** Wall-clock time at which the losses of the node expire; undefined: they stay. */
  expiryOf(node: string): number | undefined {
    return this.#expiries.get(node);
  }

  [Symbol.iterator](): IterableIterator<[string, ReadonlyMap<number, Loss>]> {
    return this.#ofNodes.entries();
  }

  add(node: string, loss: Loss): void {
    const ofNode = this.#ofNodes.get(node) ?? new Map<number, Loss>();
    ofNode.set(loss.userId, loss);
    this.#ofNodes.set(node, ofNode);
  }

  /** Removes the loss of a user, whatever its revision. */
  forget(node: string, userId: number): void {
    const ofNode = this.#ofNodes.get(node);
    ofNode?.delete(userId);
    if (ofNode?.size === 0) this.#clear(node);
  }

  /** A renewal: removes the acknowledged losses and returns the others, which stay. */
  renewed(node: string, acknowledged: readonly Loss[], wall: number): readonly Loss[] {
    this.expire(node, wall);
    for (const { userId, rev } of acknowledged) {
      if (this.#ofNodes.get(node)?.get(userId)?.rev === rev) this.forget(node, userId);
    }
    this.#expiries.delete(node);
    return [...(this.#ofNodes.get(node)?.values() ?? [])];
  }

  /** The store forgets a dead node. Its losses expire later. */
  ofDead(node: string, wall: number): void {
    if (this.#ofNodes.has(node)) this.#expiries.set(node, wall + KEPT_OF_DEAD_MS);
  }

  expire(node: string, wall: number): void {
    if (wall > (this.#expiries.get(node) ?? Number.POSITIVE_INFINITY)) this.#clear(node);
  }

  copyFrom(other: Losses): void {
    this.#ofNodes.clear();
    this.#expiries.clear();
    for (const [node, losses] of other.#ofNodes) this.#ofNodes.set(node, new Map(losses));
    for (const [node, at] of other.#expiries) this.#expiries.set(node, at);
  }

  #clear(node: string): void {
    this.#ofNodes.delete(node);
    this.#expiries.delete(node);
  }
}
