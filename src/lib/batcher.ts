import { assert } from './assert.ts';
import type { Clock, Timer } from './clock.ts';
import { err, type Result } from './result.ts';

export interface BatcherOptions<Request, Response> {
  /**
   * Runs a whole batch and returns one result for each request, in order. If it rejects, every request of the batch
   * gets its error.
   */
  readonly run: (requests: readonly Request[]) => Promise<readonly Result<Response, unknown>[]>;
  readonly clock: Pick<Clock, 'defer' | 'after' | 'monotonic'>;
  /** Largest number of requests in one batch. */
  readonly maxBatch: number;
  /** Requests have different weights: a batch with more than one weighs at most `max`. */
  readonly weight?: { readonly max: number; readonly of: (request: Request) => number };
  /** Largest number of waiting requests. One more fails at once with {@link BatcherFull}. */
  readonly maxWaiting: number;
  /** Batches in progress at the same time. Default: 1. */
  readonly concurrency?: number;
  /**
   * Milliseconds from the start of one batch to the start of the next. Default: 0. Neither a single request nor a full batch
   * waits for it. It turns a burst into few large batches if each batch is expensive, as with an fsync.
   */
  readonly spacingMs?: number;
  /**
   * If at least `from` requests wait after `spacingMs`, the batch waits for more: until `spacingMs` after the start of the burst.
   */
  readonly burst?: { readonly from: number; readonly spacingMs: number };
  /**
   * If a request has no answer `ms` after it came, it fails with `late`. If no batch with it has begun, none will. Default: a
   * request waits as long as its batch takes.
   */
  readonly deadline?: { readonly ms: number; readonly late: () => Error };
}

/** Too many requests wait. */
export class BatcherFull extends Error {
  override readonly name = 'BatcherFull';
}

/**
 * Turns single requests into batches. Requests of one turn of the event loop share a batch. While one batch runs, requests for
 * the next one collect.
 */
export class Batcher<Request, Response> {
  readonly #options: BatcherOptions<Request, Response>;
  /** Requests that no batch has, oldest first. A request that failed at its deadline stays here until its batch would begin. */
  #queue: Entry<Request, Response>[] = [];
  /** Number of entries in the queue without an answer. */
  #waiting = 0;
  /** Requests in order of arrival, to find those without an answer. Only a batcher with a deadline keeps them. */
  #unanswered: Entry<Request, Response>[] = [];
  #underWay = 0;
  /** The next batch begins in the present turn of the loop. */
  #isDue = false;
  /** The next batch begins at this time, or when it is full. */
  #timer: Timer | undefined;
  #isTimed = false;
  #lastBegan = Number.NEGATIVE_INFINITY;

  constructor(options: BatcherOptions<Request, Response>) {
    assert(options.maxBatch >= 1 && options.maxWaiting >= 1, 'a batcher needs room for one request');
    this.#options = options;
  }

  /** Number of requests that no batch has yet. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Never rejects. */
  submit(request: Request): Promise<Result<Response, unknown>> {
    if (this.#waiting >= this.#options.maxWaiting)
      return Promise.resolve(
        err(new BatcherFull(`${this.#options.maxWaiting} requests are waiting already`)),
      );
    return new Promise((finish) => {
      const entry = { request, finish, since: 0, isTaken: false, isAnswered: false };
      this.#queue.push(entry);
      this.#waiting += 1;
      this.#schedule();
      if (this.#options.deadline !== undefined) this.#watch(entry);
    });
  }

  #watch(entry: Entry<Request, Response>): void {
    entry.since = this.#options.clock.monotonic();
    this.#unanswered.push(entry);
    if (!this.#isTimed) this.#timeOldest();
  }

  /** All requests share one timer: in a burst, a timer for each would cost more than the batches. */
  #timeOldest(): void {
    const { clock, deadline } = this.#options;
    this.#forgetAnswered();
    const [oldest] = this.#unanswered;
    this.#isTimed = oldest !== undefined && deadline !== undefined;
    if (oldest === undefined || deadline === undefined) return;
    clock.after(Math.max(0, oldest.since + deadline.ms - clock.monotonic()), () => {
      this.#giveUpLate(clock.monotonic() - deadline.ms, deadline.late);
      this.#timeOldest();
    });
  }

  #giveUpLate(since: number, late: () => Error): void {
    for (const entry of this.#unanswered) {
      if (entry.since > since) return;
      if (entry.isAnswered) continue;
      if (!entry.isTaken) this.#waiting -= 1;
      this.#answer(entry, err(late()));
    }
  }

