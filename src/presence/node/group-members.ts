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

/** The receivers of a push to groups. Users may join and leave while the push runs. Nothing is copied: there may be many. */
export class GroupReceivers implements Iterable<number> {
  /** Upper bound of their number. */
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

  /** Gives each user once, with the first group that has the user. */
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
 * The users that this node holds, by group: the receivers of a push to a group on this node (rule GR2). Each user has one
 * entry per group. The store and the tokens limit the groups of a user.
 */
export class GroupMembers {
  readonly #ofGroup = new Map<string, Set<number>>();

  /** The groups of a user changed. */
  moved(userId: number, before: Membership, after: Membership): void {
    const names = namesOf(after);
    for (const name of namesOf(before)) if (!names.has(name)) this.#leave(name, userId);
    for (const name of names) this.#enter(name, userId);
  }

  /** The members of any of the groups, each once, without the users in `except`. */
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
