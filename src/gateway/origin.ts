import type { Config } from '../config/config.ts';

/** Answers whether a page of this origin may open a socket. */
export type OriginCheck = (origin: string | undefined, host: string | undefined) => boolean;

/**
 * Exact match only. A request without `Origin` is no browser's and passes; `null` (sandboxed frames, local files)
 * passes only where any origin does.
 */
export function createOriginCheck(allowed: Config['allowedOrigins']): OriginCheck {
  if (allowed === 'any') return () => true;
  if (allowed === 'same-origin') return (origin, host) => origin === undefined || isSameHost(origin, host);
  const list = new Set(allowed);
  list.delete('null');
  return (origin) => origin === undefined || list.has(origin);
}

/** The scheme is not compared: TLS ends at a proxy, so this server cannot know the page's. */
function isSameHost(origin: string, host: string | undefined): boolean {
  if (host === undefined || host === '') return false;
  const originHost = /^https?:\/\/([^/?#@\s]+)$/i.exec(origin)?.[1];
  return originHost !== undefined && originHost.toLowerCase() === host.toLowerCase();
}
