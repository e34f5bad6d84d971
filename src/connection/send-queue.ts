import type { Clock } from '../lib/clock.ts';
import { PRIORITIES, type Priority } from '../protocol/delivery.ts';

/** What became of a frame that was given to a connection. */
export type FrameOutcome = 'written' | 'queued' | 'queue-full' | 'closed';

/** What to do with a message that finds the queue of its connection full (`LINGXI_OVERFLOW`). */
export type OverflowPolicy = 'drop-newest' | 'drop-oldest' | 'conflate' | 'disconnect';

export interface SendQueueLimits {
  /** Messages behind the socket, at most; of all priorities together. */
  readonly messages: number;
  /** Their UTF-8 bytes, at most. */
  readonly bytes: number;
  readonly policy: OverflowPolicy;
}

/** What a queue must know of a message beside its text. One object serves all receivers of the message. */
export interface QueueTraits {
  /** The envelope's type: under `conflate` a full queue replaces a message without a key by one of its type. */
  readonly type: string;
  /** Under `conflate` the message replaces a queued one with the same key. */
  readonly key: string | undefined;
  readonly priority: Priority;
  /** Monotonic ms after which it is not to be sent; infinite where it has no end. */
  readonly expiresAt: number;
}

/** The traits of a message whose sender asks for nothing special. */
export function plainTraits(type: string): QueueTraits {
  return { type, key: undefined, priority: 'normal', expiresAt: Number.POSITIVE_INFINITY };
}

/** Whether a message is not to be sent any more. The clock is not read for one without an end. */
export function isExpired({ expiresAt }: QueueTraits, clock: Pick<Clock, 'monotonic'>): boolean {
  return expiresAt !== Number.POSITIVE_INFINITY && expiresAt <= clock.monotonic();
}

/**
 * `queued`: the message waits. `full`: it was not taken. `disconnect`: it was not taken and the connection must be
 * closed as a slow consumer. The numbers count older messages that will not be sent.
 */
export interface Enqueued {
  readonly outcome: 'queued' | 'full' | 'disconnect';
  /** Gave way to this one because the queue was full. */
  readonly evicted: number;
  /** Had the key of this one. */
  readonly replaced: number;
  /** Had run out of time. */
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

const LANE: Readonly<Record<Priority, number>> = { high: 0, normal: 1, low: 2 };

/**
 * The bounded queue behind one slow socket (rule DL3), with a lane for each priority. A message never gives way to one of
 * a lower priority.
 */
export class SendQueue {
  readonly #limits: SendQueueLimits;
  readonly #lanes: Entry[][] = PRIORITIES.map(() => []);
  #length = 0;
  #bytes = 0;
  /** Those that can expire. */
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

  /** Whether a message in it can run out of time. */
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
    // Larger than the whole queue: nothing that gives way would help.
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

  /** The next one to be sent. It may have run out of time. */
  shift(): Entry | undefined {
    const first = this.#lanes.find((lane) => lane.length > 0)?.shift();
    if (first !== undefined) this.#forget(first);
    return first;
  }

  /** Removes those that have run out of time by `now`, and answers how many. */
  expire(now: number): number {
    if (this.#timed === 0) return 0;
    const before = this.#length;
    for (const [index, lane] of this.#lanes.entries()) {
      this.#lanes[index] = lane.filter((entry) => {
        const mayGo = entry.traits.expiresAt > now;
        if (!mayGo) this.#forget(entry);
        return mayGo;
      });
    }
    return before - this.#length;
  }

  /** Empties the queue and answers how many messages were lost. */
  clear(): number {
    const lost = this.#length;
    for (const lane of this.#lanes) lane.length = 0;
    this.#length = 0;
    this.#bytes = 0;
    this.#timed = 0;
    return lost;
  }

  #fits(bytes: number, freed = NOTHING_FREED): boolean {
    const { messages, bytes: maxBytes } = this.#limits;
    return this.#length - freed.messages < messages && this.#bytes - freed.bytes + bytes <= maxBytes;
  }

  /** Those that make room for the new one; undefined where there is no room to make. */
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

  /** Those that may give way to the new one, in the order in which they do. */
  *#candidates({ traits }: Entry): Iterable<Entry> {
    const { policy } = this.#limits;
    if (policy === 'disconnect') return;
    const own = LANE[traits.priority];
    if (policy === 'conflate' && traits.key === undefined) yield* this.#ofType(traits.type, own);
    for (let lane = this.#lanes.length - 1; lane > own; lane -= 1) {
      const entries = this.#lanes[lane] as readonly Entry[];
      yield* policy === 'drop-oldest' ? entries : entries.toReversed();
    }
    if (policy === 'drop-oldest') yield* this.#lanes[own] as readonly Entry[];
  }

  /** The oldest of each lane from `own` on first. With a key of its own a message is not merely one of its type. */
  *#ofType(type: string, own: number): Iterable<Entry> {
    for (const lane of this.#lanes.slice(own))
      for (const entry of lane) if (entry.traits.type === type && entry.traits.key === undefined) yield entry;
  }

  #withKey(key: string | undefined): Entry | undefined {
    for (const lane of this.#lanes) {
      const found = lane.find(({ traits }) => traits.key === key);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #append(entry: Entry): void {
    (this.#lanes[LANE[entry.traits.priority]] as Entry[]).push(entry);
    this.#length += 1;
    this.#bytes += entry.bytes;
    if (entry.traits.expiresAt !== Number.POSITIVE_INFINITY) this.#timed += 1;
  }

  #remove(entry: Entry): void {
    const lane = this.#lanes[LANE[entry.traits.priority]] as Entry[];
    lane.splice(lane.indexOf(entry), 1);
    this.#forget(entry);
  }

  #forget(entry: Entry): void {
    this.#length -= 1;
    this.#bytes -= entry.bytes;
    if (entry.traits.expiresAt !== Number.POSITIVE_INFINITY) this.#timed -= 1;
  }
}

const NOTHING_FREED = { messages: 0, bytes: 0 };
