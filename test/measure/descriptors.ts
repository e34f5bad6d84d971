import { readFileSync } from 'node:fs';

/** Descriptors of a process beside its sockets: files, pipes, stores. */
const BESIDE_SOCKETS = 200;

/** The hard limit of open files in the text of `/proc/self/limits`; a runtime raises the soft one to it. */
export function hardLimitIn(limits: string): number | undefined {
  const [, hard] = /^Max open files +\S+ +(\S+)/m.exec(limits) ?? [];
  if (hard === 'unlimited') return Number.POSITIVE_INFINITY;
  return hard === undefined ? undefined : Number(hard);
}

/** Throws a sentence where one process here may not open so many sockets. */
export function requireDescriptors(sockets: number): void {
  let text: string;
  try {
    text = readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return; // A system without /proc: the server and the load say it themselves.
  }
  const limit = hardLimitIn(text);
  const needed = sockets + BESIDE_SOCKETS;
  if (limit !== undefined && limit < needed)
    throw new Error(
      `${sockets} connections need ${needed} descriptors in one process, and this system allows ${limit}: raise the limit (ulimit -Hn), or give --users ${Math.max(1, limit - BESIDE_SOCKETS)}.`,
    );
}
