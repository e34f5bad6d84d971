import { sleep, type Timer } from '../../lib/clock.ts';
import { Coalescer } from '../../lib/coalescer.ts';
import { type Loss, MAX_BATCH, type RenewAnswer } from '../store/port.ts';
import type { ChangedHolds } from './changed-holds.ts';
import type { Holds } from './holds.ts';
import type { OnlineUsers } from './online-users.ts';
import type { PresenceOptions, StoreCalls } from './options.ts';
import type { Restore } from './restore.ts';

export const RENEW_INTERVAL_MS = 500;
/** Largest number of users of dead nodes in one call. */
const REAP_LIMIT = MAX_BATCH;
/** Largest number of losses that one renewal acknowledges. Each one is two arguments of the call. */
const MAX_ACKNOWLEDGED = 10_000;
/** Shortest time between two renewals that wait for a node to be dead. */
const MIN_LOOK_MS = 10;
/** Largest number of `reap` calls after one renewal. The next renewal continues. */
const MAX_REAP_PAGES = 40;
/** A login checks this often whether a restore is complete, for at most 2 s. */
const RESTORE_LOOK_MS = 50;
const MAX_RESTORE_LOOKS = 40;
/** If many notices need a renewal, this node renews at most once in this time. */
const LOSSES_SPACING_MS = 20;

/** The part of the lease that the rest of this node uses. */
export interface LeaseCheck {
  /** False while the store is unreachable or this node restores. Then timeouts freeze, and nobody can log in. */
  readonly available: boolean;
  /** A restore is in progress (rule PR11). */
  readonly isRestoring: boolean;
  /** Waits until it is complete, for at most 2 s. */
  restored(): Promise<void>;
  /** The store refused the lease, or a call failed: renews the lease at once. */
  doubt(): void;
}

type LeaseOptions = Pick<PresenceOptions, 'clock' | 'time' | 'log' | 'notices'> &
  StoreCalls<'renew' | 'reap'>;

interface LeaseParts {
  readonly holds: Holds;
  readonly changed: ChangedHolds;
  readonly online: OnlineUsers;
  readonly restore: Restore;
}

/**
 * Keeps this node's lease. It renews the lease every half second; the answer also has the losses of this node. Notices of
 * other nodes usually bring the losses earlier. While the store does not answer, timeouts freeze and nobody can log in. When
 * the store is back, this node claims all its holds again.
 */
export class Lease implements LeaseCheck {
  readonly #options: LeaseOptions;
  readonly #parts: LeaseParts;
  readonly #acknowledged: Loss[] = [];
  readonly #looks: Coalescer;
  #stopped = false;
  #ticker: Timer | undefined;
  #early: Timer | undefined;
  #renewing: Promise<void> | undefined;
  #available = false;
  /** The store asked this node to restore its holds, and the restore is not complete. */
  #isRestoring = false;
  #restored = false;
  /** The world of the store (see GLOSSARY) in which this node has claimed all its holds. */
  #world: string | undefined;
  #failing = false;
  #orphans = 0;

  constructor(options: LeaseOptions, parts: LeaseParts) {
    this.#options = options;
    this.#parts = parts;
    const { clock } = options;
    this.#looks = new Coalescer({ run: () => this.hearLosses(), clock, spacingMs: LOSSES_SPACING_MS });
  }

  get available(): boolean {
    return this.#available;
  }

  get isRestoring(): boolean {
    return this.#isRestoring;
  }

  /** Users of dead nodes whose periods were not ended by the newest `reap`. */
  get orphans(): number {
    return this.#orphans;
  }

  /** Resolves after the first renewal, even if that failed. */
  async start(): Promise<void> {
    this.#listen();
    this.#ticker = this.#options.clock.every(RENEW_INTERVAL_MS, () => void this.renew());
    await this.renew();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#looks.stop();
    this.#ticker?.cancel();
    await this.#renewing;
    this.#early?.cancel();
  }

