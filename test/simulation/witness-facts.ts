import { isOnline, type RecordState } from '../../src/presence/rules/record.ts';
import type { Claim } from '../../src/presence/store/port.ts';
import type { PeriodRow } from '../../src/protocol/periods.ts';
import type { Scheduler } from './scheduler.ts';
import { HEARTBEAT_TIMEOUT_MS, HTTP_TIMEOUT_MS, type Rules, type SimulatedNode } from './simulated-node.ts';
import type { SimulatedRedis } from './simulated-redis.ts';
import { RECORDED_WITHIN_MS } from './troubles.ts';

export interface WitnessOptions {
  readonly scheduler: Scheduler;
  readonly redis: () => SimulatedRedis;
  readonly trace: (text: () => string) => void;
  readonly rowOf: (key: string) => PeriodRow | undefined;
  readonly policy: Rules['policy'];
  readonly nodes: () => readonly SimulatedNode[];
}

export type Kind = 'socket' | 'http';

export const TIMEOUT: Readonly<Record<Kind, number>> = {
  socket: HEARTBEAT_TIMEOUT_MS,
  http: HTTP_TIMEOUT_MS,
};
/** The recorded proof may be one of a socket, which counts for a shorter time. */
export const UNRECORDED_HTTP_MS = RECORDED_WITHIN_MS + HTTP_TIMEOUT_MS - HEARTBEAT_TIMEOUT_MS;

export interface ProofSeen {
  readonly node: SimulatedNode;
  readonly period: number;
  readonly kind: Kind;
  readonly at: number;
  /** The node no longer held the user when Redis lost its data. */
  isLetGo?: boolean;
}

export interface ToldPeriod {
  readonly userId: number;
  readonly period: number;
  readonly loginTime: number;
}

/** A node that lost a user's sockets by a take-over, and its last proof from one of them, if any. */
export interface Taken {
  readonly name: string;
  readonly proof: ProofSeen | undefined;
  readonly at: number;
}

export interface Logout {
  readonly at: number;
  readonly isExcused: boolean;
}

/** Where the user of a period came last, and the last proof of life there. */
export interface Stay {
  readonly node: string;
  readonly since: number;
  provenAt: number;
}

interface Holder {
  readonly node: string;
  readonly policy: Rules['policy'];
}

/** Whether `node` holds the user by such a proof. A socket does not count if another node has a newer one. */
export function isHeldBy(
  record: RecordState | undefined,
  { node, policy, kind }: Holder & { readonly kind: Kind },
): boolean {
  const hold = record?.holds.get(node);
  if (record === undefined || hold === undefined) return false;
  if (kind === 'http') return true;
  if (hold.sockets === 0) return false;
  if (policy === 'multi') return true;
  for (const [other, { sockets, epoch }] of record.holds)
    if (other !== node && sockets > 0 && epoch > hold.epoch) return false;
  return true;
}

/** Whether the period runs and `node` does not hold it, and no other node has a newer socket. */
export function runsWithout(
  record: RecordState | undefined,
  { node, policy, period }: Holder & { readonly period: number },
): boolean {
  if (record?.period !== period || !isOnline(record) || record.holds.has(node)) return false;
  return policy === 'multi' || [...record.holds.values()].every(({ sockets }) => sockets === 0);
}

/** The periods that run, each as the user and the number in one text. */
export function runningIn(redis: WitnessOptions['redis']): ReadonlySet<string> {
  const online = [...redis().world.records.values()].filter(isOnline);
  return new Set(online.map(({ userId, period }) => `${userId}:${period}`));
}

/** Login time of the user's next period in SQL. Infinity: there is none. */
export function nextLoginAfter(
  rows: Iterable<PeriodRow>,
  { userId, period }: Pick<PeriodRow, 'userId' | 'period'>,
): number {
  let next = Number.POSITIVE_INFINITY;
  for (const row of rows)
    if (row.userId === userId && row.period > period) next = Math.min(next, row.loginAt);
  return next;
}

/** A line of a trace. */
export function shownClaim({ userId, mode, rev, ...claim }: Claim): string {
  const { sockets, socketMs, httpMs, untilMs, epoch } = claim;
  const stated = `sockets ${sockets} for ${socketMs}, http ${httpMs}, until ${untilMs}, epoch ${epoch}`;
  return `${mode} of ${userId} rev ${rev} (${stated})`;
}
