import type { Call } from './route.ts';

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

/**
 * Whether a developer on this machine sent the request. False at any sign of somebody else behind it: a proxy, another
 * site, another name for this machine.
 */
export function isLocal(call: Pick<Call, 'context'>): boolean {
  const { req, env } = call.context;
  for (const name of req.raw.headers.keys()) if (PROXY_HEADERS.test(name)) return false;
  const origin = req.header('origin');
  if (origin !== undefined && !LOCAL_ORIGIN.test(origin)) return false;
  // Pages of another port of this machine belong to the same site.
  if (req.header('sec-fetch-site')?.includes('cross-site') === true) return false;
  // An absolute target wins over `Host` (RFC 9112 section 3.2.2). Bun does not show it; a forward proxy sends both alike.
  if (!LOCAL_HOST.test(new URL(req.url).host)) return false;
  return LOOPBACK_PEER.test(env.peer) && LOCAL_HOST.test(req.header('host') ?? '');
}
