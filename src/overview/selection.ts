import { USER_STATES, type UserRow, type UsersQuery } from './api.ts';

const MAX_WORDS = 8;

type Test = (row: UserRow) => boolean;
type Compare = (left: UserRow, right: UserRow) => number;

/**
 * What a search asks for. Each of its words must match: digits the beginning of the id, `node:`, `ip:` and `state:` what
 * they name, anything else a part of the name. Undefined: everybody.
 */
export function matcher(search: string): Test | undefined {
  const words = search.split(/\s+/u).filter((word) => word !== '');
  const tests = words.slice(0, MAX_WORDS).map(testOf);
  if (tests.length <= 1) return tests[0];
  return (row) => tests.every((test) => test(row));
}

function testOf(word: string): Test {
  if (/^\d+$/.test(word)) return ({ userId }) => String(userId).startsWith(word);
  const at = word.indexOf(':');
  const wanted = word.slice(at + 1);
  switch (at > 0 ? word.slice(0, at) : '') {
    case 'node':
      return ({ nodes }) => nodes.some((node) => node.startsWith(wanted));
    case 'ip':
      return ({ ip }) => ip.startsWith(wanted);
    case 'state':
      return ({ state }) => state === wanted;
    default: {
      const part = word.toLowerCase();
      return ({ username }) => username.toLowerCase().includes(part);
    }
  }
}

/** The order that a query asks for. Users who are equal in it follow each other by id. */
export function comparison({ sort, order }: Pick<UsersQuery, 'sort' | 'order'>): Compare {
  const compare = COMPARISONS[sort];
  const sign = order === 'asc' ? 1 : -1;
  return (left, right) => sign * compare(left, right) || left.userId - right.userId;
}

const COMPARISONS: Readonly<Record<UsersQuery['sort'], Compare>> = {
  since: (left, right) => left.since - right.since,
  heartbeat: (left, right) => left.lastHeartbeat - right.lastHeartbeat,
  user: (left, right) => left.userId - right.userId,
  name: (left, right) => byText(left.username.toLowerCase(), right.username.toLowerCase()),
  node: (left, right) => byText(left.node, right.node),
  state: (left, right) => USER_STATES.indexOf(left.state) - USER_STATES.indexOf(right.state),
};

function byText(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The first rows in an order, without sorting all of them: those that cannot be among them any more are passed over. */
export class FirstRows {
  readonly #compare: Compare;
  readonly #count: number;
  #kept: UserRow[] = [];
  #last: UserRow | undefined;

  constructor(compare: Compare, count: number) {
    this.#compare = compare;
    this.#count = count;
  }

  add(row: UserRow): void {
    if (this.#last !== undefined && this.#compare(row, this.#last) >= 0) return;
    this.#kept.push(row);
    if (this.#kept.length >= this.#count * 2 + 64) this.#cut();
  }

  rows(): readonly UserRow[] {
    this.#cut();
    return this.#kept;
  }

  #cut(): void {
    this.#kept.sort(this.#compare);
    if (this.#kept.length < this.#count) return;
    this.#kept.length = this.#count;
    this.#last = this.#kept.at(-1);
  }
}
