import { sleep } from '../../lib/clock.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import type { GroupNotice } from '../../protocol/groups.ts';
import type { GroupRequest, GroupResult } from '../api.ts';
import { steppedGroups } from '../rules/groups.ts';
import { type GroupAnswer, type GroupChange, MAX_BATCH } from '../store/port.ts';
import type { ChangedHolds } from './changed-holds.ts';
import type { Holds } from './holds.ts';
import type { LeaseCheck } from './lease.ts';
import type { PresenceOptions, StoreCalls } from './options.ts';

/** Number of tries while the store restores. */
const MAX_ATTEMPTS = 30;
const RETRY_MS = 100;

type GroupsOptions = Pick<PresenceOptions, 'clock'> & StoreCalls<'changeGroup'>;

interface GroupsParts {
  readonly holds: Holds;
  readonly changed: ChangedHolds;
  readonly lease: LeaseCheck;
}

/** Changes of groups by the service, and the groups of the users that this node holds (rules GR1 to GR3). */
export class Groups {
  readonly #options: GroupsOptions;
  readonly #parts: GroupsParts;

  constructor(options: GroupsOptions, parts: GroupsParts) {
    this.#options = options;
    this.#parts = parts;
  }

  async change({
    group,
    add,
    remove,
  }: GroupRequest): Promise<Result<readonly GroupResult[], 'presence-unavailable'>> {
    const results: GroupResult[] = [];
    for (const { userIds, isAdded } of [
      { userIds: add, isAdded: true },
      { userIds: remove, isAdded: false },
    ]) {
      for (let at = 0; at < userIds.length; at += MAX_BATCH) {
        const batch = userIds.slice(at, at + MAX_BATCH);
        const answers = await this.#ask({ group, add: isAdded ? batch : [], remove: isAdded ? [] : batch });
        if (answers === undefined) return err('presence-unavailable');
        batch.forEach((userId, index) => {
          const answer = answers[index];
          if (answer === undefined || answer.kind === 'young' || answer.kind === 'no-lease') return;
          results.push({ userId, status: answer.kind });
          if ('step' in answer && answer.step !== undefined)
            this.hear({ userId, group, isAdded, step: answer.step });
        });
      }
    }
    return ok(results);
  }

  /**
   * The service changed the groups of a user, on this node or on another one. If a notice is lost, the answer to the next
   * claim brings the groups.
   */
  hear({ userId, group, isAdded, step }: GroupNotice): void {
    const { holds, changed } = this.#parts;
    const hold = holds.get(userId);
    if (hold === undefined) return;
    if (hold.period !== step.period) {
      // The notice may have overtaken the answer to a login. That answer has the new period but not this change.
      if (hold.locked) changed.claimSoon(hold);
      return;
    }
    const groups = steppedGroups(hold.givenGroups, { group, isAdded, step });
    if (groups === undefined) changed.claimSoon(hold);
    else hold.giveGroups(groups);
  }

  /** Undefined: the store did not accept the change. */
  async #ask(change: GroupChange): Promise<readonly GroupAnswer[] | undefined> {
    const { store, clock } = this.#options;
    const { lease } = this.#parts;
    for (let attempt = 0; attempt < MAX_ATTEMPTS && lease.available; attempt += 1) {
      const answers = await store.changeGroup(change).catch(() => undefined);
      const isTaken = answers?.every(({ kind }) => kind !== 'young' && kind !== 'no-lease') === true;
      if (isTaken) return answers;
      lease.doubt();
      if (answers === undefined) return undefined;
      await sleep(clock, RETRY_MS);
    }
    return undefined;
  }
}
