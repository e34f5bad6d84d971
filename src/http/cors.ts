import type { MiddlewareHandler } from 'hono';
import type { Config } from '../config/config.ts';

const PREFLIGHT_MAX_AGE_S = 600;

/**
 * CORS for pages in a browser. A foreign origin gets no CORS headers: the browser then refuses the answer by itself, and
 * other programs that send an `Origin` are not affected.
 */
export function cors(allowedOrigins: Config['allowedOrigins']): MiddlewareHandler {
  return async (context, next) => {
    const origin = context.req.header('origin');
    const allowed = allowedOrigin(allowedOrigins, origin);
    await next();
    if (context.req.method === 'OPTIONS' && context.res.status !== 429) {
      // Unset the response first; otherwise its headers would be carried over.
      context.res = undefined;
      context.res = new Response(null, { status: 204 });
    }
    const headers = context.res.headers;
    if (allowedOrigins !== 'any') headers.append('vary', 'Origin');
    if (allowed === undefined) return;
    headers.set('access-control-allow-origin', allowed);
    headers.set('access-control-expose-headers', 'Retry-After');
    if (context.req.method !== 'OPTIONS') return;
    headers.set('access-control-allow-methods', 'GET, POST, DELETE, OPTIONS');
    headers.set('access-control-allow-headers', 'Authorization, Content-Type, Accept-Language');
    headers.set('access-control-max-age', String(PREFLIGHT_MAX_AGE_S));
  };
}

/** The value of `Access-Control-Allow-Origin`, if there is one. */
function allowedOrigin(allowed: Config['allowedOrigins'], origin: string | undefined): string | undefined {
  if (allowed === 'any') return '*';
  if (allowed === 'same-origin' || origin === undefined) return undefined;
  return allowed.includes(origin) ? origin : undefined;
}
