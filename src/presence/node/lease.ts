import type { Timer } from '../../lib/clock.ts';
import { type Claim, type Loss, MAX_BATCH, type RenewAnswer } from '../store/port.ts';
import type { UserHold } from './hold.ts';
import type { NodePresence } from './holds.ts';
import type { Statements } from './sync.ts';

export const RENEW_INTERVAL_MS = 500;
/** Users of dead nodes that one call looks at. */
const REAP_LIMIT = MAX_BATCH;
/** How long a restore waits for SQL to tell what has ended meanwhile: logins wait 2 s for the restore. */
const SQL_PATIENCE_MS = 500;
/** Losses that one renewal acknowledges: each is two arguments of one call. */
const MAX_ACKNOWLEDGED = 10_000;
/** Least time between two looks at a node that is about to be dead. */
const MIN_LOOK_MS = 10;
/** Calls in one renewal; what is left then follows in the next one. */
const MAX_REAP_PAGES = 40;

/**
 * Keeps this node's lease: a sign of life each half second, which also brings what was taken from this node. While
 * the store does not answer, timeouts freeze and nobody may log in; when it is back, everything held is stated anew.
 */
export class LeaseKeeper {
  readonly #presence: NodePresence;
  readonly #statements: Statements;
  readonly #acknowledged: Loss[] = [];
  #ticker: Timer | undefined;
  #early: Timer | undefined;
  #renewing: Promise<void> | undefined;
  #restored = false;
  /** The world of the store in which everything held here was stated. */
  #world: string | undefined;
  #failing = false;

  constructor(presence: NodePresence, statements: Statements) {
    this.#presence = presence;
    this.#statements = statements;
  }

  /** Resolves after the first renewal; presence may be unavailable even so. */
  async start(): Promise<void> {
    this.#ticker = this.#presence.options.clock.every(RENEW_INTERVAL_MS, () => void this.renew());
    await this.renew();
  }

  async stop(): Promise<void> {
    this.#ticker?.cancel();
    await this.#renewing;
    this.#early?.cancel();
  }

