import type { Loss } from '../store/port.ts';

/** A dead node may only be frozen: what it lost it must hear when it thaws (rule PR8). */
const KEPT_OF_DEAD_MS = 3_600_000;

/** Holds that were taken from nodes: told to each with every renewal until it acknowledges them (rule PR4). */
export class Losses {
  readonly #ofNodes = new Map<string, Map<number, Loss>>();
  /** Wall clock after which the losses of a node that was dead are gone. */
  readonly #expiries = new Map<string, number>();

  /** Those of one node, by user. */
  get(node: string): ReadonlyMap<number, Loss> | undefined {
    return this.#ofNodes.get(node);
  }

  /** When those of the node go, wall clock; undefined: they stay. */
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

  /** Takes losses back, whatever statement they name. */
  forget(node: string, userId: number): void {
    const ofNode = this.#ofNodes.get(node);
    ofNode?.delete(userId);
    if (ofNode?.size === 0) this.#clear(node);
  }

  /** A renewal: what the node acknowledges is done with, the rest stays for as long as it takes. */
  renewed(node: string, acknowledged: readonly Loss[], wall: number): readonly Loss[] {
    this.expire(node, wall);
    for (const { userId, rev } of acknowledged) {
      if (this.#ofNodes.get(node)?.get(userId)?.rev === rev) this.forget(node, userId);
    }
    this.#expiries.delete(node);
    return [...(this.#ofNodes.get(node)?.values() ?? [])];
  }

  /** Nothing else is left of a dead node. */
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
