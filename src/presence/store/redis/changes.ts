import { FEED_START, type PresenceChange, type StoredChange } from '../../api.ts';
import type { StoreConnection } from './store-connection.ts';

type StreamEntry = readonly [id: string, fields: readonly string[]];

const CURSOR = /^[0-9]{1,19}-[0-9]{1,19}$/;
const FIRST = /^0+-0+$/;

/** The streams that the scripts write: everybody's feed, and a timeline a user. */
export class RedisChanges {
  readonly #link: StoreConnection;
  readonly #prefix: string;

  constructor(link: StoreConnection, prefix: string) {
    this.#link = link;
    this.#prefix = prefix;
  }

  /** A cursor is the id of an entry: once that entry was trimmed, or the stream is another one, it is expired. */
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
    // Redis takes no range that ends before the first possible entry.
    if (cursor !== undefined && (!CURSOR.test(cursor) || FIRST.test(cursor))) return undefined;
    const { client } = this.#link;
    const key = `${this.#prefix}lingxi:t:${userId}`;
    const from = cursor === undefined ? '+' : `(${cursor}`;
    const entries = await this.#link.guarded(client.xrevrange(key, from, '-', 'COUNT', limit));
    return entries.map((entry) => toChange(entry, userId));
  }
}

function toChange([cursor, flat]: StreamEntry, userId: number | undefined): StoredChange {
  // A value may look like the name of a field.
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