  /** Never rejects; a renewal under way serves all who ask. */
  renew(): Promise<void> {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  async #renew(): Promise<void> {
    const { store } = this.#presence.options;
    const acknowledged = this.#acknowledged.splice(0);
    try {
      let answer = await store.renew({
        highestEpoch: this.#presence.highestEpoch,
        restored: this.#restored,
        acknowledged,
      });
      this.#tellForeign(answer);
      if (answer.restore) {
        if (this.#presence.holds.size > 0) this.#suspend('the store asks to be restored');
        this.#presence.isRestoring = true;
        // A lease lost alone takes nothing else: what was ended meanwhile must not be brought back.
        this.#restored = answer.world === this.#world || (await this.#restate());
        answer = await store.renew({
          highestEpoch: this.#presence.highestEpoch,
          restored: this.#restored,
          acknowledged: [],
        });
        this.#tellForeign(answer);
      }
      this.#restored = false;
      this.#presence.isRestoring = answer.restore;
      this.#take(answer);
      if (answer.restore) return;
      this.#world = answer.world;
      this.#resume();
      await this.#reap();
    } catch (error) {
      this.#presence.isRestoring = false;
      this.#acknowledged.push(...acknowledged);
      this.#restored = false;
      this.#suspend(error instanceof Error ? error.message : String(error));
    }
  }

  #tellForeign(answer: RenewAnswer): void {
    for (const key of answer.foreign) {
      this.#presence.options.log.warn(
        { event: 'foreign-value', key },
        'something that is not ours was under this key of the presence store: it was replaced',
      );
    }
  }

  #take(answer: RenewAnswer): void {
    this.#presence.onlineCount = answer.onlineCount;
    for (const loss of answer.losses) {
      this.#lose(loss);
      // What is not acknowledged is told again.
      if (this.#acknowledged.length < MAX_ACKNOWLEDGED) this.#acknowledged.push(loss);
    }
  }

  /** Gives up exactly what was stated up to the revision named; what came later stands. */
  #lose(loss: Loss): void {
    const hold = this.#presence.holds.get(loss.userId);
    if (hold === undefined) return;
    for (const socket of hold.lose(loss))
      if (socket.kind === 'open') socket.connection.close(loss.reason, 0, loss.note);
    this.#presence.watch(hold);
    this.#presence.markDirty(hold);
  }

  #suspend(cause: string): void {
    const { manager, options, available } = this.#presence;
    if (available || !this.#failing) {
      this.#failing = true;
      options.log.warn(
        { event: 'presence-unavailable', cause },
        'presence is unavailable: timeouts are frozen, logins are refused',
      );
    }
    this.#presence.available = false;
    manager.time.freeze();
  }

  #resume(): void {
    if (this.#presence.available) return;
    this.#presence.available = true;
    this.#presence.manager.time.thaw();
    if (!this.#failing) return;
    this.#failing = false;
    for (const hold of this.#presence.holds.values()) this.#presence.dirty.add(hold);
    this.#statements.soon();
    this.#presence.options.log.info(
      { event: 'presence-restored', users: this.#presence.holds.size },
      'presence is available again',
    );
  }

  /** States all periods that run here, as they were. True once every one was taken. */
  async #restate(): Promise<boolean> {
    const { holds, options, time, dirty } = this.#presence;
    const before = this.#presence.nextRev();
    const now = time.now();
    // Who was logged out elsewhere, and has nothing left here, is not restated: the next statement tells.
    const running = [...holds.values()].filter(
      (hold) => hold.period > 0 && (hold.isAlive(now) || Number.isFinite(hold.newestProof().monotonic)),
    );
    let ended: ReadonlySet<UserHold> | undefined = new Set();
    for (let start = 0; start < running.length; start += MAX_BATCH) {
      const candidates = running.slice(start, start + MAX_BATCH);
      // Silent once, it is not waited for again.
      if (ended !== undefined) ended = await this.#endedOf(candidates);
      // What has ended meanwhile is told by the next statement, which connects the living anew.
      // Some may have gone while SQL was asked.
      const batch = candidates.filter((hold) => hold.period > 0 && ended?.has(hold) !== true);
      for (const hold of candidates) if (hold.period > 0 && !batch.includes(hold)) dirty.add(hold);
      const claims: Claim[] = batch.map((hold) =>
        hold.claim(time, { mode: 'restate', rev: this.#presence.nextRev() }),
      );
      const answers = await options.store.claim(claims);
      if (answers.some((answer) => answer.kind === 'no-lease' || answer.kind === 'young')) return false;
      batch.forEach((hold, index) => {
        if (answers[index]?.kind !== 'joined') dirty.add(hold);
      });
    }
    this.#takeUp(await options.store.unstated(before));
    return true;
  }

  /**
   * Those whose period SQL has closed; undefined where it is silent: then everything is restated (rule PR11). A newer
   * row alone proves nothing: it may be of an opening that was given up.
   */
  #endedOf(holds: readonly UserHold[]): Promise<ReadonlySet<UserHold> | undefined> {
    const { ledger, clock } = this.#presence.options;
    return new Promise((resolve) => {
      const timer = clock.after(SQL_PATIENCE_MS, () => resolve(undefined));
      void ledger
        .areSettled(holds.map(({ userId, period }) => ({ userId, period })))
        .then((settled) => resolve(new Set(holds.filter((_, index) => settled[index]))))
        .catch(() => resolve(undefined))
        .finally(() => timer.cancel());
    });
  }

  /** Holds that a failover brought back and of which this node knows nothing linger here for one timeout. */
  #takeUp(userIds: readonly number[]): void {
    const observed = this.#presence.time.now();
    for (const userId of userIds) {
      const hold = this.#presence.holdOf(userId);
      // Nothing is known of how old the proof behind it is: the store's own counts for the logout time.
      if (hold.period === 0) hold.lingerInDoubt({ observed, monotonic: Number.NEGATIVE_INFINITY });
      else hold.doubt();
      this.#presence.dirty.add(hold);
    }
  }

  /** One page for each {@link REAP_LIMIT} users of dead nodes, so that all are ended within 12 s of the death. */
  async #reap(): Promise<void> {
    let pages = 1;
    for (let page = 0; page < pages; page += 1) {
      const { ended, ghosts, nextDeathMs } = await this.#presence.options.store.reap(REAP_LIMIT);
      this.#lookAgainIn(nextDeathMs);
      this.#presence.ghosts = ghosts;
      for (const end of ended) this.#presence.periodEnded(end);
      if (page === 0) pages = Math.min(MAX_REAP_PAGES, Math.ceil(ghosts / REAP_LIMIT) + 1);
      if (ghosts === 0) return;
    }
  }

  /** A death is found when it is one, and not up to a renewal later: its users are to be settled 12 s after it. */
  #lookAgainIn(delayMs: number | undefined): void {
    this.#early?.cancel();
    if (delayMs === undefined || delayMs >= RENEW_INTERVAL_MS) return;
    this.#early = this.#presence.options.clock.after(Math.max(MIN_LOOK_MS, delayMs), () => void this.renew());
  }
}
