import type { RecordState } from '../../src/presence/rules/record.ts';
import type { Rules, SimulatedNode } from './simulated-node.ts';

export type Kind = 'socket' | 'http';

export interface ProofSeen {
  readonly node: SimulatedNode;
  readonly period: number;
  readonly kind: Kind;
  readonly at: number;
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
