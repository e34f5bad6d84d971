import type { TimeoutWheel, WheelNode } from './timeout-wheel.ts';

/** Fewer users than this never trip the breaker, whatever their share is (rule HB6). */
export const MIN_MASS_TIMEOUT = 50;
/** Users whose deadlines fall within this time of each other time out together. */
const WINDOW_MS = 1000;
/** A longer burst is reported in parts. */
const MAX_BURST_MS = 10_000;

/** A node that the breaker may hold back. */
export interface Holdable extends WheelNode {
  /** Observed time at which this node times out without a further proof of life. */
  timesOutAt(): number;
  /** Whether the node got one more timeout. A proof of life resets it. */
  isHeldBack: boolean;
}

export interface BreakerOptions {
  /** `LINGXI_MASS_TIMEOUT_SHARE`: share of all nodes on the wheel. 0: off. */
  readonly share: number;
  /** Called at once with the number of nodes that were just held back. */
  readonly held: (count: number) => void;
  /** Called once a burst is over, with the number of nodes that it held back and the number of all nodes on the wheel. */
  readonly burst: (held: number, all: number) => void;
}

/**
 * Looks ahead. If more users than the share would time out within one second, a load balancer or a cut line is the likely cause,
 * not the users. The breaker then holds them back for one more timeout. Their logout time does not move (HB6).
 */
export class MassTimeoutBreaker {
  readonly #options: BreakerOptions;
  /** The groups held back recently, with the observed time of their last deadline. */
  #recent: readonly { readonly until: number; readonly count: number }[] = [];
  /** The present burst, and its start. A burst comes in many groups, because each tick looks a little further ahead. */
  #burst: { readonly since: number; readonly held: number; readonly all: number } | undefined;

  constructor(options: BreakerOptions) {
    this.#options = options;
  }

  /** Call this before the nodes due at `now` time out. */
  inspect(wheel: TimeoutWheel<Holdable>, now: number): void {
    const { share, held } = this.#options;
    if (share === 0) return;
    const limit = Math.max(MIN_MASS_TIMEOUT, share * wheel.size);
    const until = now + WINDOW_MS;
    // Nodes that are due less than a second later belong to the same burst.
    this.#recent = this.#recent.filter((group) => group.until > now);
    const { since = now } = this.#burst ?? {};
    if (this.#recent.length === 0 || now - since >= MAX_BURST_MS) this.report();
    const before = this.#recent.reduce((sum, { count }) => sum + count, 0);
    // Most nodes in these slots have a later deadline by then. Only a full second needs a look at each node.
    if (wheel.countUntil(until) + before < limit) return;
    const together = [...wheel.until(until)].filter((node) => !node.isHeldBack && node.timesOutAt() <= until);
    const total = together.length + before;
    // The breaker needs more than the share, and at least fifty.
    if (together.length === 0 || total < MIN_MASS_TIMEOUT || total <= share * wheel.size) return;
    for (const node of together) node.isHeldBack = true;
    this.#recent = [...this.#recent, { until, count: together.length }];
    this.#burst = {
      since: this.#burst?.since ?? now,
      held: (this.#burst?.held ?? 0) + together.length,
      all: wheel.size,
    };
    held(together.length);
  }

  /** Reports the present burst as it is now. Call this if {@link inspect} may not run again for a while. */
  report(): void {
    const burst = this.#burst;
    this.#burst = undefined;
    if (burst !== undefined) this.#options.burst(burst.held, burst.all);
  }
}
