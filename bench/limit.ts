import type { Spent } from './clock.ts';
import { plain, type Row } from './report/rows.ts';

/** From this share of a core on, a process of one thread is what limits. */
const FULL_SHARE = 0.9;

/** How the load sends: as fast as it can, or at a fixed pace. */
export type Sending = 'fast' | 'pace';

/**
 * Which process limited what was reached: the one that used a whole core. Where both had time left, it was the pace, or
 * neither where the load went as fast as it could.
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

/** What was asked for and what was done; less than nearly all of it makes the other figures worthless. */
export function doneRow(what: string, asked: number, done: number): Row {
  const share = done / asked;
  const measured = `${done} of ${asked}`;
  return { what: `${what}: messages that arrived`, measured, goal: '>= 99 %', met: share >= 0.99 };
}
