import { NODE_RESPONSIVE_MS } from '../../protocol/liveness.ts';
import type { Claim, ClaimAnswer } from '../store/port.ts';
import type { Moment, RecordState } from './record.ts';

/** Take-overs of one user within {@link FLAPPING_WINDOW_MS} after which the newcomer is refused (rule PR4). */
export const MAX_TAKEOVERS = 5;
export const FLAPPING_WINDOW_MS = 60_000;
/** A socket that lives answers each ping of the server; its answer is on the way for this long at most. */
const ANSWER_MS = 1000;

export interface WorldRules {
  readonly policy: 'replace' | 'reject' | 'multi';
  readonly maxConnectionsPerUser: number;
  /** Groups that one user may be in by the service and by tokens; the service adds to no more (rule GR3). */
  readonly maxGroupsPerUser: number;
  /** How long an offline user's record stays; 0 deletes it at logout. */
  readonly lastSeenTtlMs: number;
  /**
   * A socket is responsive while more than this is left of its deadline, see {@link responsiveForMs}. A take-over of a socket
   * that is not does not count, and under `reject` it refuses nobody (rule PR4). 0 or less: it is responsive to its end.
   */
  readonly responsiveLeftMs: number;
}

/** For how long after its newest proof of life a socket is responsive (rule PR4). */
export function responsiveForMs({ pingIntervalMs }: { readonly pingIntervalMs: number }): number {
  return pingIntervalMs + ANSWER_MS;
}

export interface LoginStep {
  readonly claim: Claim;
  readonly record: RecordState;
  readonly moment: Moment;
}

/** Whether the session policy turns a new socket away (rule PR4). A take-over that it lets pass is noted. */
export function sessionRefusal(
  world: { readonly rules: WorldRules; readonly nodes: ReadonlyMap<string, { readonly seen: number }> },
  node: string,
  step: LoginStep,
): ClaimAnswer | undefined {
  const { claim, record, moment } = step;
  const { policy, responsiveLeftMs } = world.rules;
  let elsewhere = 0;
  for (const [other, hold] of record.holds) {
    if (other === node) continue;
    // A node that is stopped, cut off or dead refuses nobody.
    const lives =
      moment.observed - (world.nodes.get(other)?.seen ?? Number.NEGATIVE_INFINITY) < NODE_RESPONSIVE_MS;
    const isResponsive = hold.socketUntil - moment.observed > responsiveLeftMs;
    // Silent or not, it takes one of the places that a user has under `multi`.
    if (lives && (isResponsive || policy === 'multi')) elsewhere += hold.sockets;
  }
  const rivals = claim.rivals + elsewhere;
  if (rivals === 0) return undefined;
  switch (policy) {
    case 'reject':
      return { kind: 'refused', code: 'session-exists' };
    case 'multi':
      return rivals >= world.rules.maxConnectionsPerUser
        ? { kind: 'refused', code: 'session-exists' }
        : undefined;
    case 'replace': {
      const recent = record.takeovers.filter((at) => at > moment.observed - FLAPPING_WINDOW_MS);
      if (recent.length >= MAX_TAKEOVERS) return { kind: 'refused', code: 'session-flapping' };
      record.takeovers = [...recent, moment.observed];
      return undefined;
    }
  }
}

/** Whether sockets that come anew are older than one that another node holds (rule PR9). */
export function isTaken(rules: WorldRules, node: string, { claim, record }: LoginStep): boolean {
  if (claim.epoch === 0 || rules.policy === 'multi') return false;
  return [...record.holds].some(
    ([other, { sockets, epoch }]) => other !== node && sockets > 0 && epoch > claim.epoch,
  );
}

/** Whose sockets were taken over brings none of them by a proof of life. */
export function withoutTaken(rules: WorldRules, node: string, step: LoginStep): LoginStep {
  if (!isTaken(rules, node, step)) return step;
  return { ...step, claim: { ...step.claim, sockets: 0, socketMs: 0 } };
}
