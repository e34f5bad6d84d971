import { USER_STATES, type UserRow, type UsersQuery } from './api.ts';

const MAX_WORDS = 8;

type Test = (row: UserRow) => boolean;
/** A row with its sort key. */
type Ranked = { readonly row: UserRow; readonly key: number | string };

/**
 * The test for a search. Each word of the search must match: digits match the beginning of the id; `node:`, `ip:` and `state:`
 * match that field; anything else matches a part of the name. Undefined: every user matches.
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

const KEYS: Readonly<Record<UsersQuery['sort'], (row: UserRow) => number | string>> = {
  since: ({ since }) => since,
  heartbeat: ({ lastHeartbeat }) => lastHeartbeat,
  user: ({ userId }) => userId,
  name: ({ username }) => username.toLowerCase(),
  node: ({ node }) => node,
  state: ({ state }) => USER_STATES.indexOf(state),
};

/** The part of a query that defines the order. */
export type Window = Pick<UsersQuery, 'sort' | 'order' | 'offset' | 'limit'>;

/**
 * Finds the rows of a window without sorting all rows. It keeps the rows up to the end of the window in a heap, with the last one
 * on top. Each step costs little, however many rows there are. Users with equal sort keys are ordered by id.
 */
export class WindowRows {
  readonly #window: Window;
  readonly #keyOf: (row: UserRow) => number | string;
  readonly #sign: 1 | -1;
  readonly #heap: Ranked[] = [];

  constructor(window: Window) {
    this.#window = window;
    this.#keyOf = KEYS[window.sort];
    this.#sign = window.order === 'asc' ? 1 : -1;
  }

  add(row: UserRow): void {
    const heap = this.#heap;
    const ranked = { row, key: this.#keyOf(row) };
    if (heap.length < this.#window.offset + this.#window.limit) {
      heap.push(ranked);
      this.#rise(heap.length - 1);
    } else if (this.#isBefore(ranked, heap[0] as Ranked)) this.#sink(ranked);
  }

  /** Call once, after the last row. */
  rows(): readonly UserRow[] {
    const found: UserRow[] = [];
    while (this.#heap.length > this.#window.offset) {
      found.push((this.#heap[0] as Ranked).row);
      const last = this.#heap.pop() as Ranked;
      if (this.#heap.length > 0) this.#sink(last);
    }
    return found.reverse();
  }

  #isBefore(left: Ranked, right: Ranked): boolean {
    if (left.key === right.key) return left.row.userId < right.row.userId;
    return left.key < right.key === this.#sign > 0;
  }

  #rise(from: number): void {
    const heap = this.#heap;
    const ranked = heap[from] as Ranked;
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(heap[parent] as Ranked, ranked)) break;
      heap[at] = heap[parent] as Ranked;
      at = parent;
    }
    heap[at] = ranked;
  }

  /** Replaces the top. */
  #sink(ranked: Ranked): void {
    const heap = this.#heap;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      const right = child + 1;
      if (right < heap.length && this.#isBefore(heap[child] as Ranked, heap[right] as Ranked)) child = right;
      if (!this.#isBefore(ranked, heap[child] as Ranked)) break;
      heap[at] = heap[child] as Ranked;
      at = child;
    }
    heap[at] = ranked;
  }
}
