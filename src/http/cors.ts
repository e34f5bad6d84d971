import type { MiddlewareHandler } from 'hono';
import type { Config } from '../config/config.ts';

const PREFLIGHT_MAX_AGE_S = 600;

/**
 * CORS for pages in a browser. A foreign origin gets no CORS headers: the browser then refuses the answer by itself, and
 * other programs that send an `Origin` are not affected.
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

/** The headers of an answer to a page of this origin; those of a preflight come on top. */
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
