import { assert } from './assert.ts';
import type { Clock, Timer } from './clock.ts';

/** Time of one slice. After it the loop is free again, so heartbeats and other sends wait no longer than this (rule DL5). */
const SLICE_MS = 4;
/** Number of items between two readings of the clock. */
const ITEMS_PER_LOOK = 8;

export interface SlicedQueueOptions<Item> {
  readonly clock: Pick<Clock, 'defer' | 'monotonic'>;
  /** Handles one item. If it throws, the slice ends, and the next slice continues after that item. */
  readonly run: (item: Item) => void;
  /** Largest number of waiting items. */
  readonly maxItems: number;
  /** Largest weight of all waiting items together. */
  readonly maxWeight: number;
  readonly weigh: (item: Item) => number;
}

/** A bounded queue, first in, first out. It handles a burst in slices of 4 ms, so that other work can run between them. */
export class SlicedQueue<Item> {
  readonly #options: SlicedQueueOptions<Item>;
  #items: Item[] = [];
  /** Number of those that are handled. */
  #done = 0;
  #weight = 0;
  #scheduled: Timer | undefined;

  constructor(options: SlicedQueueOptions<Item>) {
    assert(options.maxItems >= 1, 'a queue needs room for one item');
    this.#options = options;
  }

  /** Number of waiting items. */
  get size(): number {
    return this.#items.length - this.#done;
  }

  /** Returns false if the queue is full: then the item was not added. */
  push(item: Item): boolean {
    const { maxItems, maxWeight, weigh } = this.#options;
    const weight = weigh(item);
    // A single item over the limit is accepted if it is alone.
    if (this.size >= maxItems || (this.size > 0 && this.#weight + weight > maxWeight)) return false;
    this.#items.push(item);
    this.#weight += weight;
    this.#schedule();
    return true;
  }

  #schedule(): void {
    this.#scheduled ??= this.#options.clock.defer(() => {
      this.#scheduled = undefined;
      try {
        this.#runSlice();
      } finally {
        if (this.size > 0) this.#schedule();
        else this.#clear();
      }
    });
  }

  #runSlice(): void {
    const { clock, run, weigh } = this.#options;
    const until = clock.monotonic() + SLICE_MS;
    while (this.size > 0) {
      for (let looked = 0; looked < ITEMS_PER_LOOK && this.size > 0; looked += 1) {
        const item = this.#items[this.#done] as Item;
        // Removes the reference, so that a handled item can be freed.
        this.#items[this.#done] = undefined as Item;
        this.#done += 1;
        this.#weight -= weigh(item);
        run(item);
      }
      this.#compact();
      if (clock.monotonic() >= until) return;
    }
  }

  /** Otherwise a queue that never becomes empty would keep a place for every item that it ever had. */
  #compact(): void {
    if (this.#done * 2 <= this.#items.length) return;
    this.#items = this.#items.slice(this.#done);
    this.#done = 0;
  }

  #clear(): void {
    this.#items = [];
    this.#done = 0;
  }
}
