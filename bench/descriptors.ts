import { readFileSync } from 'node:fs';

/** Descriptors of a process besides its sockets: files, pipes, stores. */
const BESIDE_SOCKETS = 200;

/** The hard limit of open files in the text of `/proc/self/limits`. A runtime raises the soft limit to it. */
export function hardLimitIn(limits: string): number | undefined {
  const [, hard] = /^Max open files +\S+ +(\S+)/m.exec(limits) ?? [];
  if (hard === 'unlimited') return Number.POSITIVE_INFINITY;
  return hard === undefined ? undefined : Number(hard);
}

/** Throws a sentence if a process cannot open the sockets of this many users, plus the others. */
export function requireDescriptors(users: number, more = 0): void {
  let text: string;
  try {
    text = readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return; // On a system without /proc, the server and the load report it.
  }
  const limit = hardLimitIn(text);
  const beside = more + BESIDE_SOCKETS;
  if (limit === undefined || limit >= users + beside) return;
  const needed = `${users} users need ${users + beside} descriptors in one process, and this system allows ${limit}`;
  const possible = limit - beside;
  throw new Error(
    `${needed}: raise the limit (ulimit -Hn)${possible > 0 ? `, or give --users ${possible}` : ''}.`,
  );
}
