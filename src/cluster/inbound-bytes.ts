import type { RedisLink } from '../redis/link.ts';
import { isForeignValue, removeUnlessStream } from './foreign-keys.ts';

/** Bytes that the stream of messages from clients keeps. A length that asks for more entries asks for more bytes too. */
const MIN_BYTES = 67_108_864;
const BYTES_PER_ENTRY = 640;
/** What an entry takes in Redis beside its type and its data, about. */
const ENTRY_BYTES = 300;
/** Marks that stand in the stream at once. Between two of them lies what one node wrote. */
const MARKS = 16;

export interface InboundBytesOptions {
  readonly link: RedisLink;
  /** The stream. */
  readonly key: string;
  /** `LINGXI_INBOUND_LENGTH`. */
  readonly length: number;
}

/**
 * Bounds the bytes of `lingxi:inbound`, also those of nodes that have ended. Whenever a node has written a
 * sixteenth of what is allowed, it leaves a mark, the id of its last entry, in the stream `lingxi:inbound:marks`. All
 * before the oldest of sixteen marks is deleted.
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

  /** An entry that Redis has taken under this id; without one, if Redis may have taken it. */
  count({ type, data }: { readonly type: string; readonly data: string }, id = this.#lastId): void {
    this.#bytes += ENTRY_BYTES + Buffer.byteLength(type) + Buffer.byteLength(data);
    this.#lastId = id;
  }

  /** Deletes what is too much. Never rejects: what Redis does not do now is done after the next entry. */
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
