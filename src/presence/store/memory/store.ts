import type { ObservedTime } from '../../../heartbeat/observed-time.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { Duty, PendingDuties, PeriodRow } from '../../../protocol/periods.ts';
import type { PresenceChange, StoredChange } from '../../api.ts';
import { PresenceWorld } from '../../rules/claims.ts';
import { groupsOf } from '../../rules/groups.ts';
import { isOnline, type Moment, newHold, newRecord, type RecordState } from '../../rules/record.ts';
import type { WorldRules } from '../../rules/session-policy.ts';
import { runningPeriod, visibleRecord } from '../../rules/view.ts';
import type {
  Claim,
  ClaimAnswer,
  EndAnswer,
  EndRequest,
  GroupAnswer,
  GroupChange,
  GroupPage,
  PresenceStore,
  ReapAnswer,
  RenewAnswer,
  RenewRequest,
  RunningPeriod,
  UserRecord,
} from '../port.ts';
import { ChangeLog } from './change-log.ts';
import { MemoryDuties } from './duties.ts';

/** Largest number of offline users in memory. SQL has the periods of all users. */
const MAX_OFFLINE_RECORDS = 100_000;
const STILL_HELD = 'an opening was recorded meanwhile';
const PRUNE_INTERVAL_MS = 60_000;

export interface MemoryStoreOptions extends WorldRules {
  readonly clock: Clock;
  readonly time: ObservedTime;
  /** This incarnation. */
  readonly node: string;
  /** Changes that are kept for the feed and the timelines (`LINGXI_FEED_LENGTH`). */
  readonly feedLength: number;
}

/** Presence in this process: the rules and a queue of duties. Nothing survives the process, except in SQL. */
export class MemoryPresenceStore implements PresenceStore {
  readonly keepsDuties = false;
  /** Nobody else reads this store, so it needs no newer proofs. */
  readonly renewalMs = undefined;
  readonly #options: MemoryStoreOptions;
  readonly #world: PresenceWorld;
  readonly #duties: MemoryDuties;
  readonly #changes: ChangeLog;
  #prunedAt: number;