  #answer(entry: Entry<Request, Response>, result: Result<Response, unknown>): void {
    entry.isAnswered = true;
    entry.finish(result);
  }

  /** Most requests are answered in the order of their arrival. */
  #forgetAnswered(): void {
    const first = this.#unanswered.findIndex(({ isAnswered }) => !isAnswered);
    this.#unanswered.splice(0, first < 0 ? this.#unanswered.length : first);
  }

  #schedule(): void {
    const { clock, spacingMs = 0, maxBatch, concurrency = 1 } = this.#options;
    const waiting = this.#waiting;
    if (this.#isDue || waiting === 0 || this.#underWay >= concurrency) return;
    const isFull = waiting >= maxBatch;
    if (this.#timer !== undefined && !isFull) return;
    const wait = isFull ? 0 : this.#left(spacingMs);
    if (wait > 0) {
      this.#timer = clock.after(wait, () => {
        this.#timer = undefined;
        this.#gatherOrFlush();
      });
      return;
    }
    this.#isDue = true;
    clock.defer(() => {
      this.#isDue = false;
      this.#gatherOrFlush();
    });
  }

  #gatherOrFlush(): void {
    const { clock, burst, maxBatch } = this.#options;
    const waiting = this.#waiting;
    const isBurst = burst !== undefined && waiting >= burst.from && waiting < maxBatch;
    const wait = isBurst ? this.#left(burst.spacingMs) : 0;
    if (wait > 0) this.#timer = clock.after(wait, () => this.#flush());
    else this.#flush();
  }

  /** The rest of a time that began with the last batch. */
  #left(ms: number): number {
    return this.#lastBegan + ms - this.#options.clock.monotonic();
  }

  #flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    while (this.#waiting > 0 && this.#underWay < (this.#options.concurrency ?? 1)) {
      this.#underWay += 1;
      this.#lastBegan = this.#options.clock.monotonic();
      void this.#runBatch(this.#takeBatch());
    }
  }

  #takeBatch(): readonly Entry<Request, Response>[] {
    const { maxBatch, weight } = this.#options;
    const batch: Entry<Request, Response>[] = [];
    let weighs = 0;
    let taken = 0;
    for (const entry of this.#queue) {
      if (!entry.isAnswered) {
        if (batch.length >= maxBatch) break;
        weighs += weight?.of(entry.request) ?? 0;
        if (weight !== undefined && batch.length > 0 && weighs > weight.max) break;
        entry.isTaken = true;
        batch.push(entry);
      }
      taken += 1;
    }
    this.#queue.splice(0, taken);
    this.#waiting -= batch.length;
    return batch;
  }

  async #runBatch(batch: readonly Entry<Request, Response>[]): Promise<void> {
    try {
      const results = await this.#options.run(batch.map(({ request }) => request));
      assert(results.length === batch.length, 'a batch answers each of its requests');
      for (const [index, entry] of batch.entries())
        this.#answer(entry, results[index] ?? err(new Error('no result')));
    } catch (error) {
      for (const entry of batch) this.#answer(entry, err(error));
    }
    this.#forgetAnswered();
    this.#underWay -= 1;
    this.#schedule();
  }
}

interface Entry<Request, Response> {
  readonly request: Request;
  /** Monotonic ms. */
  since: number;
  /** A batch with this request has begun. */
  isTaken: boolean;
  isAnswered: boolean;
  readonly finish: (result: Result<Response, unknown>) => void;
}
