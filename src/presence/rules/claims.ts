import type { Duty, EndedPeriod, PeriodKey } from '../../protocol/periods.ts';
import type { LogoutReason } from '../../protocol/reasons.ts';
import type { PresenceChange } from '../api.ts';
import type { Claim, ClaimAnswer, EndAnswer, EndRequest, GroupAnswer, GroupChange } from '../store/port.ts';
import { Endings } from './endings.ts';
import { changeMembership, newerGroups, untoldGroups } from './groups.ts';
import { Leases } from './lease.ts';
import { Losses } from './losses.ts';
import {
  accepted,
  applyClaim,
  expireOffline,
  forgetProofs,
  isBeingOpened,
  isHeldElsewhere,
  isHolding,
  isLoggedOut,
  isOnline,
  isPast,
  type Moment,
  newestProof,
  newHold,
  newRecord,
  noteUnsettled,
  type RecordState,
  removeHold,
  settled,
} from './record.ts';
import { isTaken, type LoginStep, sessionRefusal, type WorldRules, withoutTaken } from './session-policy.ts';

/**
 * The rules of presence, without I/O; time is an argument. The memory store is this class and a queue of duties. The scripts
 * of the Redis store follow it line by line, and the same tests compare both (rule PR13).
 */
export class PresenceWorld {
  readonly records = new Map<number, RecordState>();
  readonly leases = new Leases();
  readonly losses = new Losses();
  readonly endings: Endings;
  readonly #rules: WorldRules;
  readonly #dutyRecorded: (duty: Omit<Duty, 'id'>) => void;
  readonly #changed: (change: PresenceChange) => void;
  onlineCount = 0;

  constructor(
    rules: WorldRules,
    dutyRecorded: (duty: Omit<Duty, 'id'>) => void,
    changed: (change: PresenceChange) => void = () => {},
  ) {
    this.#rules = rules;
    this.endings = new Endings(rules);
    this.#dutyRecorded = dutyRecorded;
    this.#changed = changed;
  }

  /** The record of a user; undefined if there is none at wall-clock time `wall`. */
  recordOf(userId: number, wall: number): RecordState | undefined {
    const record = this.records.get(userId);
    if (record?.expiresAt === undefined || wall <= record.expiresAt) return record;
    this.records.delete(userId);
    return undefined;
  }

  /** The caller has a valid lease. The store answers `no-lease` to a node without one. */
  claim(node: string, claim: Claim, moment: Moment): ClaimAnswer {
    const record = this.recordOf(claim.userId, moment.wall);
    const held = record?.holds.get(node);
    if (held !== undefined && claim.rev <= held.rev)
      return claim.rev === held.rev ? held.answer : { kind: 'stale' };
    const loss = this.losses.get(node)?.get(claim.userId);
    if (loss !== undefined && claim.rev <= loss.rev) return { kind: 'lost' };
    if (this.leases.delays(node, claim, moment)) return { kind: 'young' };
    const step = { claim, record: record ?? newRecord(claim.userId), moment };
    switch (claim.mode) {
      case 'socket':
      case 'http':
        return this.#login(node, step);
      case 'beat':
        return this.#beat(node, step);
      case 'state':
        return this.#state(node, step);
      case 'restate':
        return this.#restate(node, step);
    }
  }

  /** Makes an opened period visible. False: the node no longer holds it. */
  record(node: string, { userId, period }: PeriodKey): boolean {
    const record = this.records.get(userId);
    if (record === undefined || record.period !== period || !record.holds.has(node)) return false;
    if (record.recorded) return true;
    this.makeVisible(record);
    this.#note(record, { event: 'online', cause: 'login', at: record.loginTime, node });
    return true;
  }

  /** Makes the period of a record visible without an entry in the feed or the timeline. */
  makeVisible(record: RecordState): void {
    if (!record.recorded) this.onlineCount += 1;
    record.recorded = true;
  }

  /** Drops the node's part in an opening. False: another node recorded the period meanwhile, so this one still holds the user. */
  withdraw(node: string, { userId, period }: PeriodKey, moment: Moment): boolean {
    const record = this.records.get(userId);
    if (record === undefined || record.period !== period || !record.holds.has(node)) return true;
    if (record.recorded) return false;
    this.#giveUp(record, node, moment);
    return true;
  }

