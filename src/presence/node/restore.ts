import { MAX_BATCH } from '../store/port.ts';
import type { UserHold } from './hold.ts';
import type { Holds } from './holds.ts';
import type { PresenceOptions } from './options.ts';
import type { Unstated } from './unstated.ts';

/** How long a restore waits for SQL to say what has ended meanwhile: logins wait 2 s for the restore. */
const SQL_WAIT_MS = 500;

type RestoreOptions = Pick<PresenceOptions, 'clock' | 'time' | 'store' | 'ledger'>;

/** Gives the store back what this node holds, after the store lost it or went back in time (rule PR11). */
export class Restore {
  readonly #options: RestoreOptions;
  readonly #holds: Holds;
  readonly #unstated: Unstated;

  constructor(options: RestoreOptions, parts: { readonly holds: Holds; readonly unstated: Unstated }) {
    this.#options = options;
    this.#holds = parts.holds;
    this.#unstated = parts.unstated;
  }

  /** Restates all periods that run here, as they were. True once the store took every statement. */
  async run(): Promise<boolean> {
    const { store, time } = this.#options;
    const before = this.#holds.nextRev();
    const now = time.now();
    // A user who was logged out elsewhere, and has nothing left here, is not restated: the next statement says so. Nor is a
    // period that the store no longer had before it lost its memory: another one may have followed it.
    const running = [...this.#holds].filter(
      (hold) =>
        hold.period > 0 &&
        hold.state.kind !== 'missing' &&
        (hold.isAlive(now) || Number.isFinite(hold.newestProof().monotonic)),
    );
    let ended: ReadonlySet<UserHold> | undefined = new Set();
    for (let start = 0; start < running.length; start += MAX_BATCH) {
      const candidates = running.slice(start, start + MAX_BATCH);
      // If SQL was silent once, the restore does not wait for it again.
      if (ended !== undefined) ended = await this.#endedOf(candidates);
      if (!(await this.#restate(candidates, ended))) return false;
    }
    this.#lingerUnknown(await store.unstated(before));
    return true;
  }

  /** False where the store takes no statements now. */
  async #restate(
    candidates: readonly UserHold[],
    ended: ReadonlySet<UserHold> | undefined,
  ): Promise<boolean> {
    const { store, time } = this.#options;
    // Some holds may have gone while SQL was asked. A period that has ended is left to the next statement, which
    // connects those anew who are here.
    const batch = candidates.filter((hold) => hold.period > 0 && ended?.has(hold) !== true);
    for (const hold of candidates) if (hold.period > 0 && !batch.includes(hold)) this.#unstated.add(hold);
    const claims = batch.map((hold) => hold.claim(time, { mode: 'restate', rev: this.#holds.nextRev() }));
    const answers = await store.claim(claims);
    if (answers.some((answer) => answer.kind === 'no-lease' || answer.kind === 'young')) return false;
    batch.forEach((hold, index) => {
      const answer = answers[index];
      if (answer?.kind !== 'joined') this.#unstated.add(hold);
      // Another node, or the store itself, knew a newer change.
      else hold.hearGroups(answer.groups);
    });
    return true;
  }

  /**
   * Those whose period SQL has closed; undefined where SQL is silent: then everything is restated (rule PR11). A newer
   * row alone proves nothing: it may be of an opening that was given up.
   */
  #endedOf(holds: readonly UserHold[]): Promise<ReadonlySet<UserHold> | undefined> {
    const { ledger, clock } = this.#options;
    return new Promise((resolve) => {
      const timer = clock.after(SQL_WAIT_MS, () => resolve(undefined));
      void ledger
        .areSettled(holds.map(({ userId, period }) => ({ userId, period })))
        .then((settled) => resolve(new Set(holds.filter((_, index) => settled[index]))))
        .catch(() => resolve(undefined))
        .finally(() => timer.cancel());
    });
  }

  /** A failover brought back holds that this node does not know: their users linger here for one timeout. */
  #lingerUnknown(userIds: readonly number[]): void {
    const observed = this.#options.time.now();
    for (const userId of userIds) {
      const hold = this.#holds.of(userId);
      // This node does not know how old their proof is: for the logout time the store's own proof counts.
      if (hold.period === 0) hold.lingerInDoubt({ observed, monotonic: Number.NEGATIVE_INFINITY });
      else hold.doubt();
      this.#unstated.add(hold);
    }
  }
}
