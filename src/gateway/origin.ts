import type { Config } from '../config/config.ts';

/** Returns whether a page of this origin may open a socket. */
export type OriginCheck = (origin: string | undefined, host: string | undefined) => boolean;

/**
 * Matches exactly. A request without `Origin` does not come from a browser and passes. `null` (sandboxed frames, local files)
 * passes only if every origin passes.
 */
export function createOriginCheck(allowed: Config['allowedOrigins']): OriginCheck {
  if (allowed === 'any') return () => true;
  if (allowed === 'same-origin') return (origin, host) => origin === undefined || isSameHost(origin, host);
  const list = new Set(allowed);
  list.delete('null');
  return (origin) => origin === undefined || list.has(origin);
}

/**
 * Does not compare the scheme: TLS may end at a proxy, so this server cannot know the page's scheme. For the same reason no port
 * and the default ports of both schemes count as equal.
 */
function isSameHost(origin: string, host: string | undefined): boolean {
  const authority = /^https?:\/\/([^/?#@\\\s]+)$/i.exec(origin)?.[1];
  if (authority === undefined || host === undefined || /[/?#@\\\s]/.test(host)) return false;
  const page = placeOf(authority);
  const here = placeOf(host);
  return page !== undefined && here !== undefined && page.name === here.name && page.port === here.port;
}

const DEFAULT_PORTS = ['', '80', '443'];

/** Name and port in one spelling: lower case, short IPv6, no trailing dot, an empty port if it is a default one. */
function placeOf(authority: string): { readonly name: string; readonly port: string } | undefined {
  if (!URL.canParse(`http://${authority}`)) return undefined;
  const { hostname, port } = new URL(`http://${authority}`);
  const name = hostname.replace(/\.$/, '');
  return name === '' ? undefined : { name, port: DEFAULT_PORTS.includes(port) ? '' : port };
}
