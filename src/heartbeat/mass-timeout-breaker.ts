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

  constructor(options: BreakerOptions) {
    this.#options = options;
  }

  /** To be called before those due at `now` are judged. */
  inspect(wheel: TimeoutWheel<Holdable>, now: number): void {
    const { share, tripped } = this.#options;
    if (share === 0) return;
    const limit = Math.max(MIN_MASS_TIMEOUT, share * wheel.size);
    const until = now + WINDOW_MS;
    // Most of what comes up has a later deadline by then; only a crowded second is looked at one by one.
    if (wheel.countUntil(until) < limit) return;
    const together = [...wheel.until(until)].filter((node) => !node.isHeld && node.timesOutAt() <= until);
    // Below the share nobody is held, and at the least fifty are needed.
    if (together.length < MIN_MASS_TIMEOUT || together.length <= share * wheel.size) return;
    for (const node of together) node.isHeld = true;
    tripped(together.length);
  }
}
