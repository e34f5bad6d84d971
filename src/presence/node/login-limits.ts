import type { Clock } from '../../lib/clock.ts';
import { countedAddress } from '../../lib/counted-address.ts';
import { type RateLimit, RateLimiter } from '../../lib/rate-limiter.ts';
import type { UserFacts } from '../../protocol/periods.ts';

const SECONDS_PER_MINUTE = 60;

/** New users from one address without a credential: 100 at once, then one a second. */
export const CREATED_USERS_RATE: RateLimit = { burst: 100, perSecond: 1 };

/**
 * Limits how often periods open, because the row of each period is kept for months. One limit is per user. Another one is
 * per address without a credential, for users that SQL does not know. Each node counts for itself.
 */
export class LoginLimits {
  readonly #perUser: RateLimit | undefined;
  readonly #users: RateLimiter;
  readonly #creators: RateLimiter;

  /** @param perMinute periods of one user; 0: no limit */
  constructor(clock: Clock, perMinute: number) {
    this.#perUser =
      perMinute === 0 ? undefined : { burst: perMinute, perSecond: perMinute / SECONDS_PER_MINUTE };
    this.#users = new RateLimiter(clock);
    this.#creators = new RateLimiter(clock);
  }

  /** Counts a period that is about to open. `facts` is what SQL knows of the user. False: over the limit. */
  allows(
    { userId, creator }: { readonly userId: number; readonly creator?: string },
    facts?: Pick<UserFacts, 'exists'>,
  ): boolean {
    if (facts?.exists === false && creator !== undefined) {
      if (this.#creators.take(countedAddress(creator), CREATED_USERS_RATE) > 0) return false;
    }
    return this.#perUser === undefined || this.#users.take(userId, this.#perUser) === 0;
  }
}
