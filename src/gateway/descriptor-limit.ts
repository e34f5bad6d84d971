import { readFileSync } from 'node:fs';

/** Descriptors that the process needs beside its connections: stores, listeners, files. */
const OTHER_DESCRIPTORS = 100;

/** How many descriptors this process may open; undefined where the system does not say (only Linux does, in /proc). */
export function descriptorLimit(): number | undefined {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/** What to say where the limit cuts off connections that `LINGXI_MAX_CONNECTIONS` allows. */
export function descriptorWarning(limit: number | undefined, maxConnections: number): string | undefined {
  if (limit === undefined || limit >= maxConnections + OTHER_DESCRIPTORS) return undefined;
  return `this process may open ${limit} descriptors, fewer than LINGXI_MAX_CONNECTIONS (${maxConnections}) needs: raise the limit (ulimit -n, LimitNOFILE) or lower the setting`;
}
