import type { MiddlewareHandler } from 'hono';
import type { Config } from '../config/config.ts';

const PREFLIGHT_MAX_AGE_S = 600;

/**
 * CORS for pages in a browser. A foreign origin gets no CORS headers. Then the browser itself refuses the answer, and other
 * programs that send an `Origin` are not affected.
 *
 * hono's own CORS middleware does not do this:
 * - It answers a preflight before the next handler, so the rate limit does not count preflights. Behind the rate limit, it
 *   would omit its headers from a 429, and a page could not read `Retry-After`.
 * - It sends the methods, the headers, the age and `Access-Control-Expose-Headers` to foreign origins too.
 * - It adds `Access-Control-Request-Headers` to `Vary`, although the answer does not depend on that header.
 * - It needs a context of hono. Direct pushes have none, and use {@link corsHeaders}.
 */
export function cors(allowedOrigins: Config['allowedOrigins']): MiddlewareHandler {
  return async (context, next) => {
    const shared = Object.entries(corsHeaders(allowedOrigins, context.req.header('origin')));
    await next();
    if (context.req.method === 'OPTIONS' && context.res.status !== 429) {
      // Unset the response first; otherwise its headers would be carried over.
      context.res = undefined;
      context.res = new Response(null, { status: 204 });
    }
    const headers = context.res.headers;
    for (const [name, value] of shared) headers.append(name, value);
    if (context.req.method !== 'OPTIONS' || !headers.has('access-control-allow-origin')) return;
    headers.set('access-control-allow-methods', 'GET, POST, DELETE, OPTIONS');
    headers.set('access-control-allow-headers', 'Authorization, Content-Type, Accept-Language');
    headers.set('access-control-max-age', String(PREFLIGHT_MAX_AGE_S));
  };
}

/** The headers of an answer to a page of this origin. The answer to a preflight has more. */
export function corsHeaders(
  allowedOrigins: Config['allowedOrigins'],
  origin: string | undefined,
): Readonly<Record<string, string>> {
  const allowed = allowedOrigin(allowedOrigins, origin);
  return {
    ...(allowedOrigins === 'any' ? {} : { vary: 'Origin' }),
    ...(allowed === undefined
      ? {}
      : { 'access-control-allow-origin': allowed, 'access-control-expose-headers': 'Retry-After' }),
  };
}

/** The value of `Access-Control-Allow-Origin`, if there is one. */
function allowedOrigin(allowed: Config['allowedOrigins'], origin: string | undefined): string | undefined {
  if (allowed === 'any') return '*';
  if (allowed === 'same-origin' || origin === undefined) return undefined;
  return allowed.includes(origin) ? origin : undefined;
}
