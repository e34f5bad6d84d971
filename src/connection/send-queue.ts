import type { Clock } from '../lib/clock.ts';
import { PRIORITIES, type Priority } from '../protocol/delivery.ts';

/** The outcome of a frame that was given to a connection. */
export type FrameOutcome = 'written' | 'queued' | 'queue-full' | 'closed';

/** How to handle a message if the queue of its connection is full (`LINGXI_OVERFLOW`). */
export type OverflowPolicy = 'drop-newest' | 'drop-oldest' | 'conflate' | 'disconnect';

export interface SendQueueLimits {
  /** Largest number of messages behind the socket, of all priorities together. */
  readonly messages: number;
  /** Largest number of their UTF-8 bytes. */
  readonly bytes: number;
  readonly policy: OverflowPolicy;
}

/** The properties of a message that the queue needs besides its text. All receivers of a message share one object. */
export interface QueueTraits {
  /** Type of the envelope. Under `conflate`, a message without a key replaces a message of the same type in a full queue. */
  readonly type: string;
  /** Under `conflate` the message replaces a queued one with the same key. */
  readonly key: string | undefined;
  readonly priority: Priority;
  /** Monotonic ms after which the message must not be sent; infinite if it does not expire. */
  readonly expiresAt: number;
}

/** The traits of a message whose sender requests nothing special. */
export function plainTraits(type: string): QueueTraits {
  return { type, key: undefined, priority: 'normal', expiresAt: Number.POSITIVE_INFINITY };
}

/** Whether a message has expired. Reads the clock only if the message can expire. */
export function isExpired({ expiresAt }: QueueTraits, clock: Pick<Clock, 'monotonic'>): boolean {
  return expiresAt !== Number.POSITIVE_INFINITY && expiresAt <= clock.monotonic();
}

/**
 * `queued`: the message waits. `full`: the queue did not accept it. `disconnect`: the queue did not accept it, and the connection
 * must be closed as a slow consumer. The numbers count older messages that will not be sent.
 */
export interface Enqueued {
  readonly outcome: 'queued' | 'full' | 'disconnect';
  /** Removed for this one because the queue was full. */
  readonly evicted: number;
  /** Had the same key as this one. */
  readonly replaced: number;
  /** Had expired. */
  readonly expired: number;
}

interface Entry {
  readonly text: string;
  readonly bytes: number;
  readonly traits: QueueTraits;
}

const FULL: Enqueued = { outcome: 'full', evicted: 0, replaced: 0, expired: 0 };
const DISCONNECT: Enqueued = { ...FULL, outcome: 'disconnect' };
const QUEUED: Enqueued = { ...FULL, outcome: 'queued' };

const LEVEL: Readonly<Record<Priority, number>> = { high: 0, normal: 1, low: 2 };

/**
 * The bounded queue behind one slow socket (rule DL3), with a level for each priority. It never removes a message for one of a
 * lower priority.
 */
export class SendQueue {
  readonly #limits: SendQueueLimits;
  readonly #levels: Entry[][] = PRIORITIES.map(() => []);
  #length = 0;
  #bytes = 0;
  /** Number of messages that can expire. */
  #timed = 0;

  constructor(limits: SendQueueLimits) {
    this.#limits = limits;
  }

