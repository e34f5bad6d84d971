import type { ConnectionManager } from '../../connection/connection-manager.ts';
import type { ObservedTime } from '../../heartbeat/observed-time.ts';
import { Batcher } from '../../lib/batcher.ts';
import { type Clock, sleep } from '../../lib/clock.ts';
import { ok, type Result } from '../../lib/result.ts';
import type { Log } from '../../logging/log.ts';
import type { Counters } from '../../metrics/counters.ts';
import type { CloseCause } from '../../protocol/close-codes.ts';
import type { EndedPeriod } from '../../protocol/periods.ts';
import {
  type ChangeReader,
  type Claim,
  type ClaimAnswer,
  type ClaimStore,
  MAX_BATCH,
  type RecordReader,
} from '../store/port.ts';
import { UserHold } from './hold.ts';
import type { Proof } from './hold-state.ts';
import type { Ledger } from './ledger.ts';

/** Statements of logins that wait for their turn, at most; beyond, a login is told that presence is unavailable. */
const MAX_WAITING_CLAIMS = 50_000;
/** Logins wait for a restore 2 s at most, and look as often as this whether it is done. */
const RESTORE_LOOK_MS = 50;
const MAX_RESTORE_LOOKS = 40;

export interface PresenceOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  readonly store: ClaimStore & RecordReader & ChangeReader;
  readonly ledger: Ledger;
  /** This incarnation: fresh at each start. */
  readonly node: string;
  readonly heartbeatTimeoutMs: number;
  readonly httpTimeoutMs: number;
  readonly pingIntervalMs: number;
  readonly sessionPolicy: 'replace' | 'reject' | 'multi';
  readonly unknownUsers: 'reject' | 'create' | 'ignore';
  readonly loginResetsTime: boolean;
  /** Periods that a user may open a minute; 0: any number. */
  readonly loginsPerMinute: number;
  /**
   * Verifies a token that a client sends to renew its own. Answers its expiry, undefined where it is refused, or that
   * the key which would verify it cannot be fetched now.
   */
  readonly renewToken: (
    userId: number,
    token: string,
  ) => Promise<{ readonly expiresAt: number | undefined } | 'credentials-unavailable' | undefined>;
  /** Fresh ids for connections. */
  readonly newId: () => string;
}

interface AskedClaim {
  readonly claim: Claim;
  readonly hasLeft: (() => boolean) | undefined;
}

/** What the parts of this node's presence share: who is held here, the numbering of statements, and who is told. */
export class NodePresence {
  readonly options: PresenceOptions;
  readonly manager: ConnectionManager;
  readonly time: ObservedTime;
  readonly holds = new Map<number, UserHold>();
  /** Holds whose state the store has not been told. */
  readonly dirty = new Set<UserHold>();
  /** False while the store is unreachable or this node restores: timeouts freeze, nobody may log in. */
  available = false;
  /** The store has asked for everything held here, and is being told. */
  isRestoring = false;
  highestEpoch = 0;
  onlineCount = 0;
  ghosts = 0;
  /** Set by the composition of the parts: states what is dirty soon. */
  flushSoon: () => void = () => {};
  /** Set by the composition of the parts: the lease was refused or a call failed. */
  leaseDoubtful: () => void = () => {};
  /** Set by the composition of the parts: gives up what the store has taken from this node until now. */
  hearLosses: () => Promise<void> = () => Promise.resolve();
  readonly #claims: Batcher<AskedClaim, ClaimAnswer>;
  readonly #records: Batcher<{ readonly userId: number; readonly period: number }, boolean>;
  #rev = 0;

