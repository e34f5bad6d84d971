import type { Clock, Timer } from '../lib/clock.ts';

/** The share of the drain timeout over which the connections are closed; the rest is for what is left to write. */
const CLOSING_SHARE = 2 / 3;
/** Connections are closed in steps of this length. */
const STEP_MS = 20;

export interface DrainOptions {
  readonly clock: Clock;
  /** How long the node still serves everything, so that load balancers notice the drain. */
  readonly shutdownDelayMs: number;
  /** Counts from the end of that delay. */
  readonly drainTimeoutMs: number;
  /** Number of open connections. */
  readonly connections: () => number;
  /** Closes one of them. */
  readonly closeOne: () => void;
  /** Called when the node must begin to refuse new connections, and when it may accept them again. */
  readonly refuse: (refusing: boolean) => void;
}

/** `leaving`: the node is not ready, but serves everything. `closing`: it refuses new connections and closes the others. */
type Phase =
  | { readonly kind: 'serving' }
  | { readonly kind: 'leaving'; readonly timer: Timer; readonly run: Run }
  | { readonly kind: 'closing'; readonly timer: Timer | undefined; readonly run: Run };

/** Monotonic times at which the next connection and the last connection are closed. */
interface Pace {
  readonly nextAt: number;
  readonly until: number;
}

interface Run {
  readonly emptied: Promise<void>;
  readonly done: () => void;
}

/**
 * Takes one node out of service (rule DR1). First the node reports that it is not ready. Then it closes its connections at an
 * even pace. A user with an open connection is online, so a slow drain logs nobody out, and the other nodes get no burst.
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

  /** Starts a drain, or joins the running one. Resolves once no connection is left; never resolves if it is cancelled. */
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

  /** Closes the connections whose time has come: the first one at once, the last one at the end. */
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