  get length(): number {
    return this.#length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether a message in the queue can expire. */
  get isTimed(): boolean {
    return this.#timed > 0;
  }

  /** `now` is monotonic ms. */
  push(text: string, traits: QueueTraits, now: number): Enqueued {
    const entry = { text, traits, bytes: Buffer.byteLength(text) };
    const { policy } = this.#limits;
    const isKeyed = policy === 'conflate' && traits.key !== undefined;
    if (!isKeyed && this.#fits(entry.bytes)) {
      this.#append(entry);
      return QUEUED;
    }
    // The message is larger than the whole queue, so removing others would not help.
    if (entry.bytes > this.#limits.bytes) return policy === 'disconnect' ? DISCONNECT : FULL;
    const expired = this.expire(now);
    const predecessor = isKeyed ? this.#withKey(traits.key) : undefined;
    const victims = this.#victims(entry, predecessor);
    if (victims === undefined) return { ...(policy === 'disconnect' ? DISCONNECT : FULL), expired };
    for (const victim of victims) this.#remove(victim);
    this.#append(entry);
    const replaced = predecessor === undefined ? 0 : 1;
    return { outcome: 'queued', evicted: victims.size - replaced, replaced, expired };
  }

  /** The message to send next. It may have expired. */
  shift(): Entry | undefined {
    const first = this.#levels.find((level) => level.length > 0)?.shift();
    if (first !== undefined) this.#forget(first);
    return first;
  }

  /** Removes the messages that have expired by `now`, and returns their number. */
  expire(now: number): number {
    if (this.#timed === 0) return 0;
    const before = this.#length;
    for (const [index, level] of this.#levels.entries()) {
      this.#levels[index] = level.filter((entry) => {
        const mayGo = entry.traits.expiresAt > now;
        if (!mayGo) this.#forget(entry);
        return mayGo;
      });
    }
    return before - this.#length;
  }

  /** Empties the queue and returns the number of lost messages. */
  clear(): number {
    const lost = this.#length;
    for (const level of this.#levels) level.length = 0;
    this.#length = 0;
    this.#bytes = 0;
    this.#timed = 0;
    return lost;
  }

  #fits(bytes: number, freed = NOTHING_FREED): boolean {
    const { messages, bytes: maxBytes } = this.#limits;
    return this.#length - freed.messages < messages && this.#bytes - freed.bytes + bytes <= maxBytes;
  }

  /** The messages to remove for the new one; undefined if there is not enough to remove. */
  #victims(entry: Entry, predecessor: Entry | undefined): ReadonlySet<Entry> | undefined {
    const victims = new Set(predecessor === undefined ? [] : [predecessor]);
    const freed = { messages: victims.size, bytes: predecessor?.bytes ?? 0 };
    if (this.#fits(entry.bytes, freed)) return victims;
    for (const candidate of this.#candidates(entry)) {
      if (victims.has(candidate)) continue;
      victims.add(candidate);
      freed.messages += 1;
      freed.bytes += candidate.bytes;
      if (this.#fits(entry.bytes, freed)) return victims;
    }
    return undefined;
  }

  /** The messages that may be removed for the new one, in the order of removal. */
  *#candidates({ traits }: Entry): Iterable<Entry> {
    const { policy } = this.#limits;
    if (policy === 'disconnect') return;
    const own = LEVEL[traits.priority];
    if (policy === 'conflate' && traits.key === undefined) yield* this.#ofType(traits.type, own);
    for (let level = this.#levels.length - 1; level > own; level -= 1) {
      const entries = this.#levels[level] as readonly Entry[];
      yield* policy === 'drop-oldest' ? entries : entries.toReversed();
    }
    if (policy === 'drop-oldest') yield* this.#levels[own] as readonly Entry[];
  }

  /** The oldest message of each level from `own` on comes first. A message with a key does not match messages by type. */
  *#ofType(type: string, own: number): Iterable<Entry> {
    for (const level of this.#levels.slice(own))
      for (const entry of level)
        if (entry.traits.type === type && entry.traits.key === undefined) yield entry;
  }

  #withKey(key: string | undefined): Entry | undefined {
    for (const level of this.#levels) {
      const found = level.find(({ traits }) => traits.key === key);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #append(entry: Entry): void {
    (this.#levels[LEVEL[entry.traits.priority]] as Entry[]).push(entry);
    this.#length += 1;
    this.#bytes += entry.bytes;
    if (entry.traits.expiresAt !== Number.POSITIVE_INFINITY) this.#timed += 1;
  }

  #remove(entry: Entry): void {
    const level = this.#levels[LEVEL[entry.traits.priority]] as Entry[];
    level.splice(level.indexOf(entry), 1);
    this.#forget(entry);
  }

  #forget(entry: Entry): void {
    this.#length -= 1;
    this.#bytes -= entry.bytes;
    if (entry.traits.expiresAt !== Number.POSITIVE_INFINITY) this.#timed -= 1;
  }
}

const NOTHING_FREED = { messages: 0, bytes: 0 };
