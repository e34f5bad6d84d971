import { type Clock, sleep, type Timer } from '../lib/clock.ts';
import { inBackground } from '../logging/internal-error.ts';
import type { Log } from '../logging/log.ts';
import type { UserRow, UsersGap } from './api.ts';
import { fieldsOf } from './node-counts.ts';
import type { Peers } from './peers.ts';
import { unpacked } from './rows.ts';

/** Number of users in one answer of a node. */
export const PAGE = 500;
/** Largest number of rows of other nodes that this node keeps while a dashboard asks. */
const MAX_ROWS = 200_000;
/** The first query waits this long for all users of all nodes. */
const FILL_MS = 1_000;
/** Time between two pages of a node. */
const PAGE_INTERVAL_MS = 400;
/** After a node gave no answer, it is not called for this time. */
const REST_MS = 1_000;
/** The rows are dropped when no dashboard has asked for this time. */
const IDLE_MS = 30_000;

/** The users of one other node, which sends them page by page. */
interface Table {
  readonly nodes: readonly [string];
  readonly rows: Map<number, UserRow>;
  /** The last user of the last page; -1: the next page is the first. */
  after: number;
  isComplete: boolean;
  isSilent: boolean;
  /** Monotonic time of the next call for a page, at the earliest. */
  askAt: number;
  asking: Promise<void> | undefined;
}

interface RemoteOptions {
  readonly peers: Peers;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The users on other nodes. They come from the nodes and not from the store: each node has its users in memory, with data that no
 * store has, and its answer costs Redis two messages. The tables exist only while a dashboard asks.
 */
export class RemoteUsers {
  readonly #options: RemoteOptions;
  readonly #tables = new Map<string, Table>();
  #askedAt = 0;
  #idle: Timer | undefined;
  #tooMany = false;
  #isFresh = true;

  constructor(options: RemoteOptions) {
    this.#options = options;
  }

