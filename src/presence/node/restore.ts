import { MAX_BATCH } from '../store/port.ts';
import type { ChangedHolds } from './changed-holds.ts';
import type { UserHold } from './hold.ts';
import type { Holds } from './holds.ts';
import type { PresenceOptions, StoreCalls } from './options.ts';

/** How long a restore waits for SQL to say what has ended meanwhile: logins wait 2 s for the restore. */
const SQL_WAIT_MS = 500;

type RestoreOptions = Pick<PresenceOptions, 'clock' | 'time' | 'ledger'> &
  StoreCalls<'claim' | 'read' | 'unstated'>;

/** Claims this node's holds again after the store lost its data or went back in time (rule PR11). */
export class Restore {
  readonly #options: RestoreOptions;
  readonly #holds: Holds;
  readonly #changed: ChangedHolds;

  constructor(options: RestoreOptions, parts: { readonly holds: Holds; readonly changed: ChangedHolds }) {
    this.#options = options;
    this.#holds = parts.holds;
    this.#changed = parts.changed;
  }

  /** Claims all periods of this node again, unchanged. True once the store has accepted every claim. */
  async run(): Promise<boolean> {
    const { store, time } = this.#options;
    const before = this.#holds.nextRev();
    const now = time.now();
    // Two kinds of holds are left out. One is of a user who was logged out elsewhere and has nothing left here: the next
    // regular claim says so. The other one was missing in the store before: another period may have followed.
    const running = [...this.#holds].filter(
      (hold) =>
        hold.period > 0 &&
        hold.state.kind !== 'missing' &&
        (hold.isAlive(now) || Number.isFinite(hold.newestProof().monotonic)),
    );
    let ended: ReadonlySet<UserHold> | undefined = new Set();
    for (let start = 0; start < running.length; start += MAX_BATCH) {
      const candidates = running.slice(start, start + MAX_BATCH);
      // If SQL did not answer once, the restore does not ask it again.
      if (ended !== undefined) ended = await this.#endedOf(candidates);
      if (!(await this.#restate(candidates, ended))) return false;
    }
    const unknown = await store.unstated(before);
    if (!(await this.#giveGroupsBack(unknown))) return false;
    this.#lingerUnknown(unknown);
    return true;
  }

  /**
   * Gives the store the newer groups that this node knows (rule GR1), for periods that run in the store although they have
   * ended in SQL. An earlier failover brought those back. A period that the store has lost stays lost.
   */
  async #giveGroupsBack(userIds: readonly number[]): Promise<boolean> {
    const now = this.#options.time.now();
    const grouped = userIds
      .map((userId) => this.#holds.get(userId))
      .filter((hold) => hold !== undefined)
      .filter((hold) => hold.state.kind === 'held' && hold.givenGroups !== '' && hold.isAlive(now));
    for (let start = 0; start < grouped.length; start += MAX_BATCH) {
      const batch = grouped.slice(start, start + MAX_BATCH);
      const records = await this.#options.store.read(batch.map(({ userId }) => userId));
      const running = batch.filter(({ period }, index) => {
        const record = records[index];
        return record?.status === 'online' && record.period === period;
      });
      if (running.length > 0 && !(await this.#restate(running, new Set()))) return false;
    }
    return true;
  }

  /** False if the store accepts no claims now. */
  async #restate(
    candidates: readonly UserHold[],
    ended: ReadonlySet<UserHold> | undefined,
  ): Promise<boolean> {
    const { store, time } = this.#options;
    // Some holds may have ended while this node asked SQL. A period that has ended in SQL is left to the next regular claim,
    // which connects the users who are still here anew.
    const batch = candidates.filter((hold) => hold.period > 0 && ended?.has(hold) !== true);
    for (const hold of candidates) if (hold.period > 0 && !batch.includes(hold)) this.#changed.add(hold);
    const claims = batch.map((hold) => hold.claim(time, { mode: 'restate', rev: this.#holds.nextRev() }));
    const answers = await store.claim(claims);
    if (answers.some((answer) => answer.kind === 'no-lease' || answer.kind === 'young')) return false;
    batch.forEach((hold, index) => {
      const answer = answers[index];
      // Another node, or the store itself, knows newer groups.
      if (answer?.kind === 'joined') return hold.restored(claims[index]?.rev ?? 0, answer.groups);
      this.#changed.add(hold);
      // If a call about this user is in progress, its answer counts.
      if (answer?.kind === 'gone' && !hold.locked) hold.missingSince(time.monotonic);
    });
    return true;
  }

  /**
   * The holds whose period is closed in SQL. Undefined: SQL does not answer; then all of them are claimed again (rule PR11).
   * A newer row alone proves nothing, because its opening may have been withdrawn.
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

  /** A failover brought back holds that this node does not know. Their users linger on this node for one timeout. */
  #lingerUnknown(userIds: readonly number[]): void {
    const observed = this.#options.time.now();
    for (const userId of userIds) {
      const hold = this.#holds.of(userId);
      // This node does not know the age of their proofs. The store's own proof counts for the logout time.
      if (hold.period === 0) hold.lingerInDoubt({ observed, monotonic: Number.NEGATIVE_INFINITY });
      else hold.doubt();
      this.#changed.add(hold);
    }
  }
}
