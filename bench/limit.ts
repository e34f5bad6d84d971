import type { Spent } from './clock.ts';
import { plain, type Row } from './report/rows.ts';

/** From this share of a core on, a process with one thread is the limit. */
const FULL_SHARE = 0.9;

/** How the load sends: as fast as possible, or at a fixed pace. */
export type Sending = 'fast' | 'pace';

/**
 * Which process limited the result: the one that used a whole core. If both had time left, the pace was the limit, or neither if
 * the load went as fast as possible.
 */
export function limitOf(sending: Sending, server: Spent, load: Spent): string {
  const [serverShare, loadShare] = [server, load].map(({ cpuMs, ms }) => cpuMs / ms) as [number, number];
  const percent = (share: number): string => `${Math.round(share * 100)} %`;
  const shares = `server ${percent(serverShare)} of a core, load ${percent(loadShare)}`;
  if (loadShare >= FULL_SHARE && loadShare > serverShare)
    return `the load (${shares}): the server could do more`;
  if (serverShare >= FULL_SHARE) return `the server (${shares})`;
  if (sending === 'pace') return `the pace (${shares})`;
  return `neither (${shares}): other work on the machine, or waiting`;
}

export function limitRow(
  what: string,
  sending: Sending,
  { server, load }: { readonly server: Spent; readonly load: Spent },
): Row {
  return plain(`${what}: the limit was`, limitOf(sending, server, load));
}

/** The requested and the real number. If less than nearly all was done, the other figures are worthless. */
export function doneRow(what: string, asked: number, done: number): Row {
  const share = done / asked;
  const measured = `${done} of ${asked}`;
  return { what: `${what}: messages that arrived`, measured, goal: '>= 99 %', met: share >= 0.99 };
}
