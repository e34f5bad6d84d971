import type { Clock } from '../lib/clock.ts';
import type { HeldUser } from '../presence/api.ts';
import type { UserRow, UsersPage, UsersQuery } from './api.ts';
import { PAGE, type RemoteUsers } from './remote-users.ts';
import { merged, packed, rowOf } from './rows.ts';
import { comparison, FirstRows, matcher } from './selection.ts';

/** The users that this node holds, from its memory. */
export interface OwnUsers {
  all(): Iterable<HeldUser>;
  one(userId: number): HeldUser | undefined;
}

export interface UsersOptions {
  readonly node: string;
  readonly own: OwnUsers;
  readonly remote: RemoteUsers;
  /** Users of nodes that have died. */
  readonly ghosts: () => number;
  readonly clock: Clock;
}

/** The table of the users who are online in the deployment, searched and sorted here. */
export class Users {
  readonly #options: UsersOptions;
  readonly #here: readonly [string];

  constructor(options: UsersOptions) {
    this.#options = options;
    this.#here = [options.node];
  }

  async page(query: UsersQuery): Promise<UsersPage> {
    const { remote, clock } = this.#options;
    const tables = await remote.refresh();
    const { total, matched, rows } = this.#select(query, tables);
    const users = await this.#exact(rows);
    return {
      at: clock.now(),
      total,
      matched,
      offset: query.offset,
      users,
      gap: remote.gap(this.#options.ghosts()),
    };
  }

  /** The answer to another node: a page of the users here, in the order of their ids. */
  pageHere(after: number, limit: number): unknown {
    const { own, clock } = this.#options;
    const first = new FirstRows(comparison({ sort: 'user', order: 'asc' }), limit + 1);
    for (const user of own.all()) if (user.userId > after) first.add(rowOf(user, this.#here));
    const found = first.rows();
    return { rows: this.#pack(found.slice(0, limit), clock.now()), isLast: found.length <= limit };
  }

  /** The same for some users: those who are here. */
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

  #select(
    query: UsersQuery,
    tables: readonly ReadonlyMap<number, UserRow>[],
  ): { readonly total: number; readonly matched: number; readonly rows: readonly UserRow[] } {
    const matches = matcher(query.search);
    const first = new FirstRows(comparison(query), query.offset + query.limit);
    let total = 0;
    let matched = 0;
    for (const row of this.#all(tables)) {
      total += 1;
      if (matches?.(row) === false) continue;
      matched += 1;
      first.add(row);
    }
    return { total, matched, rows: first.rows().slice(query.offset) };
  }

  /** Each user once. */
  *#all(tables: readonly ReadonlyMap<number, UserRow>[]): Iterable<UserRow> {
    const { own } = this.#options;
    for (const user of own.all()) yield joinedWith(rowOf(user, this.#here), tables);
    for (const [index, table] of tables.entries())
      for (const row of table.values()) {
        const isSeen =
          own.one(row.userId) !== undefined || tables.slice(0, index).some((other) => other.has(row.userId));
        if (!isSeen) yield joinedWith(row, tables.slice(index + 1));
      }
  }

  /** The rows that will be shown, as the nodes know them now. Whoever is gone by now is left out. */
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
        // A node that does not answer is shown as it was.
        return present === undefined
          ? [{ ...row, node: holder, nodes: [holder] }]
          : (present.get(row.userId) ?? []);
      });
      const [part, ...others] = parts;
      return part === undefined ? [] : [others.reduce(merged, part)];
    });
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
