import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';

/** As Redis answers. An error from Redis is a value too. */
export type Reply = null | number | string | ReplyError | readonly Reply[];

export interface ReplyError {
  readonly error: string;
}

/** Name and arguments. */
export type Command = readonly (string | number)[];

interface Told {
  /** The number of the call. */
  readonly number: number;
  readonly replies?: readonly Reply[];
  /** Why there are no replies. */
  readonly failure?: string;
}

const ANSWER_TIMEOUT_MS = 60_000;
/** Shared by the threads: the number of the newest answered call, the length of its answer, and the text. */
const HEAD_BYTES = 8;
const LONGEST_ANSWER_BYTES = 2 ** 24;

/**
 * A connection to a real Redis whose calls return the reply. During a call, simulated time and this thread stand still, and another
 * thread does the work.
 */
export class RedisBridge {
  readonly #shared = new SharedArrayBuffer(HEAD_BYTES + LONGEST_ANSWER_BYTES);
  readonly #head = new Int32Array(this.#shared, 0, 2);
  readonly #port: MessagePort;
  readonly #worker: Worker;
  /** The number of round trips so far. */
  calls = 0;

  constructor(redisPort: number) {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#worker = new Worker(new URL('./redis-worker.mjs', import.meta.url), {
      workerData: { port: port2, shared: this.#shared, redisPort },
      transferList: [port2],
    });
    this.#worker.unref();
  }

  /** Sends the commands together. Returns their replies in the same order. */
  send(commands: readonly Command[]): readonly Reply[] {
    const answered = Atomics.load(this.#head, 0);
    this.calls += 1;
    this.#port.postMessage(
      { number: this.calls, text: commands.map(encoded).join(''), count: commands.length },
      [],
    );
    // The worker may send its notice after this thread has read the answer. The next call then wakes up without an answer.
    while (Atomics.load(this.#head, 0) === answered)
      if (Atomics.wait(this.#head, 0, answered, ANSWER_TIMEOUT_MS) === 'timed-out')
        throw new Error('Redis does not answer the simulation');
    const text = Buffer.from(this.#shared, HEAD_BYTES, Atomics.load(this.#head, 1)).toString('utf8');
    const { number, replies, failure } = JSON.parse(text) as Told;
    if (replies === undefined) throw new Error(`Redis is gone: ${failure}`);
    if (number !== this.calls || replies.length !== commands.length)
      throw new Error(
        `call ${this.calls} of ${commands.length} commands got the answer of ${number}: ${text}`,
      );
    return replies;
  }

  async close(): Promise<void> {
    this.#port.close();
    await this.#worker.terminate();
  }
}

export function isError(reply: Reply | undefined): reply is ReplyError {
  return typeof reply === 'object' && reply !== null && 'error' in reply;
}

function encoded(command: Command): string {
  const parts = command.map((part) => `$${Buffer.byteLength(String(part))}\r\n${part}\r\n`);
  return `*${command.length}\r\n${parts.join('')}`;
}
