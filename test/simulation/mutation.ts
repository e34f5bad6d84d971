import type { PresenceWorld } from '../../src/presence/rules/claims.ts';
import type { Leases } from '../../src/presence/rules/lease.ts';
import type { Claim } from '../../src/presence/store/port.ts';
import { NODE_RESPONSIVE_MS } from '../../src/protocol/liveness.ts';
import type { Duty } from '../../src/protocol/periods.ts';

/** The defect of a mutant of the stores. Each defect must be found. The product itself has none. */
export interface Mutation {
  /** Leases, the observed clock, the start of a world. */
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

/** Breaks the rules of the leases of one world. */
export function mutateLeases(mutation: Mutation, leases: Leases): void {
  const delays = leases.delays.bind(leases);
  const signOfLife = leases.signOfLife.bind(leases);
  const { youngMs, chargesWholeGaps, unrestoredMayOpen, ignoresLeases, leasesOfAnyConnection } = mutation;
  if (youngMs !== undefined) leases.limits = { ...leases.limits, youngMs };
  if (chargesWholeGaps)
    leases.momentAt = (wall) => {
      const { clock, reading } = leases.world ?? { clock: wall, reading: wall };
      return { wall, observed: clock + wall - reading };
    };
  if (unrestoredMayOpen)
    leases.delays = (node, claim, moment) => delays(node, claim, moment) && leases.isYoung(moment);
  if (ignoresLeases)
    leases.signOfLife = (caller, moment) => {
      return (leases.world !== undefined && leases.nodes.has(caller.node)) || signOfLife(caller, moment);
    };
  if (leasesOfAnyConnection)
    leases.signOfLife = (caller, moment) => {
      const lease = leases.nodes.get(caller.node)?.lease ?? '';
      return lease !== '' && signOfLife({ ...caller, lease }, moment);
    };
}

/** Damages a world just before it takes a claim. Returns the claim that it takes. */
export function mutatedClaim(
  mutation: Mutation,
  world: PresenceWorld,
  asked: { readonly node: string; readonly claim: Claim; readonly wall: number },
): Claim {
  const { node, claim, wall } = asked;
  const { userId, mode } = claim;
  const record = world.records.get(userId);
  const held = record?.holds.get(node);
  if (mutation.ignoresLosses) world.losses.forget(node, userId);
  if (mutation.repeatsAreNew && held?.rev === claim.rev) held.rev -= 1;
  if (mutation.mintsBelowHighest) world.leases.highestEpoch = 0;
  if (mode === 'socket') {
    for (const [other, hold] of record?.holds ?? []) {
      if (other === node) continue;
      if (mutation.lingersRefuse) hold.sockets = Math.max(1, hold.sockets);
      if (mutation.takesHttpProofs) hold.httpUntil = 0;
    }
  }
  if (mode === 'socket' && (mutation.silentSocketsRefuse || mutation.deadNodesRefuse)) {
    const newestSign = Math.max(...[...world.leases.nodes.values()].map(({ seen }) => seen));
    const others = [...(record?.holds ?? [])].filter(([other, { sockets }]) => {
      const isDead = (world.leases.nodes.get(other)?.seen ?? 0) < newestSign - NODE_RESPONSIVE_MS;
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

/** The duty that is recorded in place of the right one, or undefined if none is. */
export function mutatedDuty(
  { dropsDuties, dropsKicks, endsAtOnce }: Mutation,
  duty: Omit<Duty, 'id'>,
  wall: number,
): Omit<Duty, 'id'> | undefined {
  if (dropsDuties || (dropsKicks && duty.reason === 'kick')) return undefined;
  return endsAtOnce ? { ...duty, logoutAt: Math.max(duty.loginAt, wall) } : duty;
}
