import type { Call } from './route.ts';

/**
 * Headers that proxies and content networks add, and that browsers and command lines do not send. Through a proxy on this
 * machine, a remote client looks like a loopback client.
 */
const PROXY_HEADERS =
  /^(?:forwarded|via|cdn-loop|x-real-ip|true-client-ip|client-ip|(?:x-(?:forwarded|forwarder|original|client|cluster-client|remote|envoy|amz|amzn|azure|arr|appengine|cloud-trace|vercel|nf|varnish|request-start|scheme|proxy)|cf|fly|fastly|akamai|incap|ali|eagleid)(?:-|$).*)$/;
const LOOPBACK_PEER = /^(?:::ffff:)?127(?:\.\d{1,3}){3}$|^::1$/;
/** A page of another site may have pointed any other name at this machine. */
const LOCAL_HOST = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/i;
/** The origin of a page that a developer serves on this machine, on any port. */
const LOCAL_ORIGIN = /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/;

/**
 * Whether a developer on this machine sent the request. False if anything suggests another sender: a proxy, another site, another
 * name for this machine.
 */
export function isLocal(call: Pick<Call, 'context'>): boolean {
  const { req, env } = call.context;
  for (const name of req.raw.headers.keys()) if (PROXY_HEADERS.test(name)) return false;
  const origin = req.header('origin');
  if (origin !== undefined && !LOCAL_ORIGIN.test(origin)) return false;
  // Pages of another port of this machine belong to the same site.
  if (req.header('sec-fetch-site')?.includes('cross-site') === true) return false;
  // An absolute target has priority over `Host` (RFC 9112 section 3.2.2). Bun does not show it, but a forward proxy sends the
  // same name in both.
  if (!LOCAL_HOST.test(new URL(req.url).host)) return false;
  return LOOPBACK_PEER.test(env.peer) && LOCAL_HOST.test(req.header('host') ?? '');
}
