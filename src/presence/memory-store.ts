import type { ObservedTime } from '../heartbeat/observed-time.ts';
import type { Clock } from '../lib/clock.ts';
import type { Duty, PeriodRow } from '../settlement/user-store.ts';
import { isOnline, type LastPeriod, type Moment, newRecord, type RecordState } from './core/records.ts';
import type { WorldRules } from './core/session-policy.ts';
import { PresenceWorld } from './core/world.ts';
import type {
  Claim,
  ClaimAnswer,
  EndAnswer,
  EndedPeriod,
  EndRequest,
  PresenceStore,
  RenewAnswer,
  RenewRequest,
  UserRecord,
} from './presence-store.ts';

/** Offline users that are remembered in memory, at most; SQL keeps the periods of all. */
const MAX_OFFLINE_RECORDS = 100_000;
const PRUNE_INTERVAL_MS = 60_000;
/** Duties set aside; beyond, the oldest leaves memory: its row stays open in SQL and is tried again at the next start. */
const MAX_ASIDE = 10_000;

export interface MemoryStoreOptions extends WorldRules {
  readonly clock: Clock;
  readonly time: ObservedTime;
  /** This incarnation. */
  readonly node: string;
}

/** Presence in this process: the rules, a queue of duties, and nothing that survives the process (SQL does). */
export class MemoryPresenceStore implements PresenceStore {
  /** The node that asks is the node that knows. */
  readonly renewalMs = undefined;
  readonly #options: MemoryStoreOptions;
  readonly #world: PresenceWorld;
  readonly #duties = new Map<string, { readonly duty: Duty; readonly since: number }>();
  readonly #taken = new Set<string>();
  readonly #dead = new Set<string>();
  readonly #aside = new Map<string, string>();
  #prunedAt: number;

