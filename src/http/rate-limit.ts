import type { MiddlewareHandler } from 'hono';
import { countedAddress } from '../lib/counted-address.ts';
import type { RateLimit, RateLimiter } from '../lib/rate-limiter.ts';
import { bearer } from './access.ts';
import type { HttpDeps } from './deps.ts';
import { type Refusal, refusalResponse } from './outcome.ts';

/** Requests with a user's token, from any address. */
export const USER_RATE: RateLimit = { perSecond: 200, burst: 400 };
/** Requests from one address without the service key or a view key. All clients behind an untrusted proxy share one address. */
export const ADDRESS_RATE: RateLimit = { perSecond: 1_000, burst: 2_000 };

/** Requests with one view key, from all addresses. A dashboard needs about 4 a second. */
export const VIEW_RATE: RateLimit = { perSecond: 50, burst: 100 };

/** The refusal of a request over its limit. If the client continues, the next refusal closes the connection. */
export function refusalOf(limiter: RateLimiter, key: string, limit: RateLimit): Refusal | undefined {
  const waitS = limiter.take(key, limit);
  if (waitS === 0) return undefined;
  const isRepeated = limiter.refusalsInARow(key) > 1;
  const headers = { 'retry-after': String(waitS), ...(isRepeated ? { connection: 'close' } : {}) };
  return { code: 'rate-limited', headers };
}

/**
 * Counts every request for its address, before routing and before the token is verified. A request with a view key counts for
 * that key instead. Only requests with the service key do not count.
 */
export function limitAddresses(
  deps: HttpDeps,
  limiter: RateLimiter,
): MiddlewareHandler<{ Bindings: { readonly peer: string } }> {
  return async (context, next) => {
    const credential = bearer(context.req.header('authorization'));
    const { credentials } = deps;
    if (credential !== undefined && credentials.isServiceKey(credential)) return next();
    const address = deps.clientAddress(context.env.peer, context.req.header('x-forwarded-for'));
    const refusal =
      credential !== undefined && credentials.isViewKey(credential)
        ? refusalOf(limiter, `view:${credential}`, VIEW_RATE)
        : refusalOf(limiter, `address:${countedAddress(address)}`, ADDRESS_RATE);
    if (refusal === undefined) return next();
    context.res = refusalResponse(refusal, deps.language(context.req.header('accept-language')));
  };
}
