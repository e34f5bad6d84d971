import type { Clock, Timer } from '../../src/lib/clock.ts';
import { settlePromises } from './settle-promises.ts';

/** The order within one millisecond of one process, as in an event loop: timers, then arrivals, then deferred work. */
export const Phase = { timer: 0, read: 1, deferred: 2 } as const;

/** Simulated processes check their deadlines at most this often, as a busy loop would. This saves most of the work. */
const QUICKEST_TICK_MS = 250;
const WALL_START = Date.UTC(2026, 0, 1);
/** More than the number of events in any history. So one number orders the phases, and the events within them. */
const PHASE_RANKS = 2 ** 40;

/** A future event, unless it is cancelled. All events have one shape, because a history has thousands. */
class Event implements Timer {
  at: number;
  rank: number;
  readonly owner: NodeClock | undefined;
  run: (() => void) | undefined;
  /** Whether it may settle promises. Most events only deliver a message. */
  mayResolve = true;

  constructor(at: number, rank: number, owner: NodeClock | undefined, run: () => void) {
    this.at = at;
    this.rank = rank;
    this.owner = owner;
    this.run = run;
  }

  cancel(): void {
    this.run = undefined;
  }
}

/** All future events, in order. Time moves from one event to the next. Nothing here knows the real time. */
export class Scheduler {
  now = 0;
  #order = 0;
  readonly #heap: Event[] = [];
  /**
   * Comes before everything on the heap. Many events are the next ones when they are scheduled, and need not go through the heap.
   */
  #first: Event | undefined;

  /** Runs `run` at `at`. With an owner, it runs only while that process lives, and waits until it is thawed. */
  schedule(at: number, run: () => void, owner?: NodeClock): Timer {
    return this.place(at, Phase.read, owner, run);
  }

  /** As {@link schedule}, for work that settles no promise. */
  carry(at: number, run: () => void): void {
    const event = new Event(Math.max(at, this.now), this.rank(Phase.read), undefined, run);
    event.mayResolve = false;
    this.push(event);
  }

  /** As {@link schedule}, in any phase. */
  place(at: number, phase: number, owner: NodeClock | undefined, run: () => void): Event {
    const event = new Event(Math.max(at, this.now), this.rank(phase), owner, run);
    this.push(event);
    return event;
  }

  rank(phase: number): number {
    this.#order += 1;
    return phase * PHASE_RANKS + this.#order;
  }

  /** All promises that an event can settle have settled before the next event. */
  runUntil(time: number): void {
    settlePromises();
    while (this.runToPromises(time)) settlePromises();
  }

  /**
   * Runs events until one may have settled promises. False: no event is left that is due by `time`. The caller lets those promises
   * take effect before it calls again.
   */
  runToPromises(time: number): boolean {
    for (let event = this.#next(time); event !== undefined; event = this.#next(time)) {
      const { run, owner } = event;
      if (run === undefined) continue;
      this.now = event.at;
      if (owner?.takes(event) === false) continue;
      run();
      if (event.mayResolve) return true;
    }
    this.now = time;
    return false;
  }

  /** Everything sleeps for this long. Events in that time happen together when it wakes, in order. */
  suspend(ms: number): void {
    this.now += ms;
    const events = this.#heap.splice(0);
    if (this.#first !== undefined) events.push(this.#first);
    this.#first = undefined;
    for (const event of events.sort((left, right) => (isBefore(left, right) ? -1 : 1))) {
      if (event.at < this.now) {
        event.at = this.now;
        event.rank = this.rank(Phase.timer);
      }
      this.push(event);
    }
  }

  push(event: Event): void {
    const first = this.#first ?? this.#heap[0];
    if (first !== undefined && !isBefore(event, first)) return this.#pushLater(event);
    if (this.#first !== undefined) this.#pushLater(this.#first);
    this.#first = event;
  }

  /** Takes the first event, if it is due by `time`. */
  #next(time: number): Event | undefined {
    const first = this.#first;
    if (first !== undefined) {
      if (first.at > time) return undefined;
      this.#first = undefined;
      return first;
    }
    const top = this.#heap[0];
    if (top === undefined || top.at > time) return undefined;
    this.#pop();
    return top;
  }

  #pushLater(event: Event): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent] as Event;
      if (!isBefore(event, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Event;
    const { length } = heap;
    if (length === 0) return;
    let index = 0;
    for (let child = 1; child < length; child = 2 * index + 1) {
      let below = heap[child] as Event;
      const right = child + 1 < length ? (heap[child + 1] as Event) : below;
      if (isBefore(right, below)) {
        below = right;
        child += 1;
      }
      if (!isBefore(below, last)) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = last;
  }
}

/** The clock of one process. Its timers die with it, and wait while it is frozen. A fault may step its wall clock. */
export class NodeClock implements Clock {
  skewMs: number;
  readonly #scheduler: Scheduler;
  readonly #backlog: Event[] = [];
  #state: 'running' | 'frozen' | 'dead' = 'running';

  constructor(scheduler: Scheduler, skewMs: number) {
    this.#scheduler = scheduler;
    this.skewMs = skewMs;
  }

  get isDead(): boolean {
    return this.#state === 'dead';
  }

  get isFrozen(): boolean {
    return this.#state === 'frozen';
  }

  now(): number {
    return wallAt(this.#scheduler.now, this.skewMs);
  }

  monotonic(): number {
    return this.#scheduler.now;
  }

  after(delayMs: number, callback: () => void): Timer {
    const at = this.#scheduler.now + Math.max(0, delayMs);
    return this.#scheduler.place(at, Phase.timer, this, callback);
  }

  every(intervalMs: number, callback: () => void): Timer {
    const scheduler = this.#scheduler;
    const interval = Math.max(intervalMs, QUICKEST_TICK_MS);
    let cancelled = false;
    const event = scheduler.place(scheduler.now + interval, Phase.timer, this, () => {
      // It is no longer on the heap, so the same object can be scheduled again.
      event.at = scheduler.now + interval;
      event.rank = scheduler.rank(Phase.timer);
      callback();
      if (!cancelled) scheduler.push(event);
    });
    return {
      cancel: () => {
        cancelled = true;
        event.cancel();
      },
    };
  }

  defer(callback: () => void): Timer {
    return this.#scheduler.place(this.#scheduler.now, Phase.deferred, this, callback);
  }

  /** Whether the event may run now. Otherwise it is dropped, or waits for the thaw. */
  takes(event: Event): boolean {
    if (this.#state === 'frozen') this.#backlog.push(event);
    return this.#state === 'running';
  }

  freeze(): void {
    if (this.#state === 'running') this.#state = 'frozen';
  }

  thaw(): void {
    if (this.#state !== 'frozen') return;
    this.#state = 'running';
    for (const event of this.#backlog.splice(0)) {
      event.at = this.#scheduler.now;
      this.#scheduler.push(event);
    }
  }

  /** `kill -9`: this process does nothing more. */
  kill(): void {
    this.#state = 'dead';
    this.#backlog.length = 0;
  }
}

/** The time of a wall clock that is off by `skewMs`, at simulated time `time`. */
export function wallAt(time: number, skewMs: number): number {
  return Math.floor(WALL_START + time + skewMs);
}

function isBefore(left: Event, right: Event): boolean {
  return left.at < right.at || (left.at === right.at && left.rank < right.rank);
}
