import { err, ok, type Result } from '../../lib/result.ts';
import type { PeriodRow } from '../../protocol/periods.ts';
import type { UserPresence } from '../api.ts';
import { MAX_BATCH, type UserRecord } from '../store/port.ts';
import type { Holds } from './holds.ts';
import type { PresenceOptions, StoreCalls } from './options.ts';

type ReadOptions = Pick<PresenceOptions, 'clock' | 'ledger'> &
  StoreCalls<'read' | 'blockLeftMs' | 'onlinePage'>;

/** Presence for readers: the store's records, with newer proofs of this node, and SQL's rows for users that the store does not know. */
export class Readings {
  readonly #options: ReadOptions;
  readonly #holds: Holds;

  constructor(options: ReadOptions, holds: Holds) {
    this.#options = options;
    this.#holds = holds;
  }

  async read(userIds: readonly number[]): Promise<readonly (UserPresence | undefined)[]> {
    const { ledger } = this.#options;
    const records = await this.records(userIds);
    const unknown = userIds.filter((_, index) => records[index] === undefined);
    // If SQL does not answer, the reader still gets what the store knows.
    const rows =
      unknown.length === 0
        ? new Map<number, PeriodRow>()
        : await ledger.newestPeriods(unknown).catch(() => new Map<number, PeriodRow>());
    return userIds.map((userId, index) => this.#shown(userId, records[index], rows.get(userId)));
  }

  /** One user. If SQL does not answer, it is not known whether the user was ever seen. */
  async find(userId: number): Promise<Result<UserPresence | undefined, 'settlement-unavailable'>> {
    const [record] = await this.records([userId]);
    if (record !== undefined) return ok(this.#shown(userId, record, undefined));
    try {
      const rows = await this.#options.ledger.newestPeriods([userId]);
      return ok(this.#shown(userId, undefined, rows.get(userId)));
    } catch {
      return err('settlement-unavailable');
    }
  }

  async blockedUntil(userId: number): Promise<number | undefined> {
    const { clock, store } = this.#options;
    const leftMs = await store.blockLeftMs(userId);
    return leftMs === 0 ? undefined : Math.round(clock.now() + leftMs);
  }

  /** The store's records without SQL, in the order of `userIds`. */
  async records(userIds: readonly number[]): Promise<readonly (UserRecord | undefined)[]> {
    const records: (UserRecord | undefined)[] = [];
    for (let start = 0; start < userIds.length; start += MAX_BATCH) {
      records.push(...(await this.#options.store.read(userIds.slice(start, start + MAX_BATCH))));
    }
    return records;
  }

  async online(page: {
    readonly limit?: number;
    readonly cursor?: string;
  }): Promise<{ users: readonly UserPresence[]; cursor?: string }> {
    const users: UserPresence[] = [];
    let cursor = page.cursor;
    do {
      const limit = page.limit ?? MAX_BATCH;
      const found = await this.#options.store.onlinePage({ limit, cursor });
      const shown = await this.read(found.userIds);
      for (const user of shown) if (user?.status === 'online') users.push(user);
      cursor = found.cursor;
    } while (page.limit === undefined && cursor !== undefined);
    return cursor === undefined ? { users } : { users, cursor };
  }

  async lastLogout(userId: number): Promise<number | undefined> {
    const [user] = await this.read([userId]);
    return user?.logoutTime;
  }

  #shown(
    userId: number,
    record: UserRecord | undefined,
    row: PeriodRow | undefined,
  ): UserPresence | undefined {
    if (record !== undefined)
      return { ...record, connections: record.sockets, lastHeartbeat: this.#newestProof(record) };
    if (row === undefined) return undefined;
    const { loginAt, lastSeenAt, logoutAt, period } = row;
    const known = {
      userId,
      username: undefined,
      status: 'offline',
      loginTime: loginAt,
      ip: '',
      connections: 0,
      epoch: undefined,
      period,
    } as const;
    return { ...known, lastHeartbeat: lastSeenAt ?? undefined, logoutTime: logoutAt ?? undefined };
  }

  /** This node knows the exact proofs of its own users. Those of the store are up to 5 s old. */
  #newestProof(record: UserRecord): number {
    const hold = this.#holds.get(record.userId);
    if (hold === undefined || record.status === 'offline' || hold.period !== record.period)
      return record.lastHeartbeat;
    const age = this.#options.clock.monotonic() - hold.newestProof().monotonic;
    return Math.max(record.lastHeartbeat, Math.round(this.#options.clock.now() - age));
  }
}
