import { LossLog } from '../connection/loss-log.ts';
import { type Clock, sleep, type Timer } from '../lib/clock.ts';
import { Coalescer } from '../lib/coalescer.ts';
import { SlicedQueue } from '../lib/sliced-queue.ts';
import { inBackground, logInternalError } from '../logging/internal-error.ts';
import type { Log } from '../logging/log.ts';
import type { Counters } from '../metrics/counters.ts';
import type { PushReport, PushRequest } from '../protocol/delivery.ts';
import { parseUnansweredPush } from './push-request.ts';
import type { PushEntry, PushStreamStore } from './push-stream-store.ts';
import type { Router } from './router.ts';

/** Entries that this node has and that are not acknowledged, and the characters of all of them. It reads no further ones. */
const MAX_IN_HAND = 512;
const MAX_IN_HAND_CHARACTERS = 4_194_304;
/** Entries of the first read. Later ones read more, or fewer where entries are large: nobody knows beforehand. */
const FIRST_COUNT = 4;
const MAX_COUNT = 256;
/** Hand-overs of one entry whose outcome stays unknown. */
const MAX_TRIES = 5;
/** Looks at what is in hand, and at what others left, in the time after which an entry is taken over. */
const LOOKS = 3;
/** Calls that take entries over at one look: enough for a full hand, one large entry at a time. */
const MAX_TAKE_OVERS = MAX_IN_HAND;
/** A consumer without entries is forgotten after this, and after twice the time of a take-over. A living node reads each 2 s. */
const FORGOTTEN_AFTER_MS = 10_000;
/** Pause before the next try where Redis is unreachable. */
const RETRY_MS = 250;
/** How long a stop waits for outcomes; the others take over what has none by then. */
const STOP_WAIT_MS = 1000;

export interface PushStreamOptions {
  readonly store: PushStreamStore;
  readonly router: Router;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  /** Other nodes take an entry over after this time without a sign that it is in work. */
  readonly takeOverAfterMs: number;
  /** `LINGXI_PUSH_STREAM_LENGTH`: the oldest entries beyond it are deleted. */
  readonly maxLength: number;
  /** Characters of one message; a longer one is set aside. */
  readonly maxCharacters: number;
}

interface InHand {
  readonly entry: PushEntry;
  readonly characters: number;
  /** When this node took it, monotonic ms: `ttlMs` counts from here at every try. */
  readonly since: number;
  /** What is still to be handed over, where an outcome was unknown. */
  again: PushRequest | undefined;
  tries: number;
}

/**
 * Takes entries of `lingxi:push:stream`, each on one node of the deployment, and delivers them like any push: at least once.
 * An entry is acknowledged when its outcome is known. Users whose outcome is unknown are handed over to again a few times.
 */
export class PushStream {
  readonly #options: PushStreamOptions;
  readonly #inHand = new Map<string, InHand>();
  readonly #waiting: SlicedQueue<InHand>;
  readonly #acknowledgements: Coalescer;
  readonly #looks: Coalescer;
  readonly #trimLog = new LossLog();
  #done: string[] = [];
  #characters = 0;
  #count = FIRST_COUNT;
  /** What was given to this node without its knowledge: a read was cut, or an earlier Redis has come back. */
  #hasUnseen = true;
  #isPaused = false;
  #isStopped = false;
  #timer: Timer | undefined;
  #wake = (): void => {};
  #running: Promise<void> = Promise.resolve();
  #length = 0;

