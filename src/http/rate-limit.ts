import type { RateLimit } from '../lib/rate-limiter.ts';

export { RateLimiter } from '../lib/rate-limiter.ts';

/** Requests that a user's token may make, whatever the address. */
export const USER_RATE: RateLimit = { perSecond: 200, burst: 400 };
/** Requests from one address without the service key; a proxy that is not trusted counts as one address. */
export const ADDRESS_RATE: RateLimit = { perSecond: 1_000, burst: 2_000 };