  /** The tables, updated as far as that is quick. */
  async refresh(): Promise<readonly ReadonlyMap<number, UserRow>[]> {
    const { peers, clock } = this.#options;
    this.#wake();
    const list = await peers.list();
    this.#isFresh = list.isFresh;
    if (list.isFresh) this.#keepTables(peers.others(list));
    const filling: Promise<void>[] = [];
    for (const [node, table] of this.#tables) {
      if (!list.isFresh || clock.monotonic() < table.askAt) continue;
      const asking = this.#advance(node, table);
      if (!table.isComplete) filling.push(asking);
    }
    if (filling.length > 0) await Promise.race([Promise.all(filling), sleep(clock, FILL_MS)]);
    return [...this.#tables.values()].map(({ rows }) => rows);
  }

  /** What is missing in the tables. Undefined: nothing. */
  gap(orphans: number): UsersGap | undefined {
    const tables = [...this.#tables.values()];
    const silent = tables.filter(({ isSilent }) => isSilent).map(({ nodes }) => nodes[0]);
    const filling = tables
      .filter(({ isComplete, isSilent }) => !isComplete && !isSilent)
      .map(({ nodes }) => nodes[0]);
    const gap = { silent, filling, tooMany: this.#tooMany, presenceUnavailable: !this.#isFresh, orphans };
    const isWhole =
      silent.length === 0 && filling.length === 0 && !gap.tooMany && this.#isFresh && orphans === 0;
    return isWhole ? undefined : gap;
  }

  /** The present state of some rows, from the nodes that hold them. Users who are gone are omitted. */
  async exact(rows: readonly UserRow[]): Promise<ReadonlyMap<string, ReadonlyMap<number, UserRow>>> {
    const { peers } = this.#options;
    const wanted = new Map<string, number[]>();
    for (const { userId, nodes } of rows)
      for (const node of nodes) {
        const table = this.#tables.get(node);
        if (table === undefined || table.isSilent) continue;
        const ofNode = wanted.get(node) ?? [];
        ofNode.push(userId);
        wanted.set(node, ofNode);
      }
    const found = new Map<string, ReadonlyMap<number, UserRow>>();
    await Promise.all(
      [...wanted].map(async ([node, userIds]) => {
        const table = this.#tables.get(node);
        const answer = await peers.ask(node, { dashboard: 'rows', userIds }, (value) =>
          this.#read(value, [node]),
        );
        if (table === undefined || answer === undefined) return;
        const present = new Map(answer.rows.map((row) => [row.userId, row]));
        for (const userId of userIds) {
          const row = present.get(userId);
          if (row === undefined) table.rows.delete(userId);
          else table.rows.set(userId, row);
        }
        found.set(node, present);
      }),
    );
    return found;
  }

  stop(): void {
    this.#idle?.cancel();
    this.#tables.clear();
  }

  #wake(): void {
    const { clock } = this.#options;
    this.#askedAt = clock.monotonic();
    this.#idle ??= clock.after(IDLE_MS, () => this.#rest());
  }

  #rest(): void {
    const { clock } = this.#options;
    const leftMs = this.#askedAt + IDLE_MS - clock.monotonic();
    this.#idle = leftMs > 0 ? clock.after(leftMs, () => this.#rest()) : undefined;
    if (leftMs <= 0) this.#tables.clear();
  }

  /** A dead node holds nobody: its users are on other nodes, or will soon be logged out. */
  #keepTables(others: readonly string[]): void {
    const present = new Set(others);
    for (const node of this.#tables.keys()) if (!present.has(node)) this.#tables.delete(node);
    for (const node of others) {
      if (this.#tables.has(node)) continue;
      const state = { after: -1, isComplete: false, isSilent: false, askAt: 0, asking: undefined };
      this.#tables.set(node, { nodes: [node], rows: new Map(), ...state });
    }
  }

  /** Reads one page of a complete table, or all pages of an incomplete one. */
  #advance(node: string, table: Table): Promise<void> {
    if (table.asking !== undefined) return table.asking;
    const asking = (async () => {
      do await this.#page(node, table);
      while (!table.isComplete && !table.isSilent && this.#tables.get(node) === table);
    })().finally(() => {
      table.asking = undefined;
    });
    table.asking = asking;
    inBackground(this.#options.log, asking);
    return asking;
  }

  async #page(node: string, table: Table): Promise<void> {
    const { peers, clock } = this.#options;
    const { after } = table;
    const call = { dashboard: 'users', after, limit: PAGE };
    const answer = await peers.ask(node, call, (value) => this.#read(value, table.nodes, after));
    table.isSilent = answer === undefined;
    table.askAt = clock.monotonic() + (table.isSilent ? REST_MS : PAGE_INTERVAL_MS);
    if (answer === undefined) return;
    const last = answer.isLast
      ? Number.POSITIVE_INFINITY
      : (answer.rows.at(-1)?.userId ?? Number.POSITIVE_INFINITY);
    const present = new Set(answer.rows.map(({ userId }) => userId));
    for (const userId of table.rows.keys())
      if (userId > after && userId <= last && !present.has(userId)) table.rows.delete(userId);
    let room = MAX_ROWS - [...this.#tables.values()].reduce((sum, { rows }) => sum + rows.size, 0);
    for (const row of answer.rows) {
      if (!table.rows.has(row.userId)) room -= 1;
      if (room >= 0 || table.rows.has(row.userId)) table.rows.set(row.userId, row);
    }
    this.#tooMany = room < 0;
    const isEnd = !Number.isFinite(last);
    table.after = isEnd ? -1 : last;
    if (isEnd || room < 0) table.isComplete = true;
  }

  #read(
    answer: unknown,
    nodes: readonly [string],
    after = -1,
  ): { readonly rows: readonly UserRow[]; readonly isLast: boolean } | undefined {
    const fields = fieldsOf(answer);
    const packedRows = fields?.['rows'];
    if (!Array.isArray(packedRows) || packedRows.length > PAGE) return undefined;
    const now = this.#options.clock.now();
    const rows: UserRow[] = [];
    for (const packedRow of packedRows) {
      const row = unpacked(packedRow, { now, nodes });
      // The ids must rise from page to page. Otherwise the pages of a faulty node might never end.
      if (row === undefined || row.userId <= after) return undefined;
      rows.push(row);
    }
    return { rows, isLast: fields?.['isLast'] === true };
  }
}
