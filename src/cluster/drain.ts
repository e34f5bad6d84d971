import type { Clock, Timer } from '../lib/clock.ts';

/** The share of the drain timeout over which the connections are closed; the rest is for what is left to write. */
const CLOSING_SHARE = 2 / 3;
/** Connections are closed in steps of this length. */
const STEP_MS = 20;

export interface DrainOptions {
  readonly clock: Clock;
  /** How long the node serves on as if nothing were, so that load balancers notice. */
  readonly shutdownDelayMs: number;
  /** From the end of that delay on. */
  readonly drainTimeoutMs: number;
  /** Connections that are open now. */
  readonly connections: () => number;
  /** Closes one of them. */
  readonly closeOne: () => void;
  /** Told when new connections must be refused from now on, and when they may come again. */
  readonly refuse: (refusing: boolean) => void;
}

/** `leaving`: not ready, but everything is served. `closing`: nobody new comes in, and the others are sent away. */
type Phase =
  | { readonly kind: 'serving' }
  | { readonly kind: 'leaving'; readonly timer: Timer; readonly run: Run }
  | { readonly kind: 'closing'; readonly timer: Timer | undefined; readonly run: Run };

/** Monotonic times: when the next connection is closed, and when the last one. */
interface Pace {
  readonly nextAt: number;
  readonly until: number;
}

interface Run {
  readonly emptied: Promise<void>;
  readonly done: () => void;
}

/**
 * Takes one node out of service (rule DR1): first it only says so, then it closes its connections at an even pace. Who
 * still has a connection is still online, so a slow drain logs nobody out, and the other nodes meet no burst.
 */
export class Drain {
  readonly #options: DrainOptions;
  #phase: Phase = { kind: 'serving' };

  constructor(options: DrainOptions) {
    this.#options = options;
  }

  get isDraining(): boolean {
    return this.#phase.kind !== 'serving';
  }

  /** Begins, or joins what has begun. Resolves once no connection is left; never where it is cancelled before. */
  start(): Promise<void> {
    if (this.#phase.kind !== 'serving') return this.#phase.run.emptied;
    const { clock, shutdownDelayMs } = this.#options;
    const run = newRun();
    if (shutdownDelayMs === 0) this.#close(run);
    else this.#phase = { kind: 'leaving', run, timer: clock.after(shutdownDelayMs, () => this.#close(run)) };
    return run.emptied;
  }

  /** Takes the node back into service. */
  cancel(): void {
    if (this.#phase.kind === 'serving') return;
    this.#phase.timer?.cancel();
    this.#phase = { kind: 'serving' };
    this.#options.refuse(false);
  }

  #close(run: Run): void {
    const { clock, drainTimeoutMs } = this.#options;
    this.#phase = { kind: 'closing', run, timer: undefined };
    this.#options.refuse(true);
    const now = clock.monotonic();
    this.#step(run, { nextAt: now, until: now + drainTimeoutMs * CLOSING_SHARE });
  }

  /** Closes who is due: the first at once, the last at the end. */
  #step(run: Run, pace: Pace): void {
    const { clock, connections, closeOne } = this.#options;
    const now = clock.monotonic();
    let { nextAt } = pace;
    while (connections() > 0 && (nextAt <= now || now >= pace.until)) {
      closeOne();
      nextAt += Math.max(0, pace.until - nextAt) / Math.max(1, connections());
    }
    const isEmpty = connections() === 0;
    if (isEmpty) run.done();
    const timer = isEmpty
      ? undefined
      : clock.after(STEP_MS, () => this.#step(run, { until: pace.until, nextAt }));
    this.#phase = { kind: 'closing', run, timer };
  }
}

function newRun(): Run {
  let done = (): void => {};
  const emptied = new Promise<void>((resolve) => {
    done = resolve;
  });
  return { emptied, done };
}
