import type { Clock, Timer } from '../lib/clock.ts';
import type { Delivery, DeliveryCounts, DeliveryStatus } from '../protocol/delivery.ts';
import type { ClientConnection } from './client-connection.ts';

/** Work done before the loop is given back: heartbeats and other sends wait no longer (rule DL5). */
const SLICE_MS = 4;
/** Users between two looks at the clock. */
const USERS_PER_LOOK = 32;

/** Delivers one message to the connections of one user and says what became of it. */
export type DeliverToUser = (userId: number, connections: readonly ClientConnection[]) => Delivery;

/** One message to many, accepted and not yet handed to all of its connections. */
interface Job {
  readonly number: number;
  /** Connections that came later do not get the message. */
  readonly maxSerial: number;
  readonly targets: Iterator<number>;
  readonly isTarget: (userId: number) => boolean;
  readonly deliver: DeliverToUser;
  /** Present where the outcome of each user is wanted. */
  readonly results: Map<number, Delivery> | undefined;
  readonly absent: ((userId: number) => void) | undefined;
  readonly counts: Partial<Record<DeliveryStatus, number>>;
  readonly finish: () => void;
}

/** Users who come and go while a message is handed to them. */
export interface LiveTargets extends Iterable<number> {
  /** They are no more than this. */
  readonly atMost: number;
  has(userId: number): boolean;
}

export interface DispatchRequest {
  /** User ids, each once; iterated while users come and go. */
  readonly targets: Iterable<number>;
  readonly isTarget: (userId: number) => boolean;
  readonly deliver: DeliverToUser;
  readonly wantResults: boolean;
  /** Called for each target that has no connection when its turn comes. */
  readonly absent?: (userId: number) => void;
}

export interface DispatchReport {
  readonly results: ReadonlyMap<number, Delivery> | undefined;
  readonly counts: DeliveryCounts;
}

export interface DispatcherOptions {
  readonly clock: Clock;
  /** Jobs accepted and not yet done, at most. */
  readonly capacity: number;
  readonly connectionsOf: (userId: number) => readonly ClientConnection[];
  readonly newestSerial: () => number;
}

/**
 * The bounded dispatch queue: messages to many run in slices, first in, first out. A message to one user that comes
 * meanwhile must not overtake them: {@link catchUp} hands the user what is still under way, at once (rule DL4).
 */
export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #jobs: Job[] = [];
  #number = 0;
  #scheduled: Timer | undefined;

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  get capacity(): number {
    return this.#options.capacity;
  }

  get depth(): number {
    return this.#jobs.length;
  }

  /** Undefined where the queue is full. */
  submit(request: DispatchRequest): Promise<DispatchReport> | undefined {
    if (this.#jobs.length >= this.#options.capacity) return undefined;
    return new Promise((resolve) => {
      const results = request.wantResults ? new Map<number, Delivery>() : undefined;
      const counts: Job['counts'] = {};
      this.#number += 1;
      this.#jobs.push({
        number: this.#number,
        maxSerial: this.#options.newestSerial(),
        targets: request.targets[Symbol.iterator](),
        isTarget: request.isTarget,
        deliver: request.deliver,
        results,
        absent: request.absent,
        counts,
        finish: () => resolve({ results, counts }),
      });
      this.#schedule();
    });
  }

  /** Hands the user everything that is under way to them, so that what follows keeps its place. */
  catchUp(userId: number): void {
    for (const job of this.#jobs) {
      if (job.isTarget(userId)) this.#reach(job, userId);
    }
  }

  #schedule(): void {
    this.#scheduled ??= this.#options.clock.defer(() => {
      this.#scheduled = undefined;
      try {
        this.#runSlice();
      } finally {
        // Who broke off the slice is passed over: their turn is behind the job.
        if (this.#jobs.length > 0) this.#schedule();
      }
    });
  }

  #runSlice(): void {
    const { clock } = this.#options;
    const until = clock.monotonic() + SLICE_MS;
    for (let job = this.#jobs[0]; job !== undefined; job = this.#jobs[0]) {
      for (let looked = 0; looked < USERS_PER_LOOK; looked += 1) {
        const next = job.targets.next();
        if (next.done === true) {
          this.#jobs.shift();
          job.finish();
          break;
        }
        if (job.absent !== undefined && this.#options.connectionsOf(next.value).length === 0)
          job.absent(next.value);
        else this.#reach(job, next.value);
      }
      if (clock.monotonic() >= until) return;
    }
  }

  #reach(job: Job, userId: number): void {
    const connections = this.#options
      .connectionsOf(userId)
      .filter((connection) => connection.serial <= job.maxSerial && connection.dispatched < job.number);
    if (connections.length === 0) {
      if (job.results !== undefined && !job.results.has(userId))
        this.#note(job, job.deliver(userId, connections));
      return;
    }
    for (const connection of connections) connection.dispatched = job.number;
    this.#note(job, job.deliver(userId, connections));
  }

  #note(job: Job, delivery: Delivery): void {
    job.results?.set(delivery.userId, delivery);
    job.counts[delivery.status] = (job.counts[delivery.status] ?? 0) + 1;
  }
}
