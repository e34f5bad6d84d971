import type { Clock, Timer } from '../../src/lib/clock.ts';

/** Order within one millisecond of one process, as in an event loop: timers, what arrived, what was deferred. */
export const Phase = { timer: 0, read: 1, deferred: 2 } as const;

interface Event {
  at: number;
  readonly phase: number;
  order: number;
  readonly owner: NodeClock | undefined;
  /** Part of a node's ticking: alone it starts nothing that promises wait for. */
  readonly quiet: boolean;
  readonly run: () => void;
  cancelled: boolean;
}

/** Simulated processes look at their deadlines this often, as a busy loop would: a quarter of the work. */
const SLOWEST_TICK_MS = 100;
const WALL_START = Date.UTC(2026, 0, 1);

/** All that will happen, in order. Time moves from one event to the next; nothing here knows the real one. */
export class Scheduler {
  now = 0;
  /** Something outside the ticking was touched: promises may have to settle before the next event. */
  touched = false;
  #order = 0;
  readonly #heap: Event[] = [];

  /** Runs `run` at `at`; for a node, only while it lives, and after it thawed. */
  schedule(
    at: number,
    run: () => void,
    place: { readonly owner?: NodeClock; readonly phase?: number; readonly quiet?: boolean } = {},
  ): Timer {
    const { owner, phase = Phase.read, quiet = false } = place;
    this.#order += 1;
    const event: Event = {
      ...{ at: Math.max(at, this.now), phase, order: this.#order },
      ...{ owner, quiet, run, cancelled: false },
    };
    this.push(event);
    return {
      cancel: () => {
        event.cancelled = true;
      },
    };
  }

  async runUntil(time: number): Promise<void> {
    for (let event = this.#heap[0]; event !== undefined && event.at <= time; event = this.#heap[0]) {
      this.#pop();
      if (event.cancelled) continue;
      this.now = event.at;
      if (event.owner !== undefined && !event.owner.takes(event)) continue;
      event.run();
      if (event.quiet && !this.touched) continue;
      this.touched = false;
      await settled();
    }
    this.now = time;
  }

  push(event: Event): void {
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
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && isBefore(right, heap[child] as Event)) child += 1;
      const below = heap[child] as Event;
      if (!isBefore(below, last)) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = last;
  }
}

/** The clock of one process: its timers die with it and wait while it is frozen; its wall clock may be stepped. */
export class NodeClock implements Clock {
  skewMs: number;
  readonly #scheduler: Scheduler;
  readonly #backlog: Event[] = [];
  #state: 'running' | 'frozen' | 'dead' = 'running';
  /** Whether what is scheduled now belongs to the ticking. */
  #quiet = false;

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
    return this.#schedule(delayMs, Phase.timer, callback);
  }

  every(intervalMs: number, callback: () => void): Timer {
    const interval = Math.max(intervalMs, SLOWEST_TICK_MS);
    const quiet = intervalMs < SLOWEST_TICK_MS;
    let timer: Timer;
    const run = (): void => {
      this.#quiet = quiet;
      timer = this.#schedule(interval, Phase.timer, run);
      callback();
      this.#quiet = false;
    };
    this.#quiet = quiet;
    timer = this.#schedule(interval, Phase.timer, run);
    this.#quiet = false;
    return { cancel: () => timer.cancel() };
  }

  defer(callback: () => void): Timer {
    return this.#schedule(0, Phase.deferred, callback);
  }

  /** Whether the event may run now; otherwise it is gone, or waits for the thaw. */
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

  /** `kill -9`: nothing of this process ever happens again. */
  kill(): void {
    this.#state = 'dead';
    this.#backlog.length = 0;
  }

  #schedule(delayMs: number, phase: number, callback: () => void): Timer {
    const quiet = this.#quiet;
    const run = quiet ? (): void => this.#quietly(callback) : callback;
    const at = this.#scheduler.now + Math.max(0, delayMs);
    return this.#scheduler.schedule(at, run, { owner: this, phase, quiet });
  }

  #quietly(callback: () => void): void {
    this.#quiet = true;
    callback();
    this.#quiet = false;
  }
}

/** What a wall clock that is off by `skewMs` shows at simulated time `time`. */
export function wallAt(time: number, skewMs: number): number {
  return Math.floor(WALL_START + time + skewMs);
}

function isBefore(left: Event, right: Event): boolean {
  if (left.at !== right.at) return left.at < right.at;
  if (left.phase !== right.phase) return left.phase < right.phase;
  return left.order < right.order;
}

/** One turn of the real loop: every promise that can settle has settled after it, whatever the depth of its chain. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
