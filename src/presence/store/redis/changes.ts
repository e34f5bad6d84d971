import { FEED_START, type PresenceChange, type StoredChange } from '../../api.ts';
import type { StoreConnection } from './store-connection.ts';
import { ENTRY, textDecoder } from './wire.ts';

type StreamEntry = readonly [id: string, fields: readonly string[]];

const CURSOR = /^[0-9]{1,19}-[0-9]{1,19}$/;
const FIRST = /^0+-0+$/;
/**
 * The second part of a cursor for an entry of the list. An earlier version kept the timeline as a stream; entries of the stream
 * from the same millisecond are older. No id in the stream reaches this number.
 */
const AFTER_STREAM = '9999999999999999999';
const decodeEntry = textDecoder(ENTRY);

/** Reads the changes that the scripts write: the feed of all users, which is a stream, and the timeline of each user, a list. */
export class RedisChanges {
  readonly #link: StoreConnection;
  readonly #prefix: string;

  constructor(link: StoreConnection, prefix: string) {
    this.#link = link;
    this.#prefix = prefix;
  }

  /** A cursor is the id of an entry. It has expired if that entry was trimmed or the stream is another one. */
  async feed(page: {
    readonly cursor: string;
    readonly limit: number;
  }): Promise<readonly StoredChange[] | undefined> {
    const { cursor, limit } = page;
    if (!CURSOR.test(cursor)) return undefined;
    const { client } = this.#link;
    const key = `${this.#prefix}lingxi:feed`;
    const entries = await this.#link.guarded(client.xrange(key, cursor, '+', 'COUNT', limit + 1));
    if (cursor === FEED_START) return entries.slice(0, limit).map((entry) => toChange(entry, undefined));
    const [first, ...rest] = entries;
    return first?.[0] === cursor ? rest.map((entry) => toChange(entry, undefined)) : undefined;
  }

  async timeline(
    userId: number,
    page: { readonly cursor: string | undefined; readonly limit: number },
  ): Promise<readonly StoredChange[] | undefined> {
    const { cursor, limit } = page;
    // Redis refuses a range that ends before the first possible entry.
    if (cursor !== undefined && (!CURSOR.test(cursor) || FIRST.test(cursor))) return undefined;
    const { client } = this.#link;
    const from = cursor === undefined ? '+' : `(${cursor}`;
    const [texts, entries] = await Promise.all([
      this.#read(client.lrange(`${this.#prefix}lingxi:tl:${userId}`, 0, -1)),
      // Nodes of an earlier version wrote these entries, and still write them during a deploy. The key expires.
      this.#read(client.xrevrange(`${this.#prefix}lingxi:t:${userId}`, from, '-', 'COUNT', limit)),
    ]);
    const listed = texts
      .flatMap((text) => listedChange(text, userId))
      .filter((change) => cursor === undefined || isBefore(change.cursor, cursor));
    const streamed = entries.map((entry) => toChange(entry, userId));
    return newestFirst(listed, streamed).slice(0, limit);
  }

  /** Empty if another program put another type under the key. The next change replaces that. */
  async #read<Item>(command: Promise<readonly Item[]>): Promise<readonly Item[]> {
    try {
      return await this.#link.guarded(command);
    } catch (error) {
      if (error instanceof Error && error.message.startsWith('WRONGTYPE')) return [];
      throw error;
    }
  }
}

/** Joins two lists, each newest first. */
function newestFirst(
  listed: readonly StoredChange[],
  streamed: readonly StoredChange[],
): readonly StoredChange[] {
  if (streamed.length === 0) return listed;
  return [...listed, ...streamed].sort((left, right) => (isBefore(left.cursor, right.cursor) ? 1 : -1));
}

function isBefore(cursor: string, other: string): boolean {
  const [ms = 0n, place = 0n] = cursor.split('-').map(BigInt);
  const [otherMs = 0n, otherPlace = 0n] = other.split('-').map(BigInt);
  return ms === otherMs ? place < otherPlace : ms < otherMs;
}

/** Empty if another program wrote the entry. */
function listedChange(text: string, userId: number): readonly StoredChange[] {
  const { id, atBefore, event, cause, node, epochBefore, note } = decodeEntry(text);
  const [at, epoch] = [id - atBefore, id - epochBefore];
  if (![id, at, epoch].every((number) => Number.isSafeInteger(number) && number >= 0)) return [];
  const change = {
    ...{ cursor: `${id}-${AFTER_STREAM}`, userId, at, event: event as PresenceChange['event'], cause },
    ...(note === '' ? {} : { note }),
    ...{ node, epoch, period: Number.NaN },
  };
  return [change];
}

function toChange([cursor, flat]: StreamEntry, userId: number | undefined): StoredChange {
  // A value may equal the name of a field, so this looks at the names only.
  const field = (name: string): string => {
    for (let index = 0; index + 1 < flat.length; index += 2)
      if (flat[index] === name) return flat[index + 1] ?? '';
    return '';
  };
  const note = field('r');
  return {
    cursor,
    userId: userId ?? Number(field('u')),
    at: Number(field('a')),
    event: field('t') as PresenceChange['event'],
    cause: field('c'),
    ...(note === '' ? {} : { note }),
    node: field('n'),
    epoch: Number(field('e')),
    period: Number(field('p')),
  };
}
