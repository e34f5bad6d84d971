import { logInternalError } from '../logging/internal-error.ts';
import type { Log } from '../logging/log.ts';
import type { Counters } from '../metrics/counters.ts';
import { parseJson } from '../protocol/json-text.ts';
import type { Bus } from './bus.ts';

/** One frame from another node, as {@link Post} sends it. Only `from` and `kind` of its members are validated. */
export interface NodeFrame {
  /** Incarnation of the sender. */
  readonly from: string;
  readonly members: Readonly<Record<string, unknown>>;
  /** The whole frame, for members that are passed on as text. */
  readonly text: string;
}

/** Handles a frame of one kind. Returns false if its members have the wrong shape. */
export type FrameHandler = (frame: NodeFrame) => boolean;

export interface InboxOptions {
  readonly bus: Bus;
  /** This incarnation. */
  readonly node: string;
  readonly log: Log;
  readonly counters: Pick<Counters, 'nodeFramesMissed'>;
}

/** This program sends no longer frame (rule DL7). A longer one is from another program. */
const MAX_FRAME_LENGTH = 1_048_576;
/** Longest name of a node: a host name, and the incarnation behind it. */
const MAX_NODE_LENGTH = 300;
/** Largest number of senders whose numbers are remembered. A dead incarnation sends no more. */
const MAX_SENDERS = 1000;

/** Receives the frames of other nodes: checks their numbers (rule DL7), and calls the handler of each kind. */
export class Inbox {
  readonly #options: InboxOptions;
  readonly #handlers = new Map<string, FrameHandler>();
  readonly #newest = new Map<string, number>();

  constructor(options: InboxOptions) {
    this.#options = options;
  }

  /** One handler for each kind. */
  on(kind: string, handler: FrameHandler): void {
    this.#handlers.set(kind, handler);
  }

  /** Resolves once this node receives frames. It receives them after every reconnection too. */
  listen(): Promise<void> {
    const { bus, node } = this.#options;
    return bus.subscribe(nodeTopic(node), (text) => this.#take(text));
  }

  #take(text: string): void {
    const { log, node } = this.#options;
    const frame = parseFrame(text);
    if (frame !== undefined) this.#checkNumber(frame.from, frame.number);
    const handler = frame === undefined ? undefined : this.#handlers.get(frame.kind);
    try {
      if (frame !== undefined && handler?.(frame) === true) return;
    } catch (error) {
      logInternalError(log, { where: 'bus', error, fields: { kind: frame?.kind } });
      return;
    }
    log.warn(
      { event: 'malformed-message', channel: nodeTopic(node) },
      'ignored a frame on the channel of this node',
    );
  }

  /** If a number is lower than before, Redis lost the numbers, and they begin again. */
  #checkNumber(from: string, number: number): void {
    const { log, counters } = this.#options;
    const expected = (this.#newest.get(from) ?? 0) + 1;
    if (number > expected) {
      const missed = number - expected;
      counters.nodeFramesMissed += missed;
      log.warn({ event: 'node-frames-missed', from, missed }, 'frames from another node were lost');
    }
    this.#newest.delete(from);
    this.#newest.set(from, number);
    if (this.#newest.size <= MAX_SENDERS) return;
    const [oldest] = this.#newest.keys();
    if (oldest !== undefined) this.#newest.delete(oldest);
  }
}

/** The topic of one node's channel. */
export function nodeTopic(node: string): string {
  return `node:${node}`;
}

function parseFrame(
  text: string,
): (NodeFrame & { readonly kind: string; readonly number: number }) | undefined {
  if (text.length > MAX_FRAME_LENGTH) return undefined;
  const parsed = parseJson(text);
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const members = parsed as Readonly<Record<string, unknown>>;
  const { from, kind, n: number } = members;
  if (typeof from !== 'string' || from.length > MAX_NODE_LENGTH || typeof kind !== 'string') return undefined;
  return typeof number === 'number' && Number.isSafeInteger(number) && number > 0
    ? { from, kind, number, members, text }
    : undefined;
}
