import type { Clock } from '../lib/clock.ts';
import type { RedisLink } from '../redis/link.ts';
import { isForeignValue, removeUnlessStream } from './foreign-keys.ts';

/** One entry of the stream: names and values in turn. */
export interface PushEntry {
  readonly id: string;
  readonly fields: readonly string[];
}

export interface PushStreamStoreOptions {
  readonly link: RedisLink;
  readonly clock: Pick<Clock, 'every'>;
  /** This incarnation: the name of its consumer. */
  readonly node: string;
  /** An answer that takes longer than the wait plus this time, in ms, counts as lost. */
  readonly timeoutMs: number;
}

const GROUP = 'lingxi';
/** How long a read waits in Redis for the next entry. */
const BLOCK_MS = 2000;
/** Largest number of rejected entries that are kept for an operator, and the characters kept of each. */
const MAX_REJECTED = 1000;
const MAX_REJECTED_CHARACTERS = 10_000;

type RawEntry = readonly [id: string, fields: readonly string[] | null];

/**
 * The stream of pushes in Redis and its one consumer group. The stream has only entries whose outcome is not known. A finished
 * entry is acknowledged and deleted in one step.
 */
export class PushStreamStore {
  readonly #options: PushStreamStoreOptions;
  readonly #stream: string;
  readonly #rejected: string;
  /** A connection of its own, because a read waits in Redis. */
  readonly #reader: ReturnType<RedisLink['subscriber']>;
  /** Ends the pending read. */
  #cut: (() => void) | undefined;

  constructor(options: PushStreamStoreOptions) {
    const { link } = options;
    this.#options = options;
    this.#stream = `${link.prefix}lingxi:push:stream`;
    this.#rejected = `${link.prefix}lingxi:push:rejected`;
    this.#reader = link.subscriber();
    // If a connection ends, the client never settles the calls in progress on it.
    this.#reader.on('close', () => this.#cut?.());
  }

