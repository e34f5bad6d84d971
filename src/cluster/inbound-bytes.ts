import type { RedisLink } from '../redis/link.ts';
import { isForeignValue, removeUnlessStream } from './foreign-keys.ts';

/** The stream keeps at least this many bytes, and more if `LINGXI_INBOUND_LENGTH` allows many entries. */
const MIN_BYTES = 67_108_864;
const BYTES_PER_ENTRY = 640;
/** Approximate size of an entry in Redis, without its type and data. */
const ENTRY_BYTES = 300;
/** Number of marks in the stream of marks. */
const MARKS = 16;

export interface InboundBytesOptions {
  readonly link: RedisLink;
  /** The stream. */
  readonly key: string;
  /** `LINGXI_INBOUND_LENGTH`. */
  readonly length: number;
}

/**
 * Bounds the bytes of `lingxi:inbound`, also those that nodes wrote before they ended. When a node has written a sixteenth of
 * the allowed bytes, it adds a mark to the stream `lingxi:inbound:marks`: the id of its last entry. The node deletes all entries
 * before the oldest of sixteen marks.
 */
export class InboundBytes {
  readonly #options: InboundBytesOptions;
  readonly #marks: string;
  readonly #bytesPerMark: number;
  #bytes = 0;
  #lastId = '';

  constructor(options: InboundBytesOptions) {
    this.#options = options;
    this.#marks = `${options.key}:marks`;
    this.#bytesPerMark = Math.max(MIN_BYTES, options.length * BYTES_PER_ENTRY) / MARKS;
  }

  /** Counts an entry that Redis has under this id. Without an id: Redis may have it. */
  count({ type, data }: { readonly type: string; readonly data: string }, id = this.#lastId): void {
    this.#bytes += ENTRY_BYTES + Buffer.byteLength(type) + Buffer.byteLength(data);
    this.#lastId = id;
  }

  /** Deletes entries beyond the bound. Never rejects: if it fails, it runs again after the next entry. */
  async keep(): Promise<void> {
    if (this.#bytes < this.#bytesPerMark || this.#lastId === '') return;
    const { link } = this.#options;
    try {
      await this.#mark();
    } catch (error) {
      if (isForeignValue(error)) await removeUnlessStream(link, this.#marks).catch(() => {});
    }
  }

  async #mark(): Promise<void> {
    const { link, key } = this.#options;
    // One entry may be worth several marks.
    const due = Math.floor(this.#bytes / this.#bytesPerMark);
    const pipeline = link.client.pipeline();
    for (let mark = 0; mark < Math.min(due, MARKS); mark += 1)
      pipeline.xadd(this.#marks, 'MAXLEN', '=', MARKS, '*', 'upTo', this.#lastId);
    pipeline.xrange(this.#marks, '-', '+');
    const replies = (await link.guarded(pipeline.exec())) ?? [];
    for (const [error] of replies) if (error !== null) throw error;
    this.#bytes -= due * this.#bytesPerMark;
    const marks = replies.at(-1)?.[1] as readonly [id: string, fields: readonly string[]][];
    const [, upTo] = marks[0]?.[1] ?? [];
    if (marks.length < MARKS || upTo === undefined) return;
    await link.guarded(link.client.xtrim(key, 'MINID', '~', upTo, 'LIMIT', 0));
  }
}
