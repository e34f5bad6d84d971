import type { ClientConnection } from '../connection/client-connection.ts';
import type { InboundStore } from '../connection/inbound.ts';
import { LossLog } from '../connection/loss-log.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import { inBackground } from '../logging/internal-error.ts';
import type { Log } from '../logging/log.ts';
import type { Counters } from '../metrics/counters.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';
import type { ClientMessage } from '../protocol/frames.ts';
import { topLevelValues } from '../protocol/json-spans.ts';
import type { RedisLink } from '../redis/link.ts';
import { TIMED_OUT } from '../redis/timed-out.ts';
import { isForeignValue, removeUnlessStream } from './foreign-keys.ts';
import { InboundBytes } from './inbound-bytes.ts';

/** Messages that wait for Redis, and the characters of all of them. Further ones are dropped. */
const MAX_WAITING = 10_000;
const MAX_WAITING_CHARACTERS = 16_777_216;
/** Largest number of messages, and of their characters, in one call to Redis. A single longer message gets its own call. */
const MAX_MESSAGES_PER_TRIP = 500;
const MAX_CHARACTERS_PER_TRIP = 1_048_576;
/** How long a stop waits for writes in progress. */
const STOP_WAIT_MS = 1000;

export interface InboundWriterOptions {
  readonly link: RedisLink;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Pick<Counters, 'inbound'>;
  /** This incarnation. */
  readonly node: string;
  /** `LINGXI_INBOUND_LENGTH`: entries that the stream keeps, about. */
  readonly length: number;
}

interface Waiting {
  readonly connection: ClientConnection;
  readonly type: string;
  /** JSON text, as the client wrote it. */
  readonly data: string;
  /** Wall-clock ms. */
  readonly at: number;
}

/**
 * Writes client messages to the stream `lingxi:inbound`. The messages of one turn of the loop leave in one call, in order. A
 * message that Redis does not accept is dropped and counted, and its client gets an `error` frame.
 */
export class InboundWriter implements InboundStore {
  readonly #options: InboundWriterOptions;
  readonly #key: string;
  readonly #bytes: InboundBytes;
  readonly #losses = new LossLog();
  #waiting: Waiting[] = [];
  #characters = 0;
  #isWriting = false;

  constructor(options: InboundWriterOptions) {
    this.#options = options;
    this.#key = `${options.link.prefix}lingxi:inbound`;
    this.#bytes = new InboundBytes({ ...options, key: this.#key });
  }

  take(connection: ClientConnection, message: ClientMessage, text: string): ErrorCode | undefined {
    if (this.#waiting.length >= MAX_WAITING || this.#characters >= MAX_WAITING_CHARACTERS) {
      this.#lost(1, 'queue-full');
      return 'inbound-unavailable';
    }
    const { type } = message;
    const data = topLevelValues(text).get('data') ?? 'null';
    const waiting = { connection, type, data, at: this.#options.clock.now() };
    this.#waiting.push(waiting);
    this.#characters += charactersOf(waiting);
    this.#schedule();
    return undefined;
  }

  /** Waits a short time for the messages that wait. */
  async stop(): Promise<void> {
    const { clock } = this.#options;
    const until = clock.monotonic() + STOP_WAIT_MS;
    while (this.#isWriting && clock.monotonic() < until) await sleep(clock, STOP_WAIT_MS / 50);
  }

  #schedule(): void {
    if (this.#isWriting) return;
    this.#isWriting = true;
    const { clock, log } = this.#options;
    clock.defer(() => inBackground(log, this.#writeAll()));
  }

  async #writeAll(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        await this.#write(this.#takeBatch());
        await this.#bytes.keep();
      }
    } finally {
      this.#isWriting = false;
    }
  }

  #takeBatch(): readonly Waiting[] {
    let characters = 0;
    let count = 0;
    for (const waiting of this.#waiting) {
      characters += charactersOf(waiting);
      if (count === MAX_MESSAGES_PER_TRIP || (count > 0 && characters > MAX_CHARACTERS_PER_TRIP)) break;
      count += 1;
    }
    const batch = this.#waiting.splice(0, count);
    for (const waiting of batch) this.#characters -= charactersOf(waiting);
    return batch;
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    const { link, counters } = this.#options;
    let left = await this.#add(batch);
    if (left.length > 0 && isForeignValue(left[0]?.error)) {
      await removeUnlessStream(link, this.#key).catch(() => {});
      left = await this.#add(left.map(({ message }) => message));
    }
    counters.inbound.written += batch.length - left.length;
    if (left.length === 0) return;
    this.#lost(left.length, reasonOf(left[0]?.error));
    for (const { message } of left) message.connection.refuse('message', 'inbound-unavailable', message.type);
  }

  /** Returns the messages that Redis did not accept, in order, each with its error. */
  async #add(
    batch: readonly Waiting[],
  ): Promise<readonly { readonly message: Waiting; readonly error: unknown }[]> {
    const { link, length } = this.#options;
    const pipeline = link.client.pipeline();
    for (const message of batch)
      pipeline.xadd(this.#key, 'MAXLEN', '~', length, '*', ...this.#fields(message));
    try {
      const results = (await link.guarded(pipeline.exec())) ?? [];
      return batch.flatMap((message, index) => {
        const [error, id] = results[index] ?? [new Error('no answer')];
        if (error !== null) return [this.#failed(message, error)];
        this.#bytes.count(message, String(id));
        return [];
      });
    } catch (error) {
      return batch.map((message) => this.#failed(message, error));
    }
  }

  #failed(message: Waiting, error: unknown): { readonly message: Waiting; readonly error: unknown } {
    if (error instanceof Error && error.message === TIMED_OUT) this.#bytes.count(message);
    return { message, error };
  }

  #fields({ connection, type, data, at }: Waiting): readonly (string | number)[] {
    const { userId, registration } = connection;
    const where = ['connectionId', registration.connectionId, 'node', this.#options.node, 'at', at];
    return ['userId', userId, 'type', type, 'data', data, ...where];
  }

  #lost(messages: number, cause: string): void {
    const { counters, clock, log } = this.#options;
    counters.inbound.dropped += messages;
    const count = this.#losses.add(messages, { now: clock.monotonic(), isLast: false });
    if (count > 0)
      log.warn({ event: 'inbound-dropped', cause, count }, 'messages from clients were not written to Redis');
  }
}

function charactersOf({ type, data }: Waiting): number {
  return type.length + data.length;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