  /** New entries. Waits a while for them. If it rejects because the read was cut, call {@link readOwn}. */
  async readNew(count: number): Promise<readonly PushEntry[]> {
    const { clock, node, timeoutMs } = this.#options;
    if (this.#reader.status === 'wait') {
      await this.#reader.connect();
      // The node may have begun to drain meanwhile.
      return [];
    }
    // Otherwise the client would keep this read until it is connected, and send it when nobody waits for it any more.
    if (this.#reader.status !== 'ready') throw new Error('the push stream is not connected');
    const cut = new Promise<never>((_resolve, reject) => {
      this.#cut = () => reject(new Error('the read of the push stream was cut'));
    });
    // If the connection is half-open, no answer ever comes.
    const watch = clock.every(BLOCK_MS + timeoutMs, () => this.interrupt());
    try {
      const read = this.#reader.xreadgroup(
        ...(['GROUP', GROUP, node, 'COUNT', count, 'BLOCK', BLOCK_MS, 'STREAMS', this.#stream, '>'] as const),
      );
      const { present } = entriesOf(await Promise.race([read, cut]));
      return present;
    } finally {
      watch.cancel();
      this.#cut = undefined;
    }
  }

  /** Ends a pending read. {@link readOwn} has the entries that Redis gave to it. */
  interrupt(): void {
    if (this.#reader.status === 'ready') this.#reader.disconnect(true);
    this.#cut?.();
  }

  /** The oldest entries that Redis gave to this node and that it has not acknowledged. */
  async readOwn(count: number): Promise<readonly PushEntry[]> {
    const { link, node } = this.#options;
    const reply = await link.guarded(
      link.client.xreadgroup('GROUP', GROUP, node, 'COUNT', count, 'STREAMS', this.#stream, '0'),
    );
    const { present, deleted } = entriesOf(reply);
    // Somebody has deleted these entries, so there is nothing to deliver.
    if (deleted.length > 0) await this.acknowledge(deleted);
    return present;
  }

  /**
   * Takes entries over that nobody has shown life of for `idleMs`: their node is dead, frozen or cut off. Undefined if
   * there are none. It may be empty while there are more: others were quicker, or somebody has deleted these.
   */
  async takeOver(idleMs: number, count: number): Promise<readonly PushEntry[] | undefined> {
    const { link, node } = this.#options;
    const idle = await link.guarded(link.client.xpending(this.#stream, GROUP, 'IDLE', idleMs, '-', '+', 1));
    const [first] = idle as [id: string, ...unknown[]][];
    if (first === undefined) return undefined;
    // One call looks at a few entries only. So it begins at the first idle one, behind those that living nodes deliver.
    const reply = (await link.guarded(
      link.client.xautoclaim(this.#stream, GROUP, node, idleMs, first[0], 'COUNT', count),
    )) as [string, (RawEntry | null)[], ...unknown[]];
    return entriesOf([[this.#stream, reply[1].filter((entry) => entry !== null)]]).present;
  }

  /** Shows that this node works on these entries, so that no other node takes them over. */
  async keep(ids: readonly string[]): Promise<void> {
    const { link, node } = this.#options;
    await link.guarded(link.client.xclaim(this.#stream, GROUP, node, 0, ...ids, 'JUSTID'));
  }

  /** Rejects if Redis did not answer. If the group or the stream no longer exists, there is nothing to acknowledge. */
  async acknowledge(ids: readonly string[]): Promise<void> {
    const { link } = this.#options;
    await link.guarded(
      link.client
        .multi()
        .xack(this.#stream, GROUP, ...ids)
        .xdel(this.#stream, ...ids)
        .exec(),
    );
  }

  /** Copies the beginning of an unreadable entry to the stream of rejected ones. The caller acknowledges the entry. */
  async reject({ id, fields }: PushEntry, fault: string): Promise<void> {
    const { link } = this.#options;
    const content = JSON.stringify(fields.map((text) => text.slice(0, MAX_REJECTED_CHARACTERS)));
    const values = ['id', id, 'field', fault, 'fields', content.slice(0, MAX_REJECTED_CHARACTERS)];
    const add = (): Promise<unknown> =>
      link.guarded(link.client.xadd(this.#rejected, 'MAXLEN', '~', MAX_REJECTED, '*', ...values));
    await add().catch(async (error: unknown) => {
      if (!isForeignValue(error)) throw error;
      await removeUnlessStream(link, this.#rejected);
      await add();
    });
  }

  /** Deletes the oldest entries beyond `maxLength`. Returns their number, and the number of entries left. */
  async trim(maxLength: number): Promise<{ readonly trimmed: number; readonly length: number }> {
    const { link } = this.#options;
    const length = await link.guarded(link.client.xlen(this.#stream));
    if (length <= maxLength) return { trimmed: 0, length };
    const trimmed = await link.guarded(link.client.xtrim(this.#stream, 'MAXLEN', maxLength));
    return { trimmed, length: length - trimmed };
  }

  /** Removes the consumers of ended nodes: those without entries that showed no life for `idleMs`. */
  async forgetDead(idleMs: number): Promise<void> {
    const { link, node } = this.#options;
    const reply = (await link.guarded(link.client.xinfo('CONSUMERS', this.#stream, GROUP))) as unknown[][];
    for (const consumer of reply) {
      const name = String(valueOf(consumer, 'name'));
      const isDead =
        Number(valueOf(consumer, 'pending')) === 0 && Number(valueOf(consumer, 'idle')) >= idleMs;
      if (isDead && name !== node) await this.#forget(name);
    }
  }

  /** Removes the consumer of this node, if it has acknowledged everything. Otherwise the others take its entries over. */
  async leave(): Promise<void> {
    const { link, node } = this.#options;
    const left = await link.guarded(link.client.xpending(this.#stream, GROUP, '-', '+', 1, node));
    if (left.length === 0) await this.#forget(node);
  }

  /** Repairs the cause of a refused read: a foreign value, or a missing group. False: another cause. */
  async mend(error: unknown): Promise<boolean> {
    if (isForeignValue(error)) {
      await removeUnlessStream(this.#options.link, this.#stream);
      return true;
    }
    if (!(error instanceof Error) || !error.message.includes('NOGROUP')) return false;
    await this.#createGroup();
    return true;
  }

  async #forget(consumer: string): Promise<void> {
    const { link } = this.#options;
    const lost = await link.guarded(link.client.xgroup('DELCONSUMER', this.#stream, GROUP, consumer));
    // The consumer got entries at the last moment, and no read would return them. So the group reads the stream from its start.
    if (Number(lost) > 0) await link.guarded(link.client.xgroup('SETID', this.#stream, GROUP, '0'));
  }

  /** The group begins with the first entry, so that entries from before its creation are delivered too. */
  async #createGroup(): Promise<void> {
    const { link } = this.#options;
    try {
      await link.guarded(link.client.xgroup('CREATE', this.#stream, GROUP, '0', 'MKSTREAM'));
    } catch (error) {
      // Another node was first.
      if (!(error instanceof Error && error.message.startsWith('BUSYGROUP'))) throw error;
    }
  }
}

function entriesOf(reply: unknown): {
  readonly present: readonly PushEntry[];
  readonly deleted: readonly string[];
} {
  const raw = (reply as [string, RawEntry[]][] | null)?.[0]?.[1] ?? [];
  return {
    present: raw.flatMap(([id, fields]) => (fields === null ? [] : [{ id, fields }])),
    deleted: raw.filter(([, fields]) => fields === null).map(([id]) => id),
  };
}

/** Redis answers a record as names and values in turn. */
function valueOf(record: readonly unknown[], name: string): unknown {
  return record[record.indexOf(name) + 1];
}
