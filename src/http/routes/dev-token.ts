import { z } from '@hono/zod-openapi';
import { ok } from '../../lib/result.ts';
import { checkShape } from '../body.ts';
import { type Outcome, refused } from '../outcome.ts';
import { addRoute, type Call, type RouteTable, userIdOf } from '../route.ts';
import { TimeMs, UserIdOut, UserIdParam } from '../schemas.ts';

const TOKEN_LIFE_S = 86_400;
const MAX_NAME_LENGTH = 64;
/**
 * Headers that proxies and content networks add, and that browsers and command lines do not send. A proxy on this machine
 * makes a remote client look like a loopback client.
 */
const PROXY_HEADERS =
  /^(?:forwarded|via|cdn-loop|x-real-ip|true-client-ip|client-ip|(?:x-(?:forwarded|forwarder|original|client|cluster-client|remote|envoy|amz|amzn|azure|arr|appengine|cloud-trace|vercel|nf|varnish|request-start|scheme|proxy)|cf|fly|fastly|akamai|incap|ali|eagleid)(?:-|$).*)$/;
const LOOPBACK_PEER = /^(?:::ffff:)?127(?:\.\d{1,3}){3}$|^::1$/;
/** Some page may have pointed any other name at this machine. */
const LOCAL_HOST = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/i;
/** A page that a developer serves on this machine, on any port. */
const LOCAL_ORIGIN = /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/;

const NameQuery = z.object({
  name: z
    .string()
    .max(MAX_NAME_LENGTH)
    .regex(/^\P{Cc}*$/u)
    .optional(),
});

/** Gives a token to a developer on this machine. The route exists in development only. */
export function addDevTokenRoute(table: RouteTable): void {
  const { config } = table.deps;
  if (config.environment !== 'development' || config.jwtSecrets.length === 0) return;
  addRoute(table, {
    method: 'get',
    path: '/dev/token',
    access: 'anyone',
    tag: 'Development',
    summary: 'A user token, for a loopback client in development',
    query: NameQuery.extend({ userId: UserIdParam }),
    answer: z.object({ token: z.string(), userId: UserIdOut, expiresAt: TimeMs }),
    errors: ['invalid-user-id', 'invalid-body', 'not-found'],
    handle: devToken,
  });
}

function devToken(call: Call): Outcome {
  if (!isLocal(call)) return refused('not-found');
  const { req } = call.context;
  const userId = userIdOf(call, 'userId', req.query('userId'));
  if (!userId.ok) return userId;
  const query = checkShape(NameQuery, req.query(), call.language);
  if (!query.ok) return query;
  const { name } = query.value;
  const token = call.deps.credentials.signUser({
    userId: userId.value,
    expiresInS: TOKEN_LIFE_S,
    ...(name === undefined || name === '' ? {} : { name }),
  });
  const expiresAt = (Math.floor(call.deps.clock.now() / 1000) + TOKEN_LIFE_S) * 1000;
  const answer = call.context.json({ token, userId: userId.value, expiresAt });
  answer.headers.set('vary', 'Origin');
  const origin = req.header('origin');
  if (origin !== undefined) answer.headers.set('access-control-allow-origin', origin);
  return ok(answer);
}

/** Refuses on any sign of somebody else behind the request: a proxy, another site, another name for this machine. */
function isLocal(call: Call): boolean {
  const { req, env } = call.context;
  for (const name of req.raw.headers.keys()) if (PROXY_HEADERS.test(name)) return false;
  const origin = req.header('origin');
  if (origin !== undefined && !LOCAL_ORIGIN.test(origin)) return false;
  // Pages of another port of this machine belong to the same site.
  if (req.header('sec-fetch-site')?.includes('cross-site') === true) return false;
  // An absolute target wins over `Host` (RFC 9112 section 3.2.2).
  if (!LOCAL_HOST.test(new URL(req.url).host)) return false;
  return LOOPBACK_PEER.test(env.peer) && LOCAL_HOST.test(req.header('host') ?? '');
}
