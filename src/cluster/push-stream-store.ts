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
  /** An answer that takes longer than the wait and this is lost, in ms. */
  readonly timeoutMs: number;
}

const GROUP = 'lingxi';
/** How long a read waits in Redis for the next entry. */
const BLOCK_MS = 2000;
/** Entries set aside that are kept for a person to look at, and how much of each. */
const MAX_REJECTED = 1000;
const MAX_REJECTED_CHARACTERS = 10_000;

type RawEntry = readonly [id: string, fields: readonly string[] | null];

/**
 * The stream of pushes in Redis and its one consumer group. The stream holds only entries whose outcome is not known: an
 * entry that is done with is acknowledged and deleted in one step.
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
    // The client never answers what was under way on a connection that ended.
    this.#reader.on('close', () => this.#cut?.());
  }

  /** Entries that nobody has had, awaited for a while. Rejects where the read was cut: look at {@link readOwn} then. */
  async readNew(count: number): Promise<readonly PushEntry[]> {
    const { clock, node, timeoutMs } = this.#options;
    if (this.#reader.status === 'wait') {
      await this.#reader.connect();
      // The node may have begun to drain meanwhile.
      return [];
    }
    // The client would keep the read until it is connected, and Redis would then serve one that nobody awaits any more.
    if (this.#reader.status !== 'ready') throw new Error('the push stream is not connected');
    const cut = new Promise<never>((_resolve, reject) => {
      this.#cut = () => reject(new Error('the read of the push stream was cut'));
    });
    // On a connection that is dead without a word an answer never comes.
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

  /** Ends a pending read. What Redis has given to it meanwhile is among {@link readOwn}. */
  interrupt(): void {
    if (this.#reader.status === 'ready') this.#reader.disconnect(true);
    this.#cut?.();
  }

  /** The oldest entries that this node has had and not acknowledged. */
  async readOwn(count: number): Promise<readonly PushEntry[]> {
    const { link, node } = this.#options;
    const reply = await link.guarded(
      link.client.xreadgroup('GROUP', GROUP, node, 'COUNT', count, 'STREAMS', this.#stream, '0'),
    );
    const { present, deleted } = entriesOf(reply);
    // Somebody has deleted them: nothing is left to do.
    if (deleted.length > 0) await this.acknowledge(deleted);
    return present;
  }

  /**
   * Takes entries over that nobody has shown life of for `idleMs`: their node is dead, frozen or cut off. Undefined where
   * there are none. It may be empty while there are more: others were quicker, or somebody has deleted these.
   */
  async takeOver(idleMs: number, count: number): Promise<readonly PushEntry[] | undefined> {
    const { link, node } = this.#options;
    const idle = await link.guarded(link.client.xpending(this.#stream, GROUP, 'IDLE', idleMs, '-', '+', 1));
    const [first] = idle as [id: string, ...unknown[]][];
    if (first === undefined) return undefined;
    // One call looks at a few entries only. It begins here, behind those that living nodes have in work.
    const reply = (await link.guarded(
      link.client.xautoclaim(this.#stream, GROUP, node, idleMs, first[0], 'COUNT', count),
    )) as [string, (RawEntry | null)[], ...unknown[]];
    return entriesOf([[this.#stream, reply[1].filter((entry) => entry !== null)]]).present;
  }

  /** Shows that these entries are in work: nobody takes them over meanwhile. */
  async keep(ids: readonly string[]): Promise<void> {
    const { link, node } = this.#options;
    await link.guarded(link.client.xclaim(this.#stream, GROUP, node, 0, ...ids, 'JUSTID'));
  }

  /** Rejects where Redis did not answer. A group or a stream that is gone has nothing to acknowledge. */
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

  /** Keeps the beginning of an entry that nobody can read. The entry itself is still to be acknowledged. */
  async setAside({ id, fields }: PushEntry, fault: string): Promise<void> {
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

  /** Deletes the oldest entries beyond `maxLength`. Answers how many these were, and how many entries are left. */
  async trim(maxLength: number): Promise<{ readonly trimmed: number; readonly length: number }> {
    const { link } = this.#options;
    const length = await link.guarded(link.client.xlen(this.#stream));
    if (length <= maxLength) return { trimmed: 0, length };
    const trimmed = await link.guarded(link.client.xtrim(this.#stream, 'MAXLEN', maxLength));
    return { trimmed, length: length - trimmed };
  }

  /** Removes consumers of nodes that are gone: they have nothing and showed no life for `idleMs`. */
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

  /** Makes good what a read was refused for. False where that is not known here. */
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
    // It has got entries at the last moment, and nobody would see them again: the group reads the stream anew.
    if (Number(lost) > 0) await link.guarded(link.client.xgroup('SETID', this.#stream, GROUP, '0'));
  }

  /** From the beginning: what was added before the group existed is delivered too. */
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
