import { NODE_RESPONSIVE_MS } from '../../protocol/liveness.ts';
import type { Claim, ClaimAnswer } from '../store/port.ts';
import type { Moment, RecordState } from './record.ts';

/** Take-overs of one user within {@link FLAPPING_WINDOW_MS} after which the newcomer is refused (rule PR4). */
export const MAX_TAKEOVERS = 5;
export const FLAPPING_WINDOW_MS = 60_000;
/** A live socket answers each ping of the server. The answer takes at most this long. */
const ANSWER_MS = 1000;

export interface WorldRules {
  readonly policy: 'replace' | 'reject' | 'multi';
  readonly maxConnectionsPerUser: number;
  /** Largest number of groups of one user, by the service and by tokens. Beyond it the service cannot add one (rule GR3). */
  readonly maxGroupsPerUser: number;
  /** How long an offline user's record stays; 0 deletes it at logout. */
  readonly lastSeenTtlMs: number;
  /**
   * A socket is responsive while its deadline is more than this away, see {@link responsiveForMs}. Only take-overs of
   * responsive sockets count, and under `reject` only a responsive socket refuses a newcomer (rule PR4). 0 or less: a socket
   * is responsive until it closes.
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

/** Whether the session policy refuses a new socket (rule PR4). If not, notes the take-over. */
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
    // The sockets of a node that is stopped, cut off or dead refuse nobody.
    const lives =
      moment.observed - (world.nodes.get(other)?.seen ?? Number.NEGATIVE_INFINITY) < NODE_RESPONSIVE_MS;
    const isResponsive = hold.socketUntil - moment.observed > responsiveLeftMs;
    // Under `multi` a silent socket counts too.
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

/** Whether sockets that connect anew are older than a socket on another node (rule PR9). */
export function isTaken(rules: WorldRules, node: string, { claim, record }: LoginStep): boolean {
  if (claim.epoch === 0 || rules.policy === 'multi') return false;
  return [...record.holds].some(
    ([other, { sockets, epoch }]) => other !== node && sockets > 0 && epoch > claim.epoch,
  );
}

/** If another node has taken over the sockets of this claim, a proof of life does not bring them back. */
export function withoutTaken(rules: WorldRules, node: string, step: LoginStep): LoginStep {
  if (!isTaken(rules, node, step)) return step;
  return { ...step, claim: { ...step.claim, sockets: 0, socketMs: 0 } };
}
