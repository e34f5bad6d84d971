import { assert } from '../lib/assert.ts';

/** A node of the wheel. The links belong to the wheel; a node is on at most one wheel. */
export interface WheelNode {
  /** Observed time of the node's deadline. It may move later at any time; the wheel need not know. */
  dueAt(): number;
  wheelSlot: number;
  wheelPrevious: WheelNode | undefined;
  wheelNext: WheelNode | undefined;
}

/** `wheelSlot` of a node that is on no wheel. */
export const OFF_WHEEL = -1;

const SLOT_MS = 25;
/** Power of two: 25.6 s ahead. A node with a later deadline waits in the farthest slot and moves on from there. */
const SLOT_COUNT = 1024;
/** The slot that is being emptied is never this one, even counted from the next slot. */
const HORIZON_SLOTS = SLOT_COUNT - 2;

/**
 * A hashed timing wheel with lazy re-bucketing. A heartbeat only moves the node's own deadline; the node changes its slot when
 * the wheel reaches the old one. Insertion and removal are O(1), and a tick visits only the slots whose time has come. Pure: time
 * is an argument. The wheel never returns a node before its deadline, and at most one slot and one tick after it.
 */
export class TimeoutWheel<Node extends WheelNode> {
  readonly #slots: (WheelNode | undefined)[] = new Array<WheelNode | undefined>(SLOT_COUNT).fill(undefined);
  readonly #counts = new Uint32Array(SLOT_COUNT);
  /** Number of the next slot to look at, counted from time 0. */
  #next: number;
  /** A slot is being emptied. Nodes added meanwhile go into later slots; otherwise it might never become empty. */
  #advancing = false;
  #size = 0;

  constructor(now: number) {
    this.#next = Math.floor(now / SLOT_MS);
  }

  get size(): number {
    return this.#size;
  }

  add(node: Node): void {
    assert(node.wheelSlot === OFF_WHEEL, 'a node is on one wheel at most');
    const due = Math.ceil(node.dueAt() / SLOT_MS);
    const first = this.#advancing ? this.#next + 1 : this.#next;
    const slot = Math.min(Math.max(due, first), first + HORIZON_SLOTS) % SLOT_COUNT;
    const head = this.#slots[slot];
    node.wheelSlot = slot;
    node.wheelPrevious = undefined;
    node.wheelNext = head;
    if (head !== undefined) head.wheelPrevious = node;
    this.#slots[slot] = node;
    this.#counts[slot] = (this.#counts[slot] ?? 0) + 1;
    this.#size += 1;
  }

  remove(node: Node): void {
    if (node.wheelSlot === OFF_WHEEL) return;
    if (node.wheelPrevious === undefined) this.#slots[node.wheelSlot] = node.wheelNext;
    else node.wheelPrevious.wheelNext = node.wheelNext;
    if (node.wheelNext !== undefined) node.wheelNext.wheelPrevious = node.wheelPrevious;
    this.#counts[node.wheelSlot] = (this.#counts[node.wheelSlot] ?? 0) - 1;
    node.wheelSlot = OFF_WHEEL;
    node.wheelPrevious = undefined;
    node.wheelNext = undefined;
    this.#size -= 1;
  }

  /** Moves the node to the slot of its deadline. Needed only if the deadline moved to an earlier time. */
  reschedule(node: Node): void {
    this.remove(node);
    this.add(node);
  }

  /** Number of nodes in the slots up to observed time `time`: an upper bound of those due by then. */
  countUntil(time: number): number {
    let count = 0;
    for (let slot = this.#next; slot <= this.#lastSlot(time); slot += 1)
      count += this.#counts[slot % SLOT_COUNT] ?? 0;
    return count;
  }

  /** All nodes. Do not change the wheel meanwhile. */
  *[Symbol.iterator](): Iterator<Node> {
    for (const first of this.#slots)
      for (let node = first; node !== undefined; node = node.wheelNext) yield node as Node;
  }

  /** These nodes. Do not change the wheel meanwhile. */
  *until(time: number): Iterable<Node> {
    for (let slot = this.#next; slot <= this.#lastSlot(time); slot += 1) {
      for (let node = this.#slots[slot % SLOT_COUNT]; node !== undefined; node = node.wheelNext)
        yield node as Node;
    }
  }

  /**
   * Removes each node whose deadline has passed at `now`, at most `limit` nodes, and passes it to `due`. Returns their number. If
   * it is `limit`, more may wait for the next call. A node that `due` puts back goes into a later slot, whatever its deadline is,
   * so each call ends.
   */
  advance(now: number, limit: number, due: (node: Node) => void): number {
    this.#advancing = true;
    try {
      return this.#empty(now, limit, due);
    } finally {
      this.#advancing = false;
    }
  }

  #empty(now: number, limit: number, due: (node: Node) => void): number {
    const last = Math.floor(now / SLOT_MS);
    let given = 0;
    // A gap of a whole turn or more visits each slot once.
    if (last - this.#next >= SLOT_COUNT) this.#next = last - SLOT_COUNT + 1;
    while (this.#next <= last) {
      const slot = this.#next % SLOT_COUNT;
      let node = this.#slots[slot] as Node | undefined;
      while (node !== undefined) {
        if (given === limit) return given;
        const following = node.wheelNext as Node | undefined;
        this.remove(node);
        if (node.dueAt() <= now) {
          given += 1;
          due(node);
        } else {
          this.add(node);
        }
        // `due` may have removed the next node too; then start again from the head.
        node =
          following !== undefined && following.wheelSlot === slot
            ? following
            : (this.#slots[slot] as Node | undefined);
      }
      this.#next += 1;
    }
    return given;
  }

  /** Number of the slot of a node due at `time`, within one turn. */
  #lastSlot(time: number): number {
    return Math.min(Math.ceil(time / SLOT_MS), this.#next + SLOT_COUNT - 1);
  }
}