  /** Ends a period. `node` asked for it and gets the answer. The other nodes that held the user get losses. */
  end(node: string, request: EndRequest, moment: Moment): EndAnswer {
    if (this.leases.isYoung(moment)) return { kind: 'young' };
    const record = this.recordOf(request.userId, moment.wall) ?? newRecord(request.userId);
    // A user with a newer connection than the named one keeps it.
    if (isOnline(record) && request.epoch > 0 && request.epoch < record.epoch) return { kind: 'superseded' };
    if (request.blockMs !== undefined) this.#block(record, request.blockMs, moment);
    if (record.holds.size === 0) return { kind: 'not-online' };
    if (!record.recorded) return { kind: 'young' };
    record.proof = newestProof(record);
    if (request.proofAgeMs >= 0) record.proof = Math.max(record.proof, moment.wall - request.proofAgeMs);
    const { userId, reason } = request;
    const note = request.note === undefined ? {} : { note: request.note };
    for (const [other, { rev }] of record.holds)
      if (other !== node) this.losses.add(other, { userId, rev, reason, ...note });
    const logoutTime = Math.max(record.loginTime, moment.wall);
    return { kind: 'ended', end: this.#end(record, { reason, logoutTime, node: '', ...note }, moment.wall) };
  }

  /** One answer for each user to add, then one for each user to remove (rule GR3). */
  changeGroup({ group, add, remove }: GroupChange, moment: Moment): readonly GroupAnswer[] {
    const asked = [
      ...add.map((userId) => [userId, true] as const),
      ...remove.map((userId) => [userId, false] as const),
    ];
    if (this.leases.isYoung(moment)) return asked.map(() => ({ kind: 'young' }));
    const max = this.#rules.maxGroupsPerUser;
    return asked.map(([userId, isAdded]) => {
      const record = this.recordOf(userId, moment.wall);
      if (record === undefined) return { kind: 'offline' };
      return changeMembership(record, { group, isAdded, max, moment });
    });
  }

  /**
   * Drops at most `limit` holds of dead nodes whose deadlines have passed. `requeue` gives the duties that a dead node had
   * taken to other nodes, and returns their number. A dead node is forgotten once it holds nobody and had no such duties.
   */
  reap(
    limit: number,
    moment: Moment,
    requeue: (node: string) => number = () => 0,
  ): { readonly ended: readonly EndedPeriod[]; readonly orphans: number } {
    const ended: EndedPeriod[] = [];
    let orphans = 0;
    let rest = limit;
    for (const node of this.leases.dead) {
      const due = this.heldBy(node).filter((userId) => this.#isDue(userId, node, moment));
      for (const userId of due.slice(0, rest)) {
        const record = this.records.get(userId);
        const end = record && this.#drop(record, { node, reason: 'node-lost', moment });
        if (end !== undefined) ended.push(end);
      }
      rest = Math.max(0, rest - due.length);
      const left = this.heldBy(node).length;
      if (requeue(node) === 0 && left === 0) {
        this.leases.dead.delete(node);
        this.losses.ofDead(node, moment.wall);
      }
      orphans += left;
    }
    return { ended, orphans };
  }

  /** Users that `node` holds, alone or with other nodes, by claims up to `rev`. */
  heldBy(node: string, rev = Number.POSITIVE_INFINITY): readonly number[] {
    const held = [...this.records.values()].filter(
      ({ holds }) => (holds.get(node)?.rev ?? Number.NaN) <= rev,
    );
    return held.map(({ userId }) => userId);
  }

  /** Whether a period runs, or its duty waits (rule ST4). */
  knows({ userId, period }: PeriodKey, wall: number): boolean {
    const record = this.recordOf(userId, wall);
    if (record === undefined) return false;
    return (record.holds.size > 0 && record.period === period) || record.unsettled.includes(period);
  }

  acknowledgeDuty({ userId, period }: PeriodKey, moment: Moment): void {
    const record = this.recordOf(userId, moment.wall);
    if (record === undefined || !settled(record, period) || record.holds.size > 0) return;
    this.#expireOffline(record, moment);
  }

  #isDue(userId: number, node: string, { observed }: Moment): boolean {
    const hold = this.records.get(userId)?.holds.get(node);
    return hold !== undefined && Math.max(hold.socketUntil, hold.httpUntil) <= observed;
  }

  /** Refuses logins for `blockMs`. 0 lifts the block, and drops a record that only the block needed. */
  #block(record: RecordState, blockMs: number, moment: Moment): void {
    record.blockedUntil = blockMs > 0 ? moment.observed + blockMs : 0;
    if (blockMs > 0) this.records.set(record.userId, record);
    if (record.holds.size === 0) this.#forgetOpening(record, moment);
  }

