import { type Duty, type PendingDuties, periodKey } from '../../../protocol/periods.ts';
import { LOGOUT_REASONS } from '../../../protocol/reasons.ts';
import { MAX_BATCH } from '../port.ts';
import type { ScriptName } from './scripts.ts';
import type { StoreConnection } from './store-connection.ts';
import { DUTY, encoder, type Named, SETTLED, textDecoder } from './wire.ts';

export interface RedisDutiesOptions {
  readonly link: StoreConnection;
  readonly node: string;
  readonly prefix: string;
  readonly now: () => number;
  readonly run: (name: ScriptName, args: readonly (string | number)[]) => Promise<unknown>;
}

const GROUP = 'settlers';
/** After this many takes, reads the duties again that Redis counts as given to this node. A take runs every second, or more often. */
const RECHECK_EVERY = 16;
/** If a node has not acknowledged a duty for this long, another one takes it. To settle twice changes nothing (rule ST2). */
const ABANDONED_AFTER_MS = 10_000;
/** Largest number of dead letters. Their rows stay open in SQL in any case. */
const MAX_ASIDE = 10_000;
const decodeDuty = textDecoder(DUTY);
const encodeSettled = encoder(SETTLED);

export type StreamEntry = readonly [id: string, fields: readonly string[]];

/** The stream of duties, shared by the settlers of all nodes. */
export class RedisDuties {
  readonly #options: RedisDutiesOptions;
  readonly #stream: string;
  readonly #asideKey: string;
  /** Duties that this node has taken and not acknowledged. */
  readonly #inHand = new Set<string>();
  /** The connection on which this node last read all duties given to it. A lost answer or a failover may add some. */
  #readOn: string | undefined;
  #takes = 0;

  constructor(options: RedisDutiesOptions) {
    this.#options = options;
    this.#stream = `${options.prefix}lingxi:duties`;
    this.#asideKey = `${options.prefix}lingxi:aside`;
  }

  async take(limit: number): Promise<readonly Duty[]> {
    try {
      return await this.#take(limit);
    } catch (error) {
      this.#readOn = undefined;
      if (!(error instanceof Error && error.message.startsWith('NOGROUP'))) throw error;
      await this.#createGroup();
      return this.#take(limit);
    }
  }

  async acknowledge(duties: readonly Duty[]): Promise<void> {
    for (let start = 0; start < duties.length; start += MAX_BATCH) {
      const batch = duties.slice(start, start + MAX_BATCH);
      await this.#forget(batch);
      for (const { id } of batch) this.#inHand.delete(id);
    }
  }

  async setAside(duty: Duty, error: string): Promise<void> {
    const { link } = this.#options;
    await this.#ownAside();
    if ((await link.guarded(link.client.hlen(this.#asideKey))) < MAX_ASIDE) {
      await link.guarded(
        link.client.hset(this.#asideKey, periodKey(duty), JSON.stringify({ ...duty, error })),
      );
    }
    await this.acknowledge([duty]);
  }

  async aside(
    rows: readonly { readonly userId: number; readonly period: number }[],
  ): Promise<readonly boolean[]> {
    if (rows.length === 0) return [];
    const { link } = this.#options;
    await this.#ownAside();
    const found = await link.guarded(link.client.hmget(this.#asideKey, ...rows.map(periodKey)));
    return found.map((value) => value !== null);
  }

  async pending(): Promise<PendingDuties> {
    const { link, now } = this.#options;
    const [count, setAside] = await Promise.all([
      link.guarded(link.client.xlen(this.#stream)),
      // A value of another program under this key has no dead letters.
      link.guarded(link.client.hlen(this.#asideKey)).catch(() => 0),
    ]);
    if (count === 0) return { count, oldestAgeMs: 0, setAside };
    const [oldest] = await link.guarded(link.client.xrange(this.#stream, '-', '+', 'COUNT', 1));
    const since = Number(oldest?.[0].split('-')[0] ?? now());
    return { count, oldestAgeMs: Math.max(0, now() - since), setAside };
  }

  async #take(limit: number): Promise<readonly Duty[]> {
    const { connectionName } = this.#options.link;
    this.#takes += 1;
    // A call of an older connection may have taken duties after that.
    const isRead = this.#readOn === connectionName && this.#takes % RECHECK_EVERY !== 0;
    const entries = isRead ? [] : await this.#read('0', limit + this.#inHand.size);
    this.#readOn = connectionName;
    entries.push(...(await this.#read('>', limit)));
    if (entries.length < limit) entries.push(...(await this.#abandoned(limit - entries.length)));
    const duties: Duty[] = [];
    for (const entry of entries) {
      if (this.#inHand.has(entry[0])) continue;
      const duty = toDuty(entry);
      if (duty === undefined) await this.#discard(entry);
      else duties.push(duty);
    }
    for (const { id } of duties) this.#inHand.add(id);
    return duties;
  }

  /** New duties (`>`), or those that this node was given and has not acknowledged (`0`). */
  async #read(from: '0' | '>', limit: number): Promise<StreamEntry[]> {
    const { link, node } = this.#options;
    const reply = (await link.guarded(
      link.client.xreadgroup('GROUP', GROUP, node, 'COUNT', limit, 'STREAMS', this.#stream, from),
    )) as [string, (StreamEntry | readonly [string, null])[]][] | null;
    return (reply?.[0]?.[1] ?? []).filter((entry): entry is StreamEntry => entry[1] !== null);
  }

  /** Removes a value of another program under the key of the dead letters. It would stop settlements and the reconciler for good. */
  async #ownAside(): Promise<void> {
    const { link, prefix } = this.#options;
    const type = await link.guarded(link.client.type(this.#asideKey));
    if (type === 'hash' || type === 'none') return;
    await link.guarded(link.client.rpush(`${prefix}lingxi:foreign`, this.#asideKey));
    await link.guarded(link.client.del(this.#asideKey));
  }

  /** Nobody can settle an entry that is no duty. Keeps it with the dead letters, and notes it like every foreign value. */
  async #discard([id, fields]: StreamEntry): Promise<void> {
    const { link, prefix } = this.#options;
    await this.#ownAside();
    if ((await link.guarded(link.client.hlen(this.#asideKey))) < MAX_ASIDE)
      await link.guarded(link.client.hset(this.#asideKey, `foreign:${id}`, JSON.stringify(fields)));
    await link.guarded(link.client.rpush(`${prefix}lingxi:foreign`, this.#stream));
    await this.#forget([{ id, userId: 0, period: 0 }]);
  }

  async #forget(settled: readonly Named<typeof SETTLED>[]): Promise<void> {
    await this.#options.run('acknowledge', [JSON.stringify(settled.map(encodeSettled))]);
  }

  async #abandoned(limit: number): Promise<readonly StreamEntry[]> {
    const { link, node } = this.#options;
    const reply = (await link.guarded(
      link.client.xautoclaim(this.#stream, GROUP, node, ABANDONED_AFTER_MS, '0-0', 'COUNT', limit),
    )) as [string, (StreamEntry | null)[], ...unknown[]];
    return reply[1].filter((entry): entry is StreamEntry => entry?.[1] != null);
  }

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

/** Undefined if a part is missing or is no number. */
export function toDuty([id, [name, value = '']]: StreamEntry): Duty | undefined {
  const duty = decodeDuty(value);
  const reason = LOGOUT_REASONS.find((known) => known === duty.reason);
  const isWhole = Object.values(duty).every((part) => typeof part === 'string' || Number.isSafeInteger(part));
  return name === 'd' && reason !== undefined && isWhole ? { id, ...duty, reason } : undefined;
}
