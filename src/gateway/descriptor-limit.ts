import { closeSync, openSync, readFileSync } from 'node:fs';
import { devNull } from 'node:os';
import type { Log } from '../logging/log.ts';

/** Descriptors that the process needs besides its sockets: for stores, listeners, files, and refusals when it is full. */
const OTHER_DESCRIPTORS = 100;

/** Number of descriptors that this process may open. Undefined if the system does not say; only Linux does, in /proc. */
export function descriptorLimit(): number | undefined {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/** How many of `wanted` descriptors this process can open now. Returns all of them if it cannot try. */
export function freeDescriptors(wanted: number): number {
  const opened: number[] = [];
  try {
    while (opened.length < wanted) opened.push(openSync(devNull, 'r'));
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code !== 'EMFILE' && code !== 'ENFILE') return wanted;
  } finally {
    for (const descriptor of opened) closeSync(descriptor);
  }
  return opened.length;
}

/** Largest number of open sockets. Beyond it the server refuses handshakes while it still has descriptors for that. */
export function allowedConnections(limit: number | undefined, maxConnections: number): number {
  if (limit === undefined) return maxConnections;
  return Math.max(1, Math.min(maxConnections, limit - OTHER_DESCRIPTORS));
}

/**
 * Logs if the descriptor limit is below the connections that `LINGXI_MAX_CONNECTIONS` allows. It is a warning if somebody
 * relies on that number: in production, or if it is set.
 */
export function sayDescriptorLimit(
  log: Log,
  maxConnections: number,
  options: { readonly isReliedOn: boolean; readonly limit?: number | undefined },
): void {
  const limit = options.limit ?? descriptorLimit();
  if (limit === undefined || limit >= maxConnections + OTHER_DESCRIPTORS) return;
  const text = `this process may open ${limit} descriptors, fewer than LINGXI_MAX_CONNECTIONS (${maxConnections}) needs, and takes ${allowedConnections(limit, maxConnections)} connections: raise the limit (ulimit -n, LimitNOFILE) or lower the setting`;
  const fields = { event: 'config', variable: 'LINGXI_MAX_CONNECTIONS' } as const;
  if (options.isReliedOn) log.warn(fields, text);
  else log.info(fields, text);
}
