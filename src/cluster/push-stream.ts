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

/** Largest number of entries, and of their characters, that this node has taken and not acknowledged. Beyond it, it reads none. */
const MAX_IN_HAND = 512;
const MAX_IN_HAND_CHARACTERS = 4_194_304;
/** Entries in the first read. Later reads take more, or fewer if the entries are large. */
const FIRST_COUNT = 4;
const MAX_COUNT = 256;
/** Number of tries to deliver an entry whose outcome stays unknown. */
const MAX_TRIES = 5;
/** Number of looks at the entries of this node, and at those of dead nodes, in one take-over time. */
const LOOKS = 3;
/** Largest number of calls that take entries over in one look: enough if each call takes one entry. */
const MAX_TAKE_OVERS = MAX_IN_HAND;
/** A consumer without entries is removed after this time, or after two take-over times if that is longer. A living node reads every 2 s. */
const FORGOTTEN_AFTER_MS = 10_000;
/** Pause before the next try while Redis is unreachable. */
const RETRY_MS = 250;
/** How long a stop waits for outcomes. Other nodes take over the entries without one. */
const STOP_WAIT_MS = 1000;

export interface PushStreamOptions {
  readonly store: PushStreamStore;
  readonly router: Router;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  /** Take-over time: another node takes an entry over if its node shows no work on it for this long. */
  readonly takeOverAfterMs: number;
  /** `LINGXI_PUSH_STREAM_LENGTH`: the oldest entries beyond it are deleted. */
  readonly maxLength: number;
  /** Largest number of characters of a message. A longer one is rejected. */
  readonly maxCharacters: number;
}

interface InHand {
  readonly entry: PushEntry;
  readonly characters: number;
  /** When this node took the entry, monotonic ms. `ttlMs` counts from then on, for all tries. */
  readonly since: number;
  /** The push to try again, for the users whose outcome was unknown. */
  again: PushRequest | undefined;
  tries: number;
}

/**
 * Takes entries of `lingxi:push:stream` and delivers them like any push: at least once, each on one node of the deployment. It
 * acknowledges an entry when its outcome is known. For users with an unknown outcome it tries again a few times.
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
  /** Whether Redis may have given entries to this node that it has not seen: after a cut read, or a failover. */
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

  /** Waits a short time for outcomes. Another node delivers the entries without one. */
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
    // If the read is still connecting, it ends when the link closes.
    await Promise.race([this.#running, sleep(clock, STOP_WAIT_MS)]);
    // If Redis is unreachable, another node removes the consumer later.
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

  /** Takes the entries that this node does not have yet. Returns their number. */
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
    // After a short read, the size of the next entries is not known. So the next read is small again.
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
    // A push to groups or to all has no results by user, so there is no list of users for another try.
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
      'moved an unreadable entry of the push stream to the rejected ones',
    );
    // If Redis does not accept the copy, only the log line above remains.
    const copied = store.reject(entry, fault).catch(() => {});
    inBackground(
      log,
      copied.then(() => this.#finish(entry.id)),
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

  /** Shows that this node works on its entries, tries again, and takes over entries of dead nodes. */
  async #look(): Promise<void> {
    const { store, takeOverAfterMs } = this.#options;
    try {
      if (this.#inHand.size > 0) {
        this.#acknowledgements.ask();
        await store.keep([...this.#inHand.keys()]);
        // Redis answers now, so another try may get an outcome.
        this.#tryAgain();
      }
      await this.#trim();
      if (this.#isPaused) return;
      await this.#takeOver();
      await store.forgetDead(Math.max(FORGOTTEN_AFTER_MS, 2 * takeOverAfterMs));
    } catch {
      // Redis is unreachable, or the stream was deleted. The next read gets the same error and repairs it.
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
      'delivers entries of the push stream that another node took and did not finish',
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
