import type { RedisLink } from '../redis/link.ts';

/** Entries of the stream of changes. A node that is farther behind reads everything. */
const STREAM_LENGTH = 1000;
/** Largest number of users in the set. Beyond it, the oldest revocations are dropped. */
const MAX_USERS = 100_000;
/** Users in one command. */
const PAGE = 1000;
/** More changes than this at once are one entry, which asks every node to read everything. */
const MAX_SINGLE_CHANGES = 100;
/** The user of that entry. No user id has this form. */
const EVERYBODY = '*';

interface Revocation {
  readonly userId: number;
  readonly at: number;
}

/** One entry of the stream: its id, and names and values in turn. */
type Entry = readonly [string, readonly string[]];

/**
 * Revocations in Redis: a sorted set has the newest one of each user, and a stream has the changes. Every node continues from
 * the entry that it read last. If that entry no longer exists, Redis was wiped, went back in time, or is too far ahead. Then
 * the node reads the whole set. Times only grow (`ZADD GT`), so a call may reach any server.
 */
export class RedisRevocations {
  readonly #link: RedisLink;
  readonly #set: string;
  readonly #stream: string;
  /** Undefined: read the set. Empty: the stream had no entry. */
  #cursor: string | undefined;

  constructor(link: RedisLink) {
    this.#link = link;
    this.#set = `${link.prefix}lingxi:revoked`;
    this.#stream = `${link.prefix}lingxi:revocations`;
  }

  async put(revocations: readonly Revocation[]): Promise<void> {
    const { client } = this.#link;
    const calls: (() => Promise<unknown>)[] = [];
    for (let start = 0; start < revocations.length; start += PAGE) {
      const page = revocations.slice(start, start + PAGE);
      const members = page.flatMap(({ userId, at }) => [at, String(userId)]);
      calls.push(() => client.zadd(this.#set, 'GT', ...members));
    }
    calls.push(() => client.zremrangebyrank(this.#set, 0, -MAX_USERS - 1));
    const changes = revocations.length > MAX_SINGLE_CHANGES ? [{ userId: EVERYBODY, at: 0 }] : revocations;
    // After the set, on the same connection. So a node that reads an entry finds the set complete.
    for (const { userId, at } of changes)
      calls.push(() =>
        client.xadd(this.#stream, 'MAXLEN', '~', STREAM_LENGTH, '*', 'user', userId, 'at', at),
      );
    await Promise.all(calls.map((call) => this.#guarded(call)));
  }

  async read(): Promise<{ readonly revocations: readonly Revocation[]; readonly isAll: boolean }> {
    const { client } = this.#link;
    const cursor = this.#cursor;
    if (cursor === undefined) return this.#readAll();
    const from = cursor === '' ? '-' : cursor;
    const entries: Entry[] = await this.#guarded(() =>
      client.xrange(this.#stream, from, '+', 'COUNT', STREAM_LENGTH),
    );
    const fresh = cursor === '' ? entries : entries.slice(1);
    const isContinued = cursor === '' || entries[0]?.[0] === cursor;
    if (!isContinued || entries.length === STREAM_LENGTH || fresh.some(isForEverybody))
      return this.#readAll();
    this.#cursor = fresh.at(-1)?.[0] ?? cursor;
    return { revocations: fresh.flatMap(([, fields]) => revocation(fields[1], fields[3])), isAll: false };
  }

  async forget(at: number): Promise<void> {
    await this.#guarded(() => this.#link.client.zremrangebyscore(this.#set, '-inf', at));
  }

  /** Wall-clock ms of Redis. */
  async now(): Promise<number> {
    const [seconds] = await this.#guarded(() => this.#link.client.time());
    return Number(seconds) * 1000;
  }

  async #readAll(): Promise<{ readonly revocations: readonly Revocation[]; readonly isAll: true }> {
    const { client } = this.#link;
    this.#cursor = undefined;
    // Reads the end of the stream first. So the node reads changes during the scan once more afterwards.
    const [last]: Entry[] = await this.#guarded(() => client.xrevrange(this.#stream, '+', '-', 'COUNT', 1));
    const revocations: Revocation[] = [];
    let at = '0';
    do {
      const [next, page] = await this.#guarded(() => client.zscan(this.#set, at, 'COUNT', PAGE));
      for (let index = 0; index < page.length; index += 2)
        revocations.push(...revocation(page[index], page[index + 1]));
      at = next;
    } while (at !== '0');
    this.#cursor = last?.[0] ?? '';
    return { revocations, isAll: true };
  }

  /** If another program wrote to our keys, deletes them. The nodes write again what they know. */
  async #guarded<Value>(call: () => Promise<Value>): Promise<Value> {
    const { client } = this.#link;
    try {
      return await this.#link.guarded(call());
    } catch (error) {
      // The next read finds out what the store has.
      this.#cursor = undefined;
      if (error instanceof Error && error.message.startsWith('WRONGTYPE'))
        await this.#link.guarded(client.del(this.#set, this.#stream));
      throw error;
    }
  }
}

function isForEverybody([, fields]: Entry): boolean {
  return fields[1] === EVERYBODY;
}

/** Empty if another program wrote the entry. */
function revocation(user: string | undefined, time: string | undefined): readonly Revocation[] {
  const userId = Number(user);
  const at = Math.trunc(Number(time));
  return user !== '' && Number.isSafeInteger(userId) && userId >= 0 && Number.isSafeInteger(at)
    ? [{ userId, at }]
    : [];
}
