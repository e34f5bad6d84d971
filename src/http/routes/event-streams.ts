import type { Clock, Timer } from '../../lib/clock.ts';
import { ok } from '../../lib/result.ts';
import { logInternalError } from '../../logging/internal-error.ts';
import type { Log } from '../../logging/log.ts';
import type { Presence, StoredChange } from '../../presence/api.ts';
import { type Outcome, refused } from '../outcome.ts';

/** Largest number of readers of one node. Each one queries the store. */
const MAX_STREAMS = 100;
const POLL_MS = 250;
const PAGE = 500;
/** The server sends a comment line at least this often, so that no side and no proxy ends the stream as dead. */
const KEEP_ALIVE_MS = 5000;
const COMMENT = ':\n\n';
/** Largest number of bytes that wait for a slow reader. Beyond it, reading pauses until some are sent. */
const MAX_WAITING_BYTES = 262_144;

interface FeedDeps {
  readonly presence: Pick<Presence, 'feed'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** The feed as server-sent events (HTML Living Standard, section 9.2): `id` is the cursor. */
export class EventStreams {
  readonly #deps: FeedDeps;
  readonly #readers = new Set<FeedReader>();
  #isOver = false;

  constructor(deps: FeedDeps) {
    this.#deps = deps;
  }

  /**
   * Streams the entries after `cursor`. The stream ends if the cursor expires, the store fails or the node stops; the reader
   * resumes.
   */
  open(cursor: string): Outcome {
    if (this.#readers.size >= MAX_STREAMS) return refused('overloaded');
    const reader = new FeedReader(this.#deps, cursor, () => this.#readers.delete(reader));
    this.#readers.add(reader);
    const strategy = new ByteLengthQueuingStrategy({ highWaterMark: MAX_WAITING_BYTES });
    // Otherwise nginx would buffer the answer until its buffer is full.
    const headers = { 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' };
    const stream = new ReadableStream<Uint8Array>(reader, strategy);
    // A request that was in progress when the node stopped.
    if (this.#isOver) reader.end();
    return ok(new Response(stream, { headers }));
  }

  /**
   * Ends all streams, each with its last chunk, and each later one at once. Call this when the node stops: a stream would last
   * longer than the node.
   */
  end(): void {
    this.#isOver = true;
    for (const reader of this.#readers) reader.end();
  }
}

class FeedReader {
  readonly #deps: FeedDeps;
  readonly #ended: () => void;
  readonly #encoder = new TextEncoder();
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #cursor: string;
  #timer: Timer | undefined;
  #saidAt = 0;
  #isOver = false;

  constructor(deps: FeedDeps, cursor: string, ended: () => void) {
    this.#deps = deps;
    this.#cursor = cursor;
    this.#ended = ended;
  }

  /** The comment makes proxies forward the headers at once, so that the reader knows that it is connected. */
  start(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#controller = controller;
    controller.enqueue(this.#encoder.encode(COMMENT));
    this.#saidAt = this.#deps.clock.monotonic();
    this.#go(controller);
  }

  cancel(): void {
    this.#stop();
  }

  end(): void {
    if (this.#isOver) return;
    this.#stop();
    this.#controller?.close();
  }

  /** Ends the stream if reading finds a bug. No caller waits for it, and the reader resumes. */
  #go(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#read(controller).catch((error: unknown) => {
      logInternalError(this.#deps.log, { where: 'background', error });
      this.#stop();
      controller.error(error);
    });
  }

  async #read(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    const { presence, clock } = this.#deps;
    let changes: readonly StoredChange[] | undefined = [];
    if ((controller.desiredSize ?? 0) > 0) {
      changes = await presence.feed({ cursor: this.#cursor, limit: PAGE }).catch(() => undefined);
    }
    if (this.#isOver) return;
    if (changes === undefined) return this.end();
    const text = changes.map(eventText).join('');
    this.#cursor = changes.at(-1)?.cursor ?? this.#cursor;
    if (text !== '' || clock.monotonic() - this.#saidAt >= KEEP_ALIVE_MS) {
      this.#saidAt = clock.monotonic();
      controller.enqueue(this.#encoder.encode(text === '' ? COMMENT : text));
    }
    this.#timer = clock.after(changes.length === PAGE ? 0 : POLL_MS, () => this.#go(controller));
  }

  #stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timer?.cancel();
    this.#ended();
  }
}

/** An entry of the feed in an answer. Epochs and periods are decimal strings. */
export function eventOf(change: StoredChange): Readonly<Record<string, unknown>> {
  const { cursor, userId, event, at, period, epoch, cause, node } = change;
  const reason = event === 'offline' ? { reason: cause } : {};
  return { cursor, userId, type: event, at, period: String(period), epoch: String(epoch), ...reason, node };
}

function eventText(change: StoredChange): string {
  return `id: ${change.cursor}\nevent: ${change.event}\ndata: ${JSON.stringify(eventOf(change))}\n\n`;
}
