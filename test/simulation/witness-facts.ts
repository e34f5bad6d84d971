import type { RecordState } from '../../src/presence/rules/record.ts';
import type { Claim } from '../../src/presence/store/port.ts';
import { HEARTBEAT_TIMEOUT_MS, HTTP_TIMEOUT_MS, type Rules, type SimulatedNode } from './simulated-node.ts';
import { RECORDED_WITHIN_MS } from './troubles.ts';

export type Kind = 'socket' | 'http';

export const TIMEOUT: Readonly<Record<Kind, number>> = {
  socket: HEARTBEAT_TIMEOUT_MS,
  http: HTTP_TIMEOUT_MS,
};
/** What is recorded may be the proof of a socket, which lasts shorter. */
export const UNRECORDED_HTTP_MS = RECORDED_WITHIN_MS + HTTP_TIMEOUT_MS - HEARTBEAT_TIMEOUT_MS;

export interface ProofSeen {
  readonly node: SimulatedNode;
  readonly period: number;
  readonly kind: Kind;
  readonly at: number;
  /** Its node no longer held the user when Redis lost its memory. */
  isLetGo?: boolean;
}

export interface ToldPeriod {
  readonly userId: number;
  readonly period: number;
  readonly loginTime: number;
}

/** A node whose sockets of a user were taken over, and what it last heard by one of them, if anything. */
export interface Taken {
  readonly name: string;
  readonly proof: ProofSeen | undefined;
  readonly at: number;
}

export interface Logout {
  readonly at: number;
  readonly isExcused: boolean;
}

/** Whether `node` has the user by a socket that none on another node has followed. */
export function isHeldBySocket(
  record: RecordState | undefined,
  node: string,
  policy: Rules['policy'],
): boolean {
  const hold = record?.holds.get(node);
  if (record === undefined || hold === undefined || hold.sockets === 0) return false;
  if (policy === 'multi') return true;
  for (const [other, { sockets, epoch }] of record.holds)
    if (other !== node && sockets > 0 && epoch > hold.epoch) return false;
  return true;
}

/** A line of a trace. */
export function shownClaim({ userId, mode, rev, ...claim }: Claim): string {
  const { sockets, socketMs, httpMs, untilMs, epoch } = claim;
  const stated = `sockets ${sockets} for ${socketMs}, http ${httpMs}, until ${untilMs}, epoch ${epoch}`;
  return `${mode} of ${userId} rev ${rev} (${stated})`;
}
