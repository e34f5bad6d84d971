import { readMetrics } from '../metrics.ts';
import { sleep } from '../ports.ts';
import { descriptorsOf, listenerOf, residentMb } from './process-facts.ts';
import type { Stage } from './stage.ts';

/** The resources that a process holds at one time. */
export interface Holdings {
  /** Undefined if the system does not report it. */
  readonly descriptors: number | undefined;
  readonly residentMb: number | undefined;
  readonly heapMb: number | undefined;
  /** `lingxi_connections`, the witness included. */
  readonly connections: number;
  /** `lingxi_users_lingering` */
  readonly lingering: number;
  /** `lingxi_settlements_pending` */
  readonly unsettled: number;
}

/** Users of closed sockets linger for their timeout, and PostgreSQL's idle connections are closed after 10 s. */
const SETTLE_MS = 45_000;
const LOOK_MS = 250;
const BYTES_IN_MB = 1_048_576;

export async function holdingsOf(stage: Stage): Promise<Holdings> {
  const metrics = await readMetrics(stage.gateway);
  const pid = listenerOf(stage.gateway.port());
  const heap = metrics('nodejs_heap_size_used_bytes');
  return {
    descriptors: pid === undefined ? undefined : descriptorsOf(pid),
    residentMb: pid === undefined ? undefined : residentMb(pid),
    heapMb: Number.isNaN(heap) ? undefined : Math.round(heap / BYTES_IN_MB),
    connections: metrics('lingxi_connections'),
    lingering: metrics('lingxi_users_lingering'),
    unsettled: metrics('lingxi_settlements_pending'),
  };
}

/** Waits until the process holds nothing that an attack left behind. Returns the last values. */
export async function settle(stage: Stage, before: Holdings | undefined): Promise<Holdings> {
  const deadline = performance.now() + SETTLE_MS;
  for (;;) {
    const now = await holdingsOf(stage);
    if (leaks(now, before).length === 0 || performance.now() > deadline) return now;
    await sleep(LOOK_MS);
  }
}

/** In words: what the process holds besides the witness and more than before. */
export function leaks(now: Holdings, before: Holdings | undefined): readonly string[] {
  const found: string[] = [];
  if (now.connections !== 1) found.push(`${now.connections} connections, where only the witness is left`);
  if (now.lingering !== 0) found.push(`${now.lingering} users linger`);
  if (now.unsettled !== 0) found.push(`${now.unsettled} settlements wait`);
  const [held = 0, first = held] = [now.descriptors, before?.descriptors];
  if (held > first) found.push(`${held} descriptors, ${first} before`);
  return found;
}

/** Growth of the memory since then, in MB. */
export function grownMb(now: Holdings, before: Holdings): number {
  return (now.residentMb ?? 0) - (before.residentMb ?? 0);
}
