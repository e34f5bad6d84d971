import type { Clock } from '../lib/clock.ts';
import { countedAddress } from '../lib/counted-address.ts';
import { type RateLimit, RateLimiter } from '../lib/rate-limiter.ts';

/** Refused handshakes of one address; each further one is only told to wait. */
const REFUSALS: RateLimit = { perSecond: 1_000, burst: 2_000 };
/** Lines of the log about refusals; what is beyond is counted. */
const LINES: RateLimit = { perSecond: 100, burst: 200 };

/**
 * Bounds what refused handshakes cost: a client that is refused may ask again at once, and each refusal is an answer and a line
 * of the log. Who is let in is never counted, for many users may share one address.
 */
export class RefusalLimits {
  readonly #limiter: RateLimiter;
  #unlogged = 0;

  constructor(clock: Clock) {
    this.#limiter = new RateLimiter(clock);
  }

  /** A handshake from `address` is refused. Answers 0, or the whole seconds to wait where too many were. */
  note(address: string): number {
    return this.#limiter.take(`address:${countedAddress(address)}`, REFUSALS);
  }

  /** Undefined where this refusal is to leave no line; else how many left none since the last that did. */
  linesLost(): number | undefined {
    if (this.#limiter.take('lines', LINES) > 0) {
      this.#unlogged += 1;
      return undefined;
    }
    const lost = this.#unlogged;
    this.#unlogged = 0;
    return lost;
  }
}