  constructor(options: MemoryStoreOptions) {
    this.#options = options;
    this.#prunedAt = options.clock.monotonic();
    this.#duties = new MemoryDuties(() => options.clock.monotonic());
    this.#changes = new ChangeLog(options.node, options.feedLength);
    this.#world = new PresenceWorld(
      options,
      (duty) => this.#duties.add(duty),
      (change) => this.#changes.add(change),
    );
  }

  /** Takes over the duties that the last process left and SQL has not taken. Call this before {@link adopt}. */
  queueAgain(duties: readonly Duty[]): void {
    for (const duty of duties) this.#duties.add(duty);
  }

  /**
   * Takes over the open periods that a dead process left in SQL. Their users linger for `lingerMs`. The period of a user who
   * does not return ends at the process's last sign of life plus the timeout at most (rule ST8).
   */
  adopt(
    rows: readonly PeriodRow[],
    linger: { readonly lingerMs: number; readonly lastAliveAt: ReadonlyMap<string, number> },
  ): void {
    const moment = this.#moment();
    for (const row of rows) {
      // The period is over, and only SQL does not know it yet.
      if (this.#duties.has(row)) continue;
      const lastAliveAt = Math.max(linger.lastAliveAt.get(row.node) ?? row.loginAt, row.loginAt);
      const record = this.#world.recordOf(row.userId, moment.wall) ?? newRecord(row.userId);
      if (record.period > row.period) continue;
      this.#world.records.set(row.userId, record);
      Object.assign(record, {
        period: row.period,
        loginTime: row.loginAt,
        epoch: row.period,
        proof: lastAliveAt,
        expiresAt: undefined,
      });
      record.until = lastAliveAt + linger.lingerMs;
      const socketUntil = moment.observed + linger.lingerMs;
      record.holds.set(row.node, { ...newHold(), socketUntil });
      this.#world.makeVisible(record);
      this.#world.leases.dead.add(row.node);
    }
  }

  renew(request: RenewRequest): Promise<RenewAnswer> {
    const { node } = this.#options;
    const { leases, losses } = this.#world;
    const moment = this.#moment();
    leases.note(node, moment);
    leases.raiseEpoch(request.highestEpoch);
    const waiting = losses.renewed(node, request.acknowledged, moment.wall);
    this.#prune();
    return Promise.resolve({
      restore: false,
      world: '',
      losses: waiting,
      onlineCount: this.#world.onlineCount,
      foreign: [],
    });
  }

  claim(batch: readonly Claim[]): Promise<readonly ClaimAnswer[]> {
    const moment = this.#moment();
    return Promise.resolve(batch.map((claim) => this.#world.claim(this.#options.node, claim, moment)));
  }

  record(
    batch: readonly { readonly userId: number; readonly period: number }[],
  ): Promise<readonly boolean[]> {
    return Promise.resolve(batch.map((opening) => this.#world.record(this.#options.node, opening)));
  }

  withdraw(batch: readonly { readonly userId: number; readonly period: number }[]): Promise<void> {
    const moment = this.#moment();
    const isDone = batch.map((opening) => this.#world.withdraw(this.#options.node, opening, moment));
    return isDone.every(Boolean) ? Promise.resolve() : Promise.reject(new Error(STILL_HELD));
  }

  end(batch: readonly EndRequest[]): Promise<readonly EndAnswer[]> {
    const moment = this.#moment();
    return Promise.resolve(batch.map((request) => this.#world.end(this.#options.node, request, moment)));
  }

  /** The store is in this process, so it has no hold that this process did not claim. */
  unstated(): Promise<readonly number[]> {
    return Promise.resolve([]);
  }

  reap(limit: number): Promise<ReapAnswer> {
    const reaped = this.#world.reap(limit, this.#moment());
    return Promise.resolve({ ...reaped, nextDeathMs: undefined });
  }

  read(userIds: readonly number[]): Promise<readonly (UserRecord | undefined)[]> {
    const { node } = this.#options;
    const { wall } = this.#moment();
    return Promise.resolve(userIds.map((userId) => visibleRecord(this.#world.recordOf(userId, wall), node)));
  }

  running(userId: number): Promise<RunningPeriod | undefined> {
    const { wall } = this.#moment();
    return Promise.resolve(runningPeriod(this.#world.recordOf(userId, wall)));
  }

  blockLeftMs(userId: number): Promise<number> {
    const { wall, observed } = this.#moment();
    const end = this.#world.recordOf(userId, wall)?.blockedUntil ?? 0;
    return Promise.resolve(Math.max(0, end - observed));
  }

  onlinePage(page: {
    readonly limit: number;
    readonly cursor: string | undefined;
  }): Promise<{ userIds: readonly number[]; cursor: string | undefined }> {
    const after = page.cursor === undefined ? -1 : Number(page.cursor);
    const online: number[] = [];
    for (const record of this.#world.records.values())
      if (isOnline(record) && record.userId > after) online.push(record.userId);
    online.sort((left, right) => left - right);
    const userIds = online.slice(0, page.limit);
    const last = userIds.at(-1);
    return Promise.resolve({
      userIds,
      cursor: online.length > page.limit && last !== undefined ? String(last) : undefined,
    });
  }

  changeGroup(change: GroupChange): Promise<readonly GroupAnswer[]> {
    return Promise.resolve(this.#world.changeGroup(change, this.#moment()));
  }

  groupPage(page: {
    readonly group: string;
    readonly limit: number;
    readonly cursor: string | undefined;
  }): Promise<GroupPage> {
    const after = page.cursor === undefined ? -1 : Number(page.cursor);
    const members: number[] = [];
    for (const record of this.#world.records.values())
      if (groupsOf(record).has(page.group)) members.push(record.userId);
    const left = members.filter((userId) => userId > after).sort((one, other) => one - other);
    const userIds = left.slice(0, page.limit);
    const last = userIds.at(-1);
    const cursor = left.length > page.limit && last !== undefined ? String(last) : undefined;
    return Promise.resolve({ online: members.length, userIds, cursor });
  }

  feed(page: {
    readonly cursor: string;
    readonly limit: number;
  }): Promise<readonly StoredChange[] | undefined> {
    const { cursor, limit } = page;
    return Promise.resolve(this.#changes.after(cursor, { limit, of: isFeedChange }));
  }

  timeline(
    userId: number,
    page: { readonly cursor: string | undefined; readonly limit: number },
  ): Promise<readonly StoredChange[] | undefined> {
    const { cursor, limit } = page;
    return Promise.resolve(this.#changes.before(cursor, { limit, of: (change) => change.userId === userId }));
  }

  knows(rows: readonly { readonly userId: number; readonly period: number }[]): Promise<readonly boolean[]> {
    const { wall } = this.#moment();
    return Promise.resolve(rows.map((row) => this.#world.knows(row, wall) || this.#duties.has(row)));
  }

  takeDuties(limit: number): Promise<readonly Duty[]> {
    return Promise.resolve(this.#duties.take(limit));
  }

  ackDuties(duties: readonly Duty[]): Promise<void> {
    const moment = this.#moment();
    for (const duty of duties) {
      this.#duties.acknowledge(duty);
      this.#world.acknowledgeDuty(duty, moment);
    }
    return Promise.resolve();
  }

  /** Duties that nobody has settled. They end with this process. */
  get unsettled(): readonly Duty[] {
    return this.#duties.unacknowledged;
  }

  setAside(duty: Duty, error: string): Promise<void> {
    this.#duties.setAside(duty, error);
    return this.ackDuties([duty]);
  }

  pendingDuties(): Promise<PendingDuties> {
    return Promise.resolve(this.#duties.pending());
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #moment(): Moment {
    return { wall: this.#options.clock.now(), observed: this.#options.time.now() };
  }

  #prune(): void {
    const now = this.#options.clock.monotonic();
    if (now - this.#prunedAt < PRUNE_INTERVAL_MS) return;
    this.#prunedAt = now;
    const remembered: RecordState[] = [];
    const { wall, observed } = this.#moment();
    this.#world.endings.expire(wall);
    for (const { userId } of this.#world.records.values()) {
      const record = this.#world.recordOf(userId, wall);
      if (record?.expiresAt !== undefined && record.blockedUntil <= observed) remembered.push(record);
    }
    if (remembered.length <= MAX_OFFLINE_RECORDS) return;
    remembered.sort((left, right) => (left.last?.logoutTime ?? 0) - (right.last?.logoutTime ?? 0));
    for (const record of remembered.slice(0, remembered.length - MAX_OFFLINE_RECORDS))
      this.#world.records.delete(record.userId);
  }
}

function isFeedChange({ event }: PresenceChange): boolean {
  return event === 'online' || event === 'offline';
}
