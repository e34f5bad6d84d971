import { assert } from './assert.ts';
import type { Clock, Timer } from './clock.ts';

/** Work done before the loop is given back: heartbeats and other sends wait no longer (rule DL5). */
const SLICE_MS = 4;
/** Items between two looks at the clock. */
const ITEMS_PER_LOOK = 8;

export interface SlicedQueueOptions<Item> {
  readonly clock: Pick<Clock, 'defer' | 'monotonic'>;
  /** Handles one item. If it throws, the slice ends and the next one goes on behind the item. */
  readonly run: (item: Item) => void;
  /** Largest number of waiting items. */
  readonly maxItems: number;
  /** Largest weight of all waiting items together. */
  readonly maxWeight: number;
  readonly weigh: (item: Item) => number;
}

/** A bounded queue, first in, first out. A burst is handled in slices of 4 ms, so that other work goes on between them. */
export class SlicedQueue<Item> {
  readonly #options: SlicedQueueOptions<Item>;
  #items: Item[] = [];
  /** Of those, how many have been handled. */
  #done = 0;
  #weight = 0;
  #scheduled: Timer | undefined;

  constructor(options: SlicedQueueOptions<Item>) {
    assert(options.maxItems >= 1, 'a queue needs room for one item');
    this.#options = options;
  }

  /** Items that wait. */
  get size(): number {
    return this.#items.length - this.#done;
  }

  /** False where the queue is full: the item is not taken. */
  push(item: Item): boolean {
    const { maxItems, maxWeight, weigh } = this.#options;
    const weight = weigh(item);
    // One item that is too heavy by itself passes alone.
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
        // Nothing keeps what has been handled alive.
        this.#items[this.#done] = undefined as Item;
        this.#done += 1;
        this.#weight -= weigh(item);
        run(item);
      }
      this.#compact();
      if (clock.monotonic() >= until) return;
    }
  }

  /** A queue that never becomes empty would otherwise keep a place for everything that it ever had. */
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