  #login(node: string, step: LoginStep): ClaimAnswer {
    const { claim, record, moment } = step;
    if (record.blockedUntil > moment.observed) return { kind: 'refused', code: 'blocked' };
    // SQL knows a later period. So a failover has brought this opening back, and it is over.
    if (!record.recorded && record.holds.size > 0 && record.period < claim.floor) {
      record.holds.clear();
      this.#forgetOpening(record, moment);
    }
    if (isBeingOpened(record, node, moment)) return { kind: 'young' };
    if (claim.mode === 'socket') {
      if (isTaken(this.#rules, node, step)) return { kind: 'taken' };
      if (isLoggedOut(step, this.endings.lastOf(record, moment.wall))) return { kind: 'gone' };
      const refusal = sessionRefusal({ rules: this.#rules, nodes: this.leases.nodes }, node, step);
      if (refusal !== undefined) return refusal;
    }
    this.records.set(claim.userId, record);
    if (record.holds.size > 0) return this.#join(node, step);
    const epoch = Math.max(moment.wall, record.epoch + 1, this.leases.highestEpoch + 1, claim.floor + 1);
    Object.assign(record, { epoch, period: epoch, loginTime: moment.wall, until: 0, proof: 0 });
    Object.assign(record, { recorded: false, openedAt: moment.observed, expiresAt: undefined, groups: '' });
    const answer = accepted(record, untoldGroups(record, claim));
    return this.#hold(node, { ...step, answer, epoch: claim.mode === 'socket' ? epoch : 0 });
  }

  #beat(node: string, step: LoginStep): ClaimAnswer {
    if (isOnline(step.record)) return this.#join(node, step);
    return { kind: isHeldElsewhere(step.record, node) ? 'young' : 'not-online' };
  }

  #join(node: string, step: LoginStep): ClaimAnswer {
    const { claim, record, moment } = step;
    const mints = claim.mode === 'socket';
    if (mints) {
      record.epoch = Math.max(moment.wall, record.epoch + 1, this.leases.highestEpoch + 1);
      if (this.#rules.policy !== 'multi') this.#takeOver(node, step);
      if (record.recorded) this.#note(record, { event: 'connected', cause: 'socket', at: moment.wall, node });
    }
    if (!record.recorded) record.openedAt = moment.observed;
    const epoch = mints ? record.epoch : (record.holds.get(node)?.epoch ?? 0);
    const answer = accepted(record, untoldGroups(record, claim));
    return this.#hold(node, { ...withoutTaken(this.#rules, node, step), answer, epoch });
  }

  /**
   * Takes the sockets and lingers of other nodes. Under `reject` it takes only sockets, which are silent or of a dead node. A
   * valid HTTP proof on another node stays as a hold. In mode `restate` a linger stays too, because it may be that of a newer
   * socket.
   */
  #takeOver(node: string, { claim, record, moment }: LoginStep): void {
    const keepsLingers = this.#rules.policy === 'reject' || claim.mode === 'restate';
    for (const [other, hold] of record.holds) {
      if (other === node || (keepsLingers && hold.sockets === 0)) continue;
      this.losses.add(other, { userId: record.userId, rev: hold.rev, reason: 'replaced' });
      this.#note(record, { event: 'replaced', cause: 'newer-connection', at: moment.wall, node: other });
      hold.sockets = 0;
      hold.socketUntil = 0;
      hold.tokenGroups = '';
      if (hold.httpUntil <= moment.observed) removeHold(record, other);
    }
  }

  #hold(
    node: string,
    step: LoginStep & { readonly answer: ClaimAnswer; readonly epoch: number },
  ): ClaimAnswer {
    const { claim, record, moment, answer, epoch } = step;
    const hold = record.holds.get(node) ?? newHold();
    Object.assign(hold, { rev: claim.rev, answer, epoch });
    record.holds.set(node, hold);
    if (claim.username !== '') record.username = claim.username;
    if (claim.ip !== '') record.ip = claim.ip;
    applyClaim(hold, claim, moment);
    return answer;
  }