  constructor(options: PushStreamOptions) {
    const { clock } = options;
    this.#options = options;
    this.#waiting = new SlicedQueue({
      clock,
      run: (inHand) => this.#read(inHand),
      maxItems: 2 * MAX_IN_HAND + MAX_COUNT,
      maxWeight: Number.POSITIVE_INFINITY,
      weigh: () => 0,
    });
    this.#acknowledgements = new Coalescer({ run: () => this.#acknowledge(), clock, spacingMs: 1 });
    this.#looks = new Coalescer({ run: () => this.#look(), clock, spacingMs: 0 });
  }

  /** Entries in the stream at the last look. */
  get length(): number {
    return this.#length;
  }

  start(): void {
    const { clock, takeOverAfterMs } = this.#options;
    this.#timer = clock.every(takeOverAfterMs / LOOKS, () => this.#looks.ask());
    this.#running = this.#run();
  }

  /** A node that drains takes no further entry and finishes those that it has. */
  pause(isPaused: boolean): void {
    if (this.#isPaused === isPaused) return;
    this.#isPaused = isPaused;
    // A pending read would take one more.
    if (isPaused) this.#options.store.interrupt();
    this.#wake();
  }

  /** Waits a little for outcomes. What has none by then is delivered by another node. */
  async stop(): Promise<void> {
    const { clock, store } = this.#options;
    this.#isPaused = true;
    store.interrupt();
    this.#wake();
    const until = clock.monotonic() + STOP_WAIT_MS;
    while (this.#inHand.size > 0 && clock.monotonic() < until) await sleep(clock, STOP_WAIT_MS / 20);
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#acknowledgements.stop();
    this.#looks.stop();
    this.#wake();
    // A read whose connection is still being made ends with the link.
    await Promise.race([this.#running, sleep(clock, STOP_WAIT_MS)]);
    // While Redis is away there is nobody to tell.
    await store.leave().catch(() => {});
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      try {
        await this.#next();
      } catch (error) {
        this.#hasUnseen = true;
        const isMended = await this.#options.store.mend(error).catch(() => false);
        if (!isMended && !this.#isStopped) await sleep(this.#options.clock, RETRY_MS);
      }
    }
  }

  async #next(): Promise<void> {
    const { store } = this.#options;
    const room = this.#room;
    if (room <= 0 || (this.#isPaused && !this.#hasUnseen)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      return;
    }
    const count = Math.min(this.#count, room);
    if (!this.#hasUnseen) {
      this.#take(await store.readNew(count));
      return;
    }
    const asked = this.#inHand.size + count;
    const own = await store.readOwn(asked);
    this.#hasUnseen = own.length === asked;
    this.#take(own);
  }

  get #room(): number {
    return this.#characters >= MAX_IN_HAND_CHARACTERS ? 0 : MAX_IN_HAND - this.#inHand.size;
  }

  /** Answers how many of them were not in hand. */
  #take(entries: readonly PushEntry[]): number {
    const since = this.#options.clock.monotonic();
    let largest = 1;
    let taken = 0;
    for (const entry of entries) {
      if (this.#inHand.has(entry.id)) continue;
      const characters = entry.fields.reduce((sum, text) => sum + text.length, 0);
      const inHand = { entry, characters, since, again: undefined, tries: 0 };
      this.#inHand.set(entry.id, inHand);
      this.#characters += characters;
      largest = Math.max(largest, characters);
      taken += 1;
      this.#waiting.push(inHand);
    }
    const affordable = Math.max(1, Math.floor(MAX_IN_HAND_CHARACTERS / largest));
    // Where few wait, the next ones may be of any size.
    const wanted = entries.length < this.#count ? FIRST_COUNT : Math.max(FIRST_COUNT, 2 * this.#count);
    this.#count = Math.min(MAX_COUNT, affordable, wanted);
    return taken;
  }

  #read(inHand: InHand): void {
    const { log, maxCharacters } = this.#options;
    try {
      const { fields } = inHand.entry;
      const [name, text = '', ...more] = fields;
      if (name !== 'message' || more.length > 0) return this.#reject(inHand, '(entry)');
      if (text.length > maxCharacters) return this.#reject(inHand, '(size)');
      const parsed = parseUnansweredPush(text);
      if (parsed.ok) this.#handOver(inHand, parsed.value);
      else this.#reject(inHand, parsed.error.field);
    } catch (error) {
      logInternalError(log, { where: 'bus', error });
      this.#reject(inHand, '(internal)');
    }
  }

  #handOver(inHand: InHand, request: PushRequest): void {
    const { router, log } = this.#options;
    inHand.tries += 1;
    const outcome = router.push(request, inHand.since).then(
      (report) => this.#heard(inHand, request, report),
      (error: unknown) => {
        logInternalError(log, { where: 'background', error });
        this.#reject(inHand, '(internal)');
      },
    );
    inBackground(log, outcome);
  }

  #heard(inHand: InHand, request: PushRequest, { results, counts }: PushReport): void {
    const { counters } = this.#options;
    // Groups and all have no results: nobody knows which users to try again.
    const unknown = (results ?? []).filter(({ status }) => status === 'unknown').map(({ userId }) => userId);
    if (unknown.length > 0 && inHand.tries < MAX_TRIES) {
      inHand.again = { ...request, to: { userIds: unknown } };
      return;
    }
    counters.pushStream[(counts.unknown ?? 0) > 0 ? 'given-up' : 'handled'] += 1;
    this.#finish(inHand.entry.id);
  }

  #reject(inHand: InHand, fault: string): void {
    const { store, log, counters } = this.#options;
    const { entry } = inHand;
    counters.pushStream.rejected += 1;
    log.warn(
      { event: 'push-rejected', id: entry.id, field: fault },
      'an entry of the push stream is set aside',
    );
    // Where Redis does not take it, the line above is what is left of it.
    const aside = store.setAside(entry, fault).catch(() => {});
    inBackground(
      log,
      aside.then(() => this.#finish(entry.id)),
    );
  }

  #finish(id: string): void {
    this.#done.push(id);
    this.#acknowledgements.ask();
  }

  async #acknowledge(): Promise<void> {
    while (this.#done.length > 0) {
      const ids = this.#done.slice(0, MAX_IN_HAND);
      try {
        await this.#options.store.acknowledge(ids);
      } catch {
        // The next look tries again.
        return;
      }
      this.#done = this.#done.slice(ids.length);
      for (const id of ids) {
        this.#characters -= this.#inHand.get(id)?.characters ?? 0;
        this.#inHand.delete(id);
      }
      this.#wake();
    }
  }

  /** Shows that what is in hand is in work, tries again, and looks after what others left. */
  async #look(): Promise<void> {
    const { store, takeOverAfterMs } = this.#options;
    try {
      if (this.#inHand.size > 0) {
        this.#acknowledgements.ask();
        await store.keep([...this.#inHand.keys()]);
        // Redis answers, so the next try may find out more.
        this.#tryAgain();
      }
      await this.#trim();
      if (this.#isPaused) return;
      await this.#takeOver();
      await store.forgetDead(Math.max(FORGOTTEN_AFTER_MS, 2 * takeOverAfterMs));
    } catch {
      // Redis is away, or the stream is gone: who reads learns it too and mends it.
    }
  }

  #tryAgain(): void {
    for (const inHand of this.#inHand.values()) {
      const { again } = inHand;
      inHand.again = undefined;
      if (again !== undefined) this.#handOver(inHand, again);
    }
  }

  async #takeOver(): Promise<void> {
    const { store, counters, log, takeOverAfterMs } = this.#options;
    let entries = 0;
    for (let round = 0; round < MAX_TAKE_OVERS && this.#room > 0 && !this.#isPaused; round += 1) {
      const found = await store.takeOver(takeOverAfterMs, Math.min(this.#room, this.#count));
      if (found === undefined) break;
      entries += this.#take(found);
    }
    if (entries === 0) return;
    counters.pushStream['taken-over'] += entries;
    log.info(
      { event: 'push-entries-taken-over', entries },
      'delivers what another node took from the push stream and did not finish',
    );
  }

  async #trim(): Promise<void> {
    const { store, counters, log, clock, maxLength } = this.#options;
    const { trimmed, length } = await store.trim(maxLength);
    this.#length = length;
    if (trimmed === 0) return;
    counters.pushStream.trimmed += trimmed;
    const entries = this.#trimLog.add(trimmed, { now: clock.monotonic(), isLast: false });
    if (entries > 0)
      log.warn(
        { event: 'push-stream-trimmed', entries, length },
        'the push stream has grown beyond LINGXI_PUSH_STREAM_LENGTH: its oldest entries were deleted undelivered',
      );
  }
}
