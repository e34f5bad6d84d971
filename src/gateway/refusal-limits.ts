import type { Clock } from '../lib/clock.ts';
import { countedAddress } from '../lib/counted-address.ts';
import { type RateLimit, RateLimiter } from '../lib/rate-limiter.ts';

/** Limit of refused handshakes of one address. Beyond it, each one gets only 429. */
const REFUSALS: RateLimit = { perSecond: 1_000, burst: 2_000 };
/**
 * Limit of refusals in band to one address. Beyond it, each one gets its HTTP status. If a client ignores the close, Bun holds
 * its descriptor for up to 20 s and does not report it. So this limit also bounds those descriptors.
 */
const IN_BAND: RateLimit = { perSecond: 40, burst: 200 };
/** Limit of log lines about refusals. Further refusals are only counted. */
const LINES: RateLimit = { perSecond: 100, burst: 200 };

/**
 * Bounds the cost of refused handshakes: a client may retry at once, and each refusal costs an answer and a log line.
 * Accepted handshakes never count, because many users may share one address.
 */
export class RefusalLimits {
  readonly #limiter: RateLimiter;
  #unlogged = 0;

  constructor(clock: Clock) {
    this.#limiter = new RateLimiter(clock);
  }

  /** Counts a refused handshake from `address`. Returns 0, or the whole seconds to wait if there were too many. */
  note(address: string): number {
    return this.#limiter.take(`address:${countedAddress(address)}`, REFUSALS);
  }

  /** Whether the next refusal of `address` may use a socket. */
  allowsInBand(address: string): boolean {
    return this.#limiter.take(`in-band:${countedAddress(address)}`, IN_BAND) === 0;
  }

  /** Undefined if this refusal must not be logged. Otherwise the number of unlogged ones since the last line. */
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
