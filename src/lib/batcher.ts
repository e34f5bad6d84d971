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
  /** Requests differ in weight: a batch of more than one weighs at most `max`. */
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
  /** If `from` requests or more wait after `spacingMs`, they wait for more of them: until `spacingMs` of the burst. */
  readonly burst?: { readonly from: number; readonly spacingMs: number };
  /**
   * A request without an answer `ms` after it came fails with `late`. If no batch has begun with it, none will. Default: a
   * request waits for as long as its batch takes.
   */
  readonly deadline?: { readonly ms: number; readonly late: () => Error };
}

/** Too many requests wait. */
export class BatcherFull extends Error {
  override readonly name = 'BatcherFull';
}

/**
 * Turns single requests into batches. Requests of one turn of the event loop go together. While one batch runs, the
 * next one gathers.
 */
export class Batcher<Request, Response> {
  readonly #options: BatcherOptions<Request, Response>;
  readonly #waiting = new Set<Entry<Request, Response>>();
  /** All that have no answer, oldest first. Only a batcher with a deadline keeps them. */
  readonly #unanswered = new Set<Entry<Request, Response>>();
  #underWay = 0;
  /** The next batch begins in this turn of the loop. */
  #isDue = false;
  /** The next batch begins then, or once it is full. */
  #timer: Timer | undefined;
  #isTimed = false;
  #lastBegan = Number.NEGATIVE_INFINITY;

  constructor(options: BatcherOptions<Request, Response>) {
    assert(options.maxBatch >= 1 && options.maxWaiting >= 1, 'a batcher needs room for one request');
    this.#options = options;
  }

  /** Requests that are in no batch yet. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Never rejects. */
  submit(request: Request): Promise<Result<Response, unknown>> {
    if (this.#waiting.size >= this.#options.maxWaiting)
      return Promise.resolve(
        err(new BatcherFull(`${this.#options.maxWaiting} requests are waiting already`)),
      );
    return new Promise((finish) => {
      const entry = { request, finish, since: 0 };
      this.#waiting.add(entry);
      this.#schedule();
      if (this.#options.deadline !== undefined) this.#watch(entry);
    });
  }

  #watch(entry: Entry<Request, Response>): void {
    entry.since = this.#options.clock.monotonic();
    this.#unanswered.add(entry);
    if (!this.#isTimed) this.#timeOldest();
  }

  /** One timer serves all requests: a timer for each would cost a burst more than its batches. */
  #timeOldest(): void {
    const { clock, deadline } = this.#options;
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
      this.#waiting.delete(entry);
      this.#answer(entry, err(late()));
    }
  }

  #answer(entry: Entry<Request, Response>, result: Result<Response, unknown>): void {
    this.#unanswered.delete(entry);
    entry.finish(result);
  }

  #schedule(): void {
    const { clock, spacingMs = 0, maxBatch, concurrency = 1 } = this.#options;
    const waiting = this.#waiting.size;
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
    const waiting = this.#waiting.size;
    const isBurst = burst !== undefined && waiting >= burst.from && waiting < maxBatch;
    const wait = isBurst ? this.#left(burst.spacingMs) : 0;
    if (wait > 0) this.#timer = clock.after(wait, () => this.#flush());
    else this.#flush();
  }

  /** What is left of a time that began with the last batch. */
  #left(ms: number): number {
    return this.#lastBegan + ms - this.#options.clock.monotonic();
  }

  #flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    while (this.#waiting.size > 0 && this.#underWay < (this.#options.concurrency ?? 1)) {
      this.#underWay += 1;
      this.#lastBegan = this.#options.clock.monotonic();
      void this.#runBatch(this.#takeBatch());
    }
  }

  #takeBatch(): readonly Entry<Request, Response>[] {
    const { maxBatch, weight } = this.#options;
    const batch: Entry<Request, Response>[] = [];
    let weighs = 0;
    for (const entry of this.#waiting) {
      if (batch.length >= maxBatch) break;
      weighs += weight?.of(entry.request) ?? 0;
      if (weight !== undefined && batch.length > 0 && weighs > weight.max) break;
      this.#waiting.delete(entry);
      batch.push(entry);
    }
    return batch;
  }

  async #runBatch(batch: readonly Entry<Request, Response>[]): Promise<void> {
    try {
      const results = await this.#options.run(batch.map(({ request }) => request));
      assert(results.length === batch.length, 'a batch answers each of its requests');
      batch.forEach((entry, index) => this.#answer(entry, results[index] ?? err(new Error('no result'))));
    } catch (error) {
      for (const entry of batch) this.#answer(entry, err(error));
    }
    this.#underWay -= 1;
    this.#schedule();
  }
}

interface Entry<Request, Response> {
  readonly request: Request;
  /** Monotonic ms. */
  since: number;
  readonly finish: (result: Result<Response, unknown>) => void;
}
