import type { TimeoutWheel, WheelNode } from './timeout-wheel.ts';

/** Fewer users than this never trip the breaker, whatever their share (rule HB6). */
export const MIN_MASS_TIMEOUT = 50;
/** Users whose deadlines fall within this time of each other time out together. */
const WINDOW_MS = 1000;

/** What the breaker may hold. */
export interface Holdable extends WheelNode {
  /** Observed time at which this node times out for want of a proof of life. */
  timesOutAt(): number;
  /** Granted one more timeout; a proof of life takes it back. */
  isHeld: boolean;
}

export interface BreakerOptions {
  /** `LINGXI_MASS_TIMEOUT_SHARE`: share of all that is watched; 0: off. */
  readonly share: number;
  /** Called with how many were held. */
  readonly tripped: (held: number) => void;
}

/**
 * Looks ahead: where more users than the share would time out within one second, the cause is hardly theirs (a load
 * balancer's blip, a cut line). They are held for one more timeout; the logout time is not moved by that (rule HB6).
 */
export class MassTimeoutBreaker {
  readonly #options: BreakerOptions;
  /** Those held of late, by the observed time up to which their deadlines were. */
  #recent: readonly { readonly until: number; readonly count: number }[] = [];

  constructor(options: BreakerOptions) {
    this.#options = options;
  }

  /** To be called before those due at `now` are judged. */
  inspect(wheel: TimeoutWheel<Holdable>, now: number): void {
    const { share, tripped } = this.#options;
    if (share === 0) return;
    const limit = Math.max(MIN_MASS_TIMEOUT, share * wheel.size);
    const until = now + WINDOW_MS;
    // Who comes less than a second after them belongs to the same crowd.
    this.#recent = this.#recent.filter((held) => held.until > now);
    const before = this.#recent.reduce((sum, { count }) => sum + count, 0);
    // Most of what comes up has a later deadline by then; only a crowded second is looked at one by one.
    if (wheel.countUntil(until) + before < limit) return;
    const together = [...wheel.until(until)].filter((node) => !node.isHeld && node.timesOutAt() <= until);
    const crowd = together.length + before;
    // Below the share nobody is held, and at the least fifty are needed.
    if (together.length === 0 || crowd < MIN_MASS_TIMEOUT || crowd <= share * wheel.size) return;
    for (const node of together) node.isHeld = true;
    this.#recent = [...this.#recent, { until, count: together.length }];
    tripped(together.length);
  }
}
