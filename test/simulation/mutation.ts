import type { PresenceWorld } from '../../src/presence/rules/claims.ts';
import { LIVELY_MS } from '../../src/presence/rules/session-policy.ts';
import type { Claim } from '../../src/presence/store/port.ts';
import type { Duty } from '../../src/protocol/periods.ts';

/** What a mutant of the stores does wrong; each one must be caught. Empty for the product as it is. */
export interface Mutation {
  /** Leases, the observed clock, the birth of a world. */
  readonly chargesWholeGaps?: boolean;
  readonly youngMs?: number;
  readonly neverRestores?: boolean;
  readonly unrestoredMayOpen?: boolean;
  readonly ignoresLeases?: boolean;
  readonly leasesOfAnyConnection?: boolean;
  readonly forgetsHighestEpoch?: boolean;
  /** Claims. */
  readonly repeatsAreNew?: boolean;
  readonly restatesWhatEnded?: boolean;
  readonly restatesOlderPeriods?: boolean;
  readonly restatingMints?: boolean;
  readonly restatingLogsIn?: boolean;
  readonly stateCreates?: boolean;
  readonly mintsBelowHighest?: boolean;
  readonly ignoresFloor?: boolean;
  readonly lingersRefuse?: boolean;
  readonly deadNodesRefuse?: boolean;
  readonly silentSocketsRefuse?: boolean;
  readonly takesHttpProofs?: boolean;
  readonly takeOverTellsNobody?: boolean;
  readonly ignoresLosses?: boolean;
  readonly lossesToldOnce?: boolean;
  /** Ends. */
  readonly endIgnoresEpoch?: boolean;
  readonly strictEnd?: boolean;
  readonly dropsDuties?: boolean;
  readonly dropsKicks?: boolean;
  readonly endsAtOnce?: boolean;
  readonly reapsWithoutGrace?: boolean;
  readonly reapIgnoresDeadlines?: boolean;
  readonly reapIgnoresHttp?: boolean;
  readonly neverReaps?: boolean;
  /** SQL. */
  readonly settleLosesRows?: boolean;
  readonly settleLastWins?: boolean;
  readonly reconcilesOverLogins?: boolean;
  readonly timeMovesBack?: boolean;
  readonly lookupForgets?: boolean;
  readonly opensNothing?: boolean;
  readonly opensOverwrite?: boolean;
}

/** Puts a world out of order just before it takes a claim; answers the claim that it takes. */
export function mutatedClaim(
  mutation: Mutation,
  world: PresenceWorld,
  asked: { readonly node: string; readonly claim: Claim; readonly wall: number },
): Claim {
  const { node, claim, wall } = asked;
  const { userId, mode } = claim;
  const record = world.records.get(userId);
  const held = record?.holds.get(node);
  if (mutation.ignoresLosses) world.losses.get(node)?.delete(userId);
  if (mutation.repeatsAreNew && held?.rev === claim.rev) held.rev -= 1;
  if (mutation.mintsBelowHighest) world.highestEpoch = 0;
  if (mode === 'socket') {
    for (const [other, hold] of record?.holds ?? []) {
      if (other === node) continue;
      if (mutation.lingersRefuse) hold.sockets = Math.max(1, hold.sockets);
      if (mutation.takesHttpProofs) hold.httpUntil = 0;
    }
  }
  if (mode === 'socket' && (mutation.silentSocketsRefuse || mutation.deadNodesRefuse)) {
    const newestSign = Math.max(...world.nodes.values());
    const others = [...(record?.holds ?? [])].filter(([other, { sockets }]) => {
      const isDead = (world.nodes.get(other) ?? 0) < newestSign - LIVELY_MS;
      return other !== node && sockets > 0 && (mutation.silentSocketsRefuse || isDead);
    });
    return { ...claim, rivals: claim.rivals + others.length };
  }
  if (mode === 'restate' && record !== undefined) {
    if (mutation.restatesWhatEnded) record.last = undefined;
    if (mutation.restatesOlderPeriods) record.period = Math.min(record.period, claim.period);
    if (mutation.restatingMints) record.epoch += 1;
  }
  if (mode === 'restate' && mutation.restatingLogsIn) return { ...claim, loginTime: wall };
  if (
    mode === 'state' &&
    mutation.stateCreates &&
    record !== undefined &&
    held === undefined &&
    record.holds.size > 0
  )
    return { ...claim, mode: 'restate', period: record.period, loginTime: record.loginTime };
  return mutation.ignoresFloor ? { ...claim, floor: 0 } : claim;
}

/** The duty that is recorded in place of the right one, if any is. */
export function mutatedDuty(
  { dropsDuties, dropsKicks, endsAtOnce }: Mutation,
  duty: Omit<Duty, 'id'>,
  wall: number,
): Omit<Duty, 'id'> | undefined {
  if (dropsDuties || (dropsKicks && duty.reason === 'kick')) return undefined;
  return endsAtOnce ? { ...duty, logoutAt: Math.max(duty.loginAt, wall) } : duty;
}
