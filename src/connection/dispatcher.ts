import type { Clock, Timer } from '../lib/clock.ts';
import type { Delivery, DeliveryCounts, DeliveryStatus } from '../protocol/delivery.ts';
import type { ClientConnection } from './client-connection.ts';

/** Time of one slice. After it the loop is free again, so heartbeats and other sends wait no longer than this (rule DL5). */
const SLICE_MS = 4;
/** Number of users between two readings of the clock. */
const USERS_PER_LOOK = 32;

/** Delivers one message to the connections of one user and returns the outcome. */
export type DeliverToUser = (userId: number, connections: readonly ClientConnection[]) => Delivery;

/** One message to many users: accepted, but not yet sent to all of their connections. */
interface Job {
  readonly number: number;
  /** Connections with a higher number do not get the message. */
  readonly maxSerial: number;
  readonly targets: Iterator<number>;
  readonly isTarget: (userId: number) => boolean;
  readonly deliver: DeliverToUser;
  /** Present if the caller wants the outcome of each user. */
  readonly results: Map<number, Delivery> | undefined;
  readonly absent: ((userId: number) => void) | undefined;
  readonly counts: Partial<Record<DeliveryStatus, number>>;
  readonly finish: () => void;
}

/** The receivers of one message. Users may come and go during the dispatch. */
export interface LiveTargets extends Iterable<number> {
  /** Upper bound of their number. */
  readonly atMost: number;
  has(userId: number): boolean;
}

export interface DispatchRequest {
  /** User ids, each once. Users may come and go during the iteration. */
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
  /** Largest number of accepted and unfinished jobs. */
  readonly capacity: number;
  readonly connectionsOf: (userId: number) => readonly ClientConnection[];
  readonly newestSerial: () => number;
}

/**
 * The bounded dispatch queue. Messages to many users run in slices, first in, first out. A later message to one user must not
 * overtake them. So {@link catchUp} first gives that user all earlier messages at once (rule DL4).
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

  /** Undefined if the queue is full. */
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

  /** Gives the user all messages of unfinished jobs, so that the next message comes after them. */
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
        // If the delivery to one user threw, the job goes on with the next user.
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
