import { namesIn } from '../../protocol/groups.ts';
import { givenNames } from '../rules/groups.ts';

/** The groups of one user on this node, as texts. */
export interface Membership {
  /** By the service. */
  readonly given: string;
  /** By tokens of connections here. */
  readonly byToken: string;
}

const NOBODY: ReadonlySet<number> = new Set();

/** Users that come and go while a push works through them. Nothing is copied: there may be a great many. */
export class GroupReceivers implements Iterable<number> {
  /** They are no more than this. */
  readonly atMost: number;
  readonly #groups: readonly ReadonlySet<number>[];
  readonly #except: ReadonlySet<number>;

  constructor(groups: readonly ReadonlySet<number>[], except: ReadonlySet<number>) {
    this.#groups = groups;
    this.#except = except;
    this.atMost = groups.reduce((sum, { size }) => sum + size, 0);
  }

  has(userId: number): boolean {
    return !this.#except.has(userId) && this.#groups.some((members) => members.has(userId));
  }

  /** Each once, in the first of the groups that has the user. */
  *[Symbol.iterator](): Generator<number> {
    for (const [place, members] of this.#groups.entries())
      for (const userId of members)
        if (!this.#except.has(userId) && !this.#isEarlier(userId, place)) yield userId;
  }

  #isEarlier(userId: number, place: number): boolean {
    for (let at = 0; at < place; at += 1) if (this.#groups[at]?.has(userId) === true) return true;
    return false;
  }
}

export const NO_MEMBER: Membership = { given: '', byToken: '' };

/**
 * Users that this node holds, by group: the receivers of a push to a group here (rule GR2). It has an entry for each group of
 * each user, of which the store and the tokens allow only so many, and none for a user without groups.
 */
export class GroupMembers {
  readonly #ofGroup = new Map<string, Set<number>>();

  /** The groups of a user are others now. */
  moved(userId: number, before: Membership, after: Membership): void {
    const names = namesOf(after);
    for (const name of namesOf(before)) if (!names.has(name)) this.#leave(name, userId);
    for (const name of names) this.#enter(name, userId);
  }

  /** Members of any of the groups, each once, without those of `except`. */
  of(groups: readonly string[], except: ReadonlySet<number>): GroupReceivers {
    const named = [...new Set(groups)].map((group) => this.#ofGroup.get(group) ?? NOBODY);
    return new GroupReceivers(named, except);
  }

  #enter(name: string, userId: number): void {
    const members = this.#ofGroup.get(name);
    if (members === undefined) this.#ofGroup.set(name, new Set([userId]));
    else members.add(userId);
  }

  #leave(name: string, userId: number): void {
    const members = this.#ofGroup.get(name);
    members?.delete(userId);
    if (members?.size === 0) this.#ofGroup.delete(name);
  }
}

function namesOf({ given, byToken }: Membership): ReadonlySet<string> {
  return new Set([...givenNames(given), ...namesIn(byToken)]);
}