  /** Never rejects. Callers share a renewal that is in progress. */
  renew(): Promise<void> {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  doubt(): void {
    void this.renew();
  }

  /** Fetches and applies all losses of this node up to now. Never rejects. */
  hearLosses(): Promise<void> {
    // The store may have answered a running renewal before the loss. So this waits for a second one.
    return this.renew().then(() => this.renew());
  }

  async restored(): Promise<void> {
    for (let attempt = 0; this.#isRestoring && attempt < MAX_RESTORE_LOOKS; attempt += 1)
      await sleep(this.#options.clock, RESTORE_LOOK_MS);
  }

  /** Does not wait: renewals bring the losses too. */
  #listen(): void {
    const { notices, log } = this.#options;
    notices
      ?.listen((losses) => this.#hear(losses))
      .catch((error: unknown) => {
        // A stop ends the calls that still wait for Redis.
        if (!this.#stopped)
          log.error({ event: 'internal-error', error }, 'this node cannot listen to its losses');
      });
  }

  /** Another node sent a notice of losses. Only a renewal acknowledges them. */
  #hear(losses: readonly Loss[]): void {
    if (this.#stopped) return;
    for (const loss of losses) this.#lose(loss);
    // The notice may have overtaken the answer to the claim that it voids. A renewal cannot overtake it.
    if (losses.some(({ userId }) => this.#parts.holds.get(userId)?.locked === true)) this.#looks.ask();
  }

  async #renew(): Promise<void> {
    const { holds, restore } = this.#parts;
    const acknowledged = this.#acknowledged.splice(0);
    try {
      let answer = await this.#call(acknowledged);
      this.#logForeign(answer);
      if (answer.restore) {
        if (holds.size > 0) this.#suspend('the store asks to be restored');
        this.#isRestoring = true;
        // The restore must not bring back what the store took before.
        for (const loss of answer.losses) this.#lose(loss);
        // If the node lost only its lease, the store still has its holds. A restore would bring back periods that ended meanwhile.
        this.#restored = answer.world === this.#world || (await restore.run());
        answer = await this.#call([]);
        this.#logForeign(answer);
      }
      this.#restored = false;
      this.#isRestoring = answer.restore;
      this.#take(answer);
      if (answer.restore) return;
      this.#world = answer.world;
      this.#resume();
      await this.#reap();
    } catch (error) {
      this.#isRestoring = false;
      this.#acknowledged.push(...acknowledged);
      this.#restored = false;
      this.#suspend(error instanceof Error ? error.message : String(error));
    }
  }

  #call(acknowledged: readonly Loss[]): Promise<RenewAnswer> {
    const { highestEpoch } = this.#parts.holds;
    return this.#options.store.renew({ highestEpoch, restored: this.#restored, acknowledged });
  }

  #logForeign(answer: RenewAnswer): void {
    for (const key of answer.foreign) {
      this.#options.log.warn(
        { event: 'foreign-value', key },
        'the presence store had a value of another program under this key, and replaced it',
      );
    }
  }

  #take(answer: RenewAnswer): void {
    this.#parts.online.counted(answer.onlineCount);
    for (const loss of answer.losses) {
      this.#lose(loss);
      // The store sends a loss again until this node acknowledges it. A claim in progress may be sent twice. So the loss must
      // stay in the store until that claim is over.
      const isUnderWay = this.#parts.holds.get(loss.userId)?.locked === true;
      if (!isUnderWay && this.#acknowledged.length < MAX_ACKNOWLEDGED) this.#acknowledged.push(loss);
    }
  }

  /** Drops what this node claimed up to the revision of the loss. Later claims stay valid. */
  #lose(loss: Loss): void {
    const { holds, changed } = this.#parts;
    const hold = holds.get(loss.userId);
    if (hold === undefined) return;
    for (const socket of hold.lose(loss))
      if (socket.kind === 'open') socket.connection.close(loss.reason, 0, loss.note);
    holds.watch(hold);
    changed.claimSoon(hold);
  }

  #suspend(cause: string): void {
    const { log, time } = this.#options;
    if (this.#available || !this.#failing) {
      this.#failing = true;
      log.warn(
        { event: 'presence-unavailable', cause },
        'presence is unavailable: timeouts are frozen, logins are refused',
      );
    }
    this.#available = false;
    time.freeze();
  }

  #resume(): void {
    if (this.#available) return;
    const { holds, changed } = this.#parts;
    this.#available = true;
    this.#options.time.thaw();
    if (!this.#failing) return;
    this.#failing = false;
    changed.claimAllSoon(holds);
    this.#options.log.info({ event: 'presence-restored', users: holds.size }, 'presence is available again');
  }

  /** Ends the periods of dead nodes' users, {@link REAP_LIMIT} users per call, all of them within 12 s of the death. */
  async #reap(): Promise<void> {
    let pages = 1;
    for (let page = 0; page < pages; page += 1) {
      const { ended, orphans, nextDeathMs } = await this.#options.store.reap(REAP_LIMIT);
      this.#lookAgainIn(nextDeathMs);
      this.#orphans = orphans;
      for (const end of ended) this.#parts.online.periodEnded(end);
      if (page === 0) pages = Math.min(MAX_REAP_PAGES, Math.ceil(orphans / REAP_LIMIT) + 1);
      if (orphans === 0) return;
    }
  }

  /** Renews at the moment at which the next node is dead. The regular renewal could miss the limit of 12 s. */
  #lookAgainIn(delayMs: number | undefined): void {
    this.#early?.cancel();
    if (delayMs === undefined || delayMs >= RENEW_INTERVAL_MS) return;
    this.#early = this.#options.clock.after(Math.max(MIN_LOOK_MS, delayMs), () => void this.renew());
  }
}