  #state(node: string, step: LoginStep): ClaimAnswer {
    const { claim, record, moment } = step;
    const held = record.holds.get(node);
    if (isTaken(this.#rules, node, step)) return { kind: 'taken' };
    // The period is not recorded, so no user can be in it. The claim is of a period that the store lost.
    if (!record.recorded && isHolding(claim)) this.#giveUp(record, node, moment);
    if (held === undefined || !record.holds.has(node)) return { kind: 'gone' };
    applyClaim(held, claim, moment);
    held.rev = claim.rev;
    held.epoch = claim.epoch;
    record.epoch = Math.max(record.epoch, claim.epoch);
    if (claim.cause !== '')
      this.#note(record, { event: 'disconnected', cause: claim.cause, at: moment.wall, node });
    if (isHolding(claim)) {
      // A node that has not restored yet must keep the groups that it knows.
      const isRestored = this.leases.nodes.get(node)?.restored !== false;
      const groups = isRestored ? untoldGroups(record, claim) : '';
      held.answer = groups === '' ? { kind: 'held' } : { kind: 'held', groups };
      return held.answer;
    }
    const end = this.#drop(record, { node, reason: 'timeout', moment });
    return end === undefined ? { kind: 'released' } : { kind: 'ended', end };
  }

  #restate(node: string, step: LoginStep): ClaimAnswer {
    const { claim, record, moment } = step;
    if (isPast(step, this.endings.lastOf(record, moment.wall))) return { kind: 'gone' };
    // The newer period is not recorded, so no user is in it.
    if (record.period > claim.period) record.holds.clear();
    // Proofs of another period do not count for this one.
    if (record.holds.size === 0) Object.assign(record, { proof: 0, until: 0 });
    // Two nodes with sockets, after a rollback: the higher epoch stays.
    if (isTaken(this.#rules, node, step)) return { kind: 'gone' };
    // A failover has brought an older period back. The nodes that hold the user will claim their proofs again.
    if (record.period < claim.period) forgetProofs(record);
    const isNewest = claim.sockets > 0 && claim.epoch >= record.epoch;
    if (isNewest && this.#rules.policy !== 'multi') this.#takeOver(node, step);
    this.records.set(claim.userId, record);
    const epoch = Math.max(record.epoch, claim.epoch, claim.period);
    const { period, loginTime } = claim;
    // Redis may have lost the newest groups. So the newest ones that any node knows count.
    const groups = newerGroups(record.period === period ? record.groups : '', claim.serviceGroups);
    Object.assign(record, { epoch, period, loginTime, groups, expiresAt: undefined });
    this.makeVisible(record);
    const answer = accepted(record, untoldGroups(record, claim));
    return this.#hold(node, { claim, record, moment, answer, epoch: claim.epoch });
  }

  /** Removes one hold; the last one ends the period. */
  #drop(
    record: RecordState,
    cause: { node: string; reason: LogoutReason; moment: Moment },
  ): EndedPeriod | undefined {
    const { node, reason, moment } = cause;
    if (!record.recorded && !isHeldElsewhere(record, node)) {
      this.#giveUp(record, node, moment);
      return undefined;
    }
    removeHold(record, node);
    if (record.holds.size > 0) {
      this.#note(record, { event: 'released', cause: reason, at: moment.wall, node });
      return undefined;
    }
    const { loginTime, until, proof } = record;
    // If a claim was delayed, its proof seemed too new by that delay, and so did this end. But the end has passed already.
    record.proof = Math.max(loginTime, proof - Math.max(0, until - moment.wall));
    const logoutTime = Math.max(loginTime, Math.min(moment.wall, until));
    return this.#end(record, { reason, logoutTime, node }, moment.wall);
  }

  /** Ends the period and records the duty in one step (rule ST1). */
  #end(
    record: RecordState,
    cause: { reason: LogoutReason; logoutTime: number; node: string; note?: string },
    wall: number,
  ): EndedPeriod {
    const { userId, period, epoch, loginTime } = record;
    const { reason, logoutTime, node: named, ...note } = cause;
    const node = named === '' ? (record.holds.keys().next().value ?? '') : named;
    this.onlineCount -= 1;
    for (const holder of record.holds.keys()) removeHold(record, holder);
    record.recorded = false;
    record.groups = '';
    noteUnsettled(record);
    record.last = { period, loginTime, lastHeartbeat: record.proof, logoutTime, reason };
    this.endings.add(userId, record.last, wall);
    this.#note(record, { event: 'offline', cause: reason, at: logoutTime, node, ...note });
    const times = { loginAt: loginTime, logoutAt: logoutTime, lastSeenAt: record.proof };
    this.#dutyRecorded({ userId, period, ...times, reason, node });
    return { userId, period, epoch, loginTime, logoutTime, reason };
  }

  /** Drops the node's part in an opening. Its proofs of life do not count. */
  #giveUp(record: RecordState, node: string, moment: Moment): void {
    if (record.holds.delete(node) && record.holds.size === 0) this.#forgetOpening(record, moment);
  }

  /** Forgets a period that was not recorded. If SQL has an open row of it, the reconciler settles that row. */
  #forgetOpening(record: RecordState, moment: Moment): void {
    this.leases.raiseEpoch(record.epoch);
    if (record.unsettled.length > 0) return;
    if (record.last !== undefined || record.blockedUntil > 0) return this.#expireOffline(record, moment);
    record.takeovers = [];
    this.records.delete(record.userId);
  }

  #expireOffline(record: RecordState, moment: Moment): void {
    // New epochs must be higher than those of this record, even if the clock steps back meanwhile (rule PR3).
    this.leases.raiseEpoch(record.epoch);
    expireOffline(record, this.#rules.lastSeenTtlMs, moment);
  }

  #note(record: RecordState, change: Pick<PresenceChange, 'event' | 'cause' | 'at' | 'node' | 'note'>): void {
    const { userId, epoch, period } = record;
    this.#changed({ ...change, userId, epoch, period });
  }
}
