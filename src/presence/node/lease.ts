import { sleep, type Timer } from '../../lib/clock.ts';
import { Coalescer } from '../../lib/coalescer.ts';
import { type Loss, MAX_BATCH, type RenewAnswer } from '../store/port.ts';
import type { Holds } from './holds.ts';
import type { OnlineUsers } from './online-users.ts';
import type { PresenceOptions } from './options.ts';
import type { Restore } from './restore.ts';
import type { Unstated } from './unstated.ts';

export const RENEW_INTERVAL_MS = 500;
/** Users of dead nodes that one call looks at. */
const REAP_LIMIT = MAX_BATCH;
/** Losses that one renewal acknowledges: each costs two arguments of one call. */
const MAX_ACKNOWLEDGED = 10_000;
/** Least time between two looks at a node that is about to be dead. */
const MIN_LOOK_MS = 10;
/** Calls in one renewal; the next renewal does the rest. */
const MAX_REAP_PAGES = 40;
/** Logins wait for a restore 2 s at most, and look as often as this whether it is done. */
const RESTORE_LOOK_MS = 50;
const MAX_RESTORE_LOOKS = 40;
/** In a burst of losses that notices cannot settle, this node looks at its losses once in this time. */
const LOSSES_SPACING_MS = 20;

/** The lease as the rest of this node sees it. */
export interface LeaseCheck {
  /** False while the store is unreachable or this node restores: timeouts freeze, nobody may log in. */
  readonly available: boolean;
  /** Waits for a restore under way (rule PR11). Whether logins may go on then. */
  restored(): Promise<boolean>;
  /** The store refused the lease, or a call failed: the lease is renewed at once. */
  doubt(): void;
}

type LeaseOptions = Pick<PresenceOptions, 'clock' | 'time' | 'store' | 'log' | 'notices'>;

interface LeaseParts {
  readonly holds: Holds;
  readonly unstated: Unstated;
  readonly online: OnlineUsers;
  readonly restore: Restore;
}

/**
 * Keeps this node's lease: a sign of life each half second, whose answer also brings what was taken from this node. Notices
 * of other nodes bring most of that at once. While the store does not answer, timeouts freeze and nobody may log in; when it
 * is back, all holds are stated anew.
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
  /** The store has asked for everything held here, and has not got it yet. */
  #isRestoring = false;
  #restored = false;
  /** The world of the store in which everything held here was stated. */
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

  /** Users of dead nodes that nobody has ended yet, as of the newest look. */
  get orphans(): number {
    return this.#orphans;
  }

  /** Resolves after the first renewal; presence may be unavailable even so. */
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

  /** Never rejects. Callers share a renewal that is under way. */
  renew(): Promise<void> {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  doubt(): void {
    void this.renew();
  }

  /** Gives up what the store has taken from this node until now. Never rejects. */
  hearLosses(): Promise<void> {
    // A renewal that is under way may have been answered before the loss.
    return this.renew().then(() => this.renew());
  }

  async restored(): Promise<boolean> {
    for (let attempt = 0; this.#isRestoring && attempt < MAX_RESTORE_LOOKS; attempt += 1)
      await sleep(this.#options.clock, RESTORE_LOOK_MS);
    return this.#available;
  }

  /** Waits for nothing: this node learns its losses by renewals too. */
  #listen(): void {
    const { notices, log } = this.#options;
    notices
      ?.listen((losses) => this.#hear(losses))
      .catch((error: unknown) => {
        // When the node stops, it gives up calls that still wait for Redis.
        if (!this.#stopped)
          log.error({ event: 'internal-error', error }, 'this node cannot listen to its losses');
      });
  }

  /** Another node says what the store took from this one. Only a renewal acknowledges it. */
  #hear(losses: readonly Loss[]): void {
    if (this.#stopped) return;
    for (const loss of losses) this.#lose(loss);
    // The notice may have overtaken the answer to the very statement that it takes back. A renewal cannot.
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
        // What the store took before, and still knows of, must not come back.
        for (const loss of answer.losses) this.#lose(loss);
        // If only the lease was lost, the store still has everything: a restore would bring back what ended meanwhile.
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
        'something that is not ours was under this key of the presence store: it was replaced',
      );
    }
  }

  #take(answer: RenewAnswer): void {
    this.#parts.online.counted(answer.onlineCount);
    for (const loss of answer.losses) {
      this.#lose(loss);
      // A loss that is not acknowledged comes again.
      if (this.#acknowledged.length < MAX_ACKNOWLEDGED) this.#acknowledged.push(loss);
    }
  }

  /** Gives up exactly what was stated up to the revision named; what came later stands. */
  #lose(loss: Loss): void {
    const { holds, unstated } = this.#parts;
    const hold = holds.get(loss.userId);
    if (hold === undefined) return;
    for (const socket of hold.lose(loss))
      if (socket.kind === 'open') socket.connection.close(loss.reason, 0, loss.note);
    holds.watch(hold);
    unstated.stateSoon(hold);
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
    const { holds, unstated } = this.#parts;
    this.#available = true;
    this.#options.time.thaw();
    if (!this.#failing) return;
    this.#failing = false;
    unstated.stateAllSoon(holds);
    this.#options.log.info({ event: 'presence-restored', users: holds.size }, 'presence is available again');
  }

  /** One call for each {@link REAP_LIMIT} users of dead nodes, so that all of them are ended within 12 s of the death. */
  async #reap(): Promise<void> {
    let pages = 1;
    for (let page = 0; page < pages; page += 1) {
      const { ended, ghosts, nextDeathMs } = await this.#options.store.reap(REAP_LIMIT);
      this.#lookAgainIn(nextDeathMs);
      this.#orphans = ghosts;
      for (const end of ended) this.#parts.online.periodEnded(end);
      if (page === 0) pages = Math.min(MAX_REAP_PAGES, Math.ceil(ghosts / REAP_LIMIT) + 1);
      if (ghosts === 0) return;
    }
  }

  /** Looks again at the moment of the next death: waiting for the next renewal could miss the limit of 12 s. */
  #lookAgainIn(delayMs: number | undefined): void {
    this.#early?.cancel();
    if (delayMs === undefined || delayMs >= RENEW_INTERVAL_MS) return;
    this.#early = this.#options.clock.after(Math.max(MIN_LOOK_MS, delayMs), () => void this.renew());
  }
}