  constructor(options: MemoryStoreOptions) {
    this.#options = options;
    this.#prunedAt = options.clock.monotonic();
    this.#world = new PresenceWorld(options, (duty) => {
      const id = dutyId(duty.userId, duty.period);
      this.#duties.set(id, { duty: { ...duty, id }, since: options.clock.monotonic() });
    });
  }

  /**
   * Takes over the open periods that a dead process left in SQL: their users linger for `lingerMs` and are then ended
   * at `lastAliveAt` plus the timeout at most, unless they return (rule ST8).
   */
  adopt(
    rows: readonly PeriodRow[],
    linger: { readonly lingerMs: number; readonly lastAliveAt: ReadonlyMap<string, number> },
  ): void {
    const moment = this.#moment();
    for (const row of rows) {
      const lastAliveAt = Math.max(linger.lastAliveAt.get(row.node) ?? row.loginAt, row.loginAt);
      const record = this.#world.records.get(row.userId) ?? newRecord(row.userId);
      if (record.period > row.period) continue;
      this.#world.records.set(row.userId, record);
      Object.assign(record, {
        period: row.period,
        loginTime: row.loginAt,
        epoch: row.period,
        proof: lastAliveAt,
      });
      record.until = lastAliveAt + linger.lingerMs;
      const socketUntil = moment.observed + linger.lingerMs;
      record.holds.set(row.node, {
        rev: 0,
        answer: { kind: 'held' },
        sockets: 0,
        epoch: 0,
        socketUntil,
        httpUntil: 0,
      });
      this.#world.record(row.userId, row.period);
      this.#dead.add(row.node);
    }
  }

  renew(request: RenewRequest): Promise<RenewAnswer> {
    const { node } = this.#options;
    this.#world.nodes.set(node, this.#moment().observed);
    this.#world.highestEpoch = Math.max(this.#world.highestEpoch, request.highestEpoch);
    const waiting = this.#world.losses.get(node);
    for (const { userId, rev } of request.acknowledged) {
      if (waiting?.get(userId)?.rev === rev) waiting.delete(userId);
    }
    this.#prune();
    return Promise.resolve({
      restore: false,
      losses: [...(waiting?.values() ?? [])],
      onlineCount: this.#world.onlineCount,
    });
  }

  claim(batch: readonly Claim[]): Promise<readonly ClaimAnswer[]> {
    const moment = this.#moment();
    return Promise.resolve(batch.map((claim) => this.#world.claim(this.#options.node, claim, moment)));
  }

  record(
    batch: readonly { readonly userId: number; readonly period: number }[],
  ): Promise<readonly boolean[]> {
    return Promise.resolve(batch.map(({ userId, period }) => this.#world.record(userId, period)));
  }

  withdraw(batch: readonly { readonly userId: number; readonly period: number }[]): Promise<void> {
    for (const { userId, period } of batch) this.#world.withdraw(userId, period);
    return Promise.resolve();
  }

  end(batch: readonly EndRequest[]): Promise<readonly EndAnswer[]> {
    const moment = this.#moment();
    return Promise.resolve(batch.map((request) => this.#world.end(request, moment)));
  }

  reap(limit: number): Promise<{ ended: readonly EndedPeriod[]; ghosts: number }> {
    const moment = this.#moment();
    const ended = [...this.#dead].flatMap((node) => [...this.#world.reap(node, limit, moment)]);
    let ghosts = 0;
    for (const node of this.#dead) {
      const left = this.#world.heldBy(node);
      if (left === 0) {
        this.#dead.delete(node);
        this.#world.losses.delete(node);
      }
      ghosts += left;
    }
    return Promise.resolve({ ended, ghosts });
  }

  read(userIds: readonly number[]): Promise<readonly (UserRecord | undefined)[]> {
    return Promise.resolve(userIds.map((userId) => visible(this.#world.records.get(userId))));
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

  knows(rows: readonly { readonly userId: number; readonly period: number }[]): Promise<readonly boolean[]> {
    return Promise.resolve(
      rows.map(({ userId, period }) => {
        const record = this.#world.records.get(userId);
        const running = record !== undefined && record.holds.size > 0 && record.period === period;
        const id = dutyId(userId, period);
        return running || this.#duties.has(id) || this.#aside.has(id);
      }),
    );
  }

  takeDuties(limit: number): Promise<readonly Duty[]> {
    const taken: Duty[] = [];
    for (const [id, { duty }] of this.#duties) {
      if (taken.length === limit) break;
      if (this.#taken.has(id)) continue;
      this.#taken.add(id);
      taken.push(duty);
    }
    return Promise.resolve(taken);
  }

  ackDuties(duties: readonly Duty[]): Promise<void> {
    for (const { id, userId, period } of duties) {
      this.#duties.delete(id);
      this.#taken.delete(id);
      this.#world.acknowledgeDuty(userId, period);
    }
    return Promise.resolve();
  }

  setAside(duty: Duty, error: string): Promise<void> {
    this.#aside.set(duty.id, error);
    const oldest = this.#aside.keys().next().value;
    if (this.#aside.size > MAX_ASIDE && oldest !== undefined) this.#aside.delete(oldest);
    return this.ackDuties([duty]);
  }

  pendingDuties(): Promise<{ readonly count: number; readonly oldestAgeMs: number }> {
    const oldest = this.#duties.values().next().value;
    const oldestAgeMs = oldest === undefined ? 0 : this.#options.clock.monotonic() - oldest.since;
    return Promise.resolve({ count: this.#duties.size, oldestAgeMs });
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
    const expired = this.#options.clock.now() - this.#options.lastSeenTtlMs;
    for (const record of this.#world.records.values()) {
      if (
        record.holds.size > 0 ||
        record.unsettled !== undefined ||
        record.blockedUntil > this.#options.time.now()
      )
        continue;
      if (record.last === undefined || record.last.logoutTime < expired)
        this.#world.records.delete(record.userId);
      else remembered.push(record);
    }
    if (remembered.length <= MAX_OFFLINE_RECORDS) return;
    remembered.sort((left, right) => (left.last?.logoutTime ?? 0) - (right.last?.logoutTime ?? 0));
    for (const record of remembered.slice(0, remembered.length - MAX_OFFLINE_RECORDS))
      this.#world.records.delete(record.userId);
  }
}

function dutyId(userId: number, period: number): string {
  return `${userId}:${period}`;
}

function visible(record: RecordState | undefined): UserRecord | undefined {
  if (record === undefined) return undefined;
  const { userId, username, ip, epoch, last } = record;
  if (isOnline(record)) {
    let sockets = 0;
    for (const hold of record.holds.values()) sockets += hold.sockets;
    const { loginTime, proof, period } = record;
    return {
      userId,
      username,
      ip,
      status: 'online',
      loginTime,
      lastHeartbeat: proof,
      logoutTime: undefined,
      sockets,
      epoch,
      period,
    };
  }
  return last === undefined ? undefined : offline({ userId, username, ip, epoch, last });
}

function offline(known: {
  userId: number;
  username: string;
  ip: string;
  epoch: number;
  last: LastPeriod;
}): UserRecord {
  const { userId, username, ip, epoch, last } = known;
  const { loginTime, lastHeartbeat, logoutTime, period } = last;
  return {
    userId,
    username,
    ip,
    status: 'offline',
    loginTime,
    lastHeartbeat,
    logoutTime,
    sockets: 0,
    epoch,
    period,
  };
}
