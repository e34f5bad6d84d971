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

export const NO_MEMBER: Membership = { given: '', byToken: '' };

/**
 * Users that this node holds, by group: whom a push to a group reaches here (rule GR2). It has an entry for each group of
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

  /** Members of any of the groups, each once, without those of `except`. To be read at once: it may go on to change. */
  of(groups: readonly string[], except: ReadonlySet<number>): ReadonlySet<number> {
    const [only] = groups;
    // The usual case, in which there may be a great many.
    if (only !== undefined && groups.length === 1 && except.size === 0)
      return this.#ofGroup.get(only) ?? NOBODY;
    const members = new Set<number>();
    for (const group of groups)
      for (const userId of this.#ofGroup.get(group) ?? []) if (!except.has(userId)) members.add(userId);
    return members;
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