  constructor(options: PresenceOptions, manager: ConnectionManager) {
    this.options = options;
    this.manager = manager;
    this.time = manager.time;
    const common = {
      clock: options.clock,
      maxBatch: MAX_BATCH,
      maxWaiting: MAX_WAITING_CLAIMS,
    };
    this.#claims = new Batcher({
      ...common,
      run: (batch) => this.#claim(batch),
    });
    this.#records = new Batcher({
      ...common,
      run: async (batch) => (await options.store.record(batch)).map((value) => ({ ok: true, value })),
    });
  }

  nextRev(): number {
    this.#rev += 1;
    return this.#rev;
  }

  holdOf(userId: number): UserHold {
    const present = this.holds.get(userId);
    if (present !== undefined) return present;
    const { heartbeatTimeoutMs, httpTimeoutMs } = this.options;
    const hold = new UserHold(userId, { heartbeatTimeoutMs, httpTimeoutMs }, (due) => this.markDirty(due));
    this.holds.set(userId, hold);
    return hold;
  }

  /** Whether logins may go on, once what is being restored is (rule PR11). */
  async restored(): Promise<boolean> {
    for (let attempt = 0; this.isRestoring && attempt < MAX_RESTORE_LOOKS; attempt += 1)
      await sleep(this.options.clock, RESTORE_LOOK_MS);
    return this.available;
  }

  /** Whether this node holds the user in a recorded period. */
  isHeld(userId: number): boolean {
    return (this.holds.get(userId)?.period ?? 0) > 0;
  }

  markDirty(hold: UserHold): void {
    this.dirty.add(hold);
    this.flushSoon();
  }

  /** States one login; shares its call with others. Undefined where the store did not answer. */
  async claim(claim: Claim, hasLeft?: () => boolean): Promise<ClaimAnswer | undefined> {
    const result = await this.#claims.submit({ claim, hasLeft }).result;
    return result.ok ? result.value : undefined;
  }

  /** Who left while an earlier batch was under way is not claimed: it would throw out their next connection. */
  async #claim(batch: readonly AskedClaim[]): Promise<readonly Result<ClaimAnswer, never>[]> {
    const present = batch.filter(({ hasLeft }) => hasLeft?.() !== true);
    const claims = present.map(({ claim }) => claim);
    const answers = claims.length === 0 ? [] : await this.options.store.claim(claims);
    const answered = new Map(present.map((asked, index) => [asked, answers[index]]));
    return batch.map((asked) => ok(answered.get(asked) ?? { kind: 'stale' }));
  }

  /** Makes an opened period visible. Undefined where the store did not answer. */
  async record(userId: number, period: number): Promise<boolean | undefined> {
    const result = await this.#records.submit({ userId, period }).result;
    return result.ok ? result.value : undefined;
  }

  /** This very moment, as a proof of life. */
  now(): Proof {
    return { observed: this.time.now(), monotonic: this.time.monotonic };
  }

  learnEpoch(epoch: number): void {
    this.highestEpoch = Math.max(this.highestEpoch, epoch);
  }

  /** Takes up the watch over a hold without sockets: its linger or HTTP proof may run out. */
  watch(hold: UserHold): void {
    if (hold.sockets.length === 0 && hold.period > 0) this.manager.monitor.watch(hold);
    else this.manager.monitor.unwatch(hold);
  }

  /** Closes the sockets here: a newer connection has the user. */
  throwOut(hold: UserHold): void {
    for (const socket of hold.evict()) {
      if (socket.kind === 'dialled') continue;
      const { connection } = socket;
      const { userId, registration } = connection;
      this.options.log.info(
        { event: 'replaced', userId, connectionId: registration.connectionId, epoch: registration.epoch },
        'a newer connection took over',
      );
      connection.close('replaced');
    }
  }

  /** The period is over for this node: closes what is left of the user here, with `note` in the close frame. */
  forget(hold: UserHold, cause: CloseCause, note?: string): void {
    hold.forget();
    this.manager.monitor.unwatch(hold);
    this.dirty.delete(hold);
    this.manager.closeUser(hold.userId, cause, note === undefined ? {} : { reason: note });
  }

  /** Drops a hold that holds nothing and that nobody is busy with. */
  release(hold: UserHold): void {
    hold.unlock();
    if (!hold.locked && hold.isAbsent) this.holds.delete(hold.userId);
  }

  periodEnded(end: EndedPeriod): void {
    this.onlineCount = Math.max(0, this.onlineCount - 1);
    this.options.counters.logouts[end.reason] += 1;
    const { userId, period, epoch, logoutTime, reason } = end;
    this.options.log.info(
      { event: 'logged-out', userId, period, epoch, cause: reason, logoutTime },
      'user logged out',
    );
    this.options.ledger.wake();
  }
}
