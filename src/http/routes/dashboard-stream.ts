import type { Clock } from '../../lib/clock.ts';
import { ok } from '../../lib/result.ts';
import type { Dashboard, LiveReader } from '../../overview/api.ts';
import { type Outcome, refused } from '../outcome.ts';

/** Largest number of readers of one node. All of them get the same text. */
const MAX_STREAMS = 50;
/** A comment line comes with an event, at least this often. */
const COMMENT_MS = 4_000;
const COMMENT = ':\n\n';
/** Largest number of bytes that wait for a slow reader. Beyond it, the reader misses events. */
const MAX_WAITING_BYTES = 65_536;
/** A reader that accepts nothing for this time is disconnected. */
const STUCK_MS = 10_000;

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  // Otherwise nginx would buffer the answer until its buffer is full.
  'x-accel-buffering': 'no',
};

interface StreamDeps {
  readonly dashboard: Pick<Dashboard, 'live'>;
  readonly clock: Clock;
}

/** The live counts as server-sent events (HTML Living Standard, section 9.2). */
export class DashboardStreams {
  readonly #deps: StreamDeps;
  #open = 0;

  constructor(deps: StreamDeps) {
    this.#deps = deps;
  }

  open(): Outcome {
    if (this.#open >= MAX_STREAMS) return refused('overloaded');
    const reader = new StreamReader(this.#deps, () => {
      this.#open -= 1;
    });
    this.#open += 1;
    const strategy = new ByteLengthQueuingStrategy({ highWaterMark: MAX_WAITING_BYTES });
    return ok(new Response(new ReadableStream<Uint8Array>(reader, strategy), { headers: HEADERS }));
  }
}

class StreamReader implements LiveReader {
  readonly #deps: StreamDeps;
  readonly #ended: () => void;
  readonly #encoder = new TextEncoder();
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #leave: (() => void) | undefined;
  #commentAt = Number.NEGATIVE_INFINITY;
  #stuckSince: number | undefined;
  #isOver = false;

  constructor(deps: StreamDeps, ended: () => void) {
    this.#deps = deps;
    this.#ended = ended;
  }

  start(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#controller = controller;
    const leave = this.#deps.dashboard.live(this);
    if (leave === undefined) this.end();
    else if (this.#isOver) leave();
    else this.#leave = leave;
  }

  cancel(): void {
    this.#stop();
  }

  take(text: string): void {
    const controller = this.#controller;
    if (this.#isOver || controller === undefined) return;
    const now = this.#deps.clock.monotonic();
    if ((controller.desiredSize ?? 0) <= 0) {
      this.#stuckSince ??= now;
      if (now - this.#stuckSince >= STUCK_MS) this.#cut(controller);
      return;
    }
    this.#stuckSince = undefined;
    const isCommentDue = now - this.#commentAt >= COMMENT_MS;
    if (isCommentDue) this.#commentAt = now;
    controller.enqueue(this.#encoder.encode(isCommentDue ? COMMENT + text : text));
  }

  /** Called when the node stops. */
  end(): void {
    if (this.#isOver) return;
    this.#stop();
    this.#controller?.close();
  }

  /** Ends the connection too: nobody would read the waiting bytes. */
  #cut(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#stop();
    controller.error(new Error('the reader took nothing'));
  }

  #stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#leave?.();
    this.#ended();
  }
}
