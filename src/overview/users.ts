import type { Clock } from '../lib/clock.ts';
import type { HeldUser } from '../presence/api.ts';
import type { UserRow, UsersPage, UsersQuery } from './api.ts';
import { PAGE, type RemoteUsers } from './remote-users.ts';
import { merged, packed, rowOf } from './rows.ts';
import { matcher, WindowRows } from './selection.ts';
import { SharedAnswers } from './shared-answers.ts';
import { Turns } from './turns.ts';

/** Largest number of different queries in progress. */
const MAX_ASKED = 32;

/** The users that this node holds, from its memory. */
export interface OwnUsers {
  all(): Iterable<HeldUser>;
  count(): number;
  one(userId: number): HeldUser | undefined;
}

export interface UsersOptions {
  readonly node: string;
  readonly own: OwnUsers;
  readonly remote: RemoteUsers;
  /** Users on dead nodes. */
  readonly orphans: () => number;
  /** The name of a user if no node knows a name. */
  readonly defaultName: (userId: number) => string;
  readonly clock: Clock;
}

/** The table of the online users of the deployment. The search and the sorting happen here. */
export class Users {
  readonly #options: UsersOptions;
  readonly #here: readonly [string];
  readonly #turns: Turns;
  readonly #answers: SharedAnswers<UsersPage>;

  constructor(options: UsersOptions) {
    this.#options = options;
    this.#here = [options.node];
    this.#turns = new Turns(options.clock);
    this.#answers = new SharedAnswers({ clock: options.clock, maxAsked: MAX_ASKED });
  }

  /** Undefined: too many different queries are in progress. */
  page(query: UsersQuery): Promise<UsersPage | undefined> {
    const { search, sort, order, offset, limit } = query;
    return this.#answers.ask(JSON.stringify([search, sort, order, offset, limit]), () => this.#page(query));
  }

  async #page(query: UsersQuery): Promise<UsersPage> {
    const { remote, clock } = this.#options;
    const tables = await remote.refresh();
    const { total, matched, rows } = await this.#turns.run(() => this.#select(query, tables));
    const users = await this.#exact(rows);
    return {
      at: clock.now(),
      total,
      matched,
      offset: query.offset,
      users,
      gap: remote.gap(this.#options.orphans()),
    };
  }

  /** The answer to another node: a page of the users here, ordered by id. */
  pageHere(after: number, limit: number): unknown {
    const { own, clock } = this.#options;
    const first = new WindowRows({ sort: 'user', order: 'asc', offset: 0, limit: limit + 1 });
    for (const user of own.all()) if (user.userId > after) first.add(rowOf(user, this.#here));
    const found = first.rows();
    return { rows: this.#pack(found.slice(0, limit), clock.now()), isLast: found.length <= limit };
  }

  /** The rows of these users, without users who are not here. */
  rowsHere(userIds: readonly number[]): unknown {
    const { own, clock } = this.#options;
    const now = clock.now();
    const rows = userIds.slice(0, PAGE).flatMap((userId) => own.one(userId) ?? []);
    return { rows: rows.map((user) => packed(user, now)), isLast: true };
  }

  #pack(rows: readonly UserRow[], now: number): unknown {
    const { own } = this.#options;
    return rows.flatMap(({ userId }) => {
      const user = own.one(userId);
      return user === undefined ? [] : [packed(user, now)];
    });
  }

  *#select(
    query: UsersQuery,
    tables: readonly ReadonlyMap<number, UserRow>[],
  ): Generator<
    undefined,
    { readonly total: number; readonly matched: number; readonly rows: readonly UserRow[] }
  > {
    const most = tables.reduce((sum, { size }) => sum + size, this.#options.own.count());
    const matches = matcher(query.search);
    const isEmpty = query.offset >= most;
    if (isEmpty && tables.length === 0 && matches === undefined)
      return { total: most, matched: most, rows: [] };
    const window = new WindowRows(query);
    let total = 0;
    let matched = 0;
    for (const found of this.#all(tables)) {
      yield;
      if (found === undefined) continue;
      const row = this.#named(found);
      total += 1;
      if (matches?.(row) === false) continue;
      matched += 1;
      if (!isEmpty) window.add(row);
    }
    return { total, matched, rows: window.rows() };
  }

  /** Visits each user once, even if users come, go or change nodes between two steps. Undefined: a step without a user. */
  *#all(tables: readonly ReadonlyMap<number, UserRow>[]): Iterable<UserRow | undefined> {
    const seen = new Set<number>();
    const isNew = (userId: number): boolean => seen.size < seen.add(userId).size;
    for (const user of this.#options.own.all())
      yield isNew(user.userId) ? joinedWith(rowOf(user, this.#here), tables) : undefined;
    for (const [index, table] of tables.entries())
      for (const row of table.values())
        yield isNew(row.userId) ? joinedWith(row, tables.slice(index + 1)) : undefined;
  }

  /** The rows to show, with the present data of their nodes. Omits users who went offline meanwhile. */
  async #exact(rows: readonly UserRow[]): Promise<readonly UserRow[]> {
    const { node, remote, own } = this.#options;
    if (rows.every(({ nodes }) => nodes.length === 1 && nodes[0] === node)) return rows;
    const found = await remote.exact(rows);
    return rows.flatMap((row) => {
      const parts = row.nodes.flatMap((holder) => {
        if (holder === node) {
          const user = own.one(row.userId);
          return user === undefined ? [] : [rowOf(user, this.#here)];
        }
        const present = found.get(holder);
        // If a node does not answer, its old rows are shown.
        return present === undefined
          ? [{ ...row, node: holder, nodes: [holder] }]
          : (present.get(row.userId) ?? []);
      });
      const [part, ...others] = parts;
      return part === undefined ? [] : [this.#named(others.reduce(merged, part))];
    });
  }

  /** Only after the join of all parts of a row, because another node may know the name. */
  #named(row: UserRow): UserRow {
    return row.username === '' ? { ...row, username: this.#options.defaultName(row.userId) } : row;
  }
}

function joinedWith(row: UserRow, tables: readonly ReadonlyMap<number, UserRow>[]): UserRow {
  let joined = row;
  for (const table of tables) {
    const other = table.get(row.userId);
    if (other !== undefined) joined = merged(joined, other);
  }
  return joined;
}
