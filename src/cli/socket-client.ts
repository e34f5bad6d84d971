import WebSocket from 'ws';
import type { Clock } from '../lib/clock.ts';
import { err, ok, type Result } from '../lib/result.ts';
import { SUBPROTOCOL } from '../protocol/envelope.ts';
import { printable } from './printable.ts';

/** A handshake that got an HTTP error, or no answer (`status` 0). */
export interface ServerRefusal {
  readonly status: number;
  /** The stable code of the body, else the network error. */
  readonly code: string;
  /** The sentence of the body. */
  readonly sentence: string | undefined;
  readonly retryAfter: string | undefined;
}

export interface Closed {
  readonly code: number;
  readonly reason: string;
  /** Monotonic ms. */
  readonly at: number;
}

export interface Message {
  readonly type: string;
  readonly userId: unknown;
  readonly timestamp: unknown;
  readonly data: unknown;
}

export interface OpenOptions {
  readonly url: string;
  readonly clock: Clock;
  readonly token?: string;
  /** `seed` offers no subprotocol. */
  readonly protocol: 'lingxi.v1' | 'seed';
  /** Whether the client answers protocol pings, as browsers do. Default: true. */
  readonly answersPings?: boolean;
  /** Called for each text that arrives. */
  onText?(text: string): void;
}

/** Largest number of unread messages. Beyond it the oldest are dropped. */
const MAX_UNREAD = 1000;
const MAX_BODY_CHARACTERS = 65_536;
const HANDSHAKE_TIMEOUT_MS = 10_000;

interface Waiter {
  matches(message: Message): boolean;
  resolve(message: Message | undefined): void;
}

/** A client of the gateway for `probe` and `doctor`. */
export class SocketClient {
  readonly closed: Promise<Closed>;
  readonly #socket: WebSocket;
  readonly #clock: Clock;
  readonly #unread: Message[] = [];
  readonly #waiters = new Set<Waiter>();

  private constructor(socket: WebSocket, options: OpenOptions) {
    this.#socket = socket;
    this.#clock = options.clock;
    socket.on('message', (data: Buffer) => {
      const text = data.toString('utf8');
      options.onText?.(text);
      this.#take(text);
    });
    this.closed = new Promise((resolve) => {
      socket.on('close', (code, reason) => {
        resolve({ code, reason: reason.toString('utf8'), at: options.clock.monotonic() });
        for (const waiter of this.#waiters) waiter.resolve(undefined);
      });
    });
  }

  static open(options: OpenOptions): Promise<Result<SocketClient, ServerRefusal>> {
    const socket = new WebSocket(options.url, options.protocol === 'seed' ? [] : [SUBPROTOCOL], {
      autoPong: options.answersPings ?? true,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      perMessageDeflate: false,
      ...(options.token === undefined ? {} : { headers: { Authorization: `Bearer ${options.token}` } }),
    });
    // Create it before the handshake ends: the first frame may come in the same packet.
    const client = new SocketClient(socket, options);
    return new Promise((resolve) => {
      socket.on('unexpected-response', (_request, response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (part: string) => {
          if (body.length < MAX_BODY_CHARACTERS) body += part;
        });
        response.on('end', () => {
          const { statusCode = 0, headers } = response;
          const retryAfter = headers['retry-after'];
          resolve(err({ status: statusCode, ...readBody(body), retryAfter }));
          socket.terminate();
        });
      });
      socket.on('error', (error) =>
        resolve(err({ status: 0, code: error.message, sentence: undefined, retryAfter: undefined })),
      );
      socket.on('open', () => resolve(ok(client)));
    });
  }

  /** Monotonic ms of the write to the socket. */
  ping(timestamp: number): number {
    // The time after the call may be later than the sending: a busy machine can stop this process in between.
    const at = this.#clock.monotonic();
    this.send(JSON.stringify({ type: 'ping', timestamp }));
    return at;
  }

  send(text: string): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(text);
  }

  close(code = 1000): Promise<Closed> {
    this.#socket.close(code);
    return this.closed;
  }

  /** The first unread message that matches; `undefined` if none comes within `timeoutMs`. */
  next(matches: (message: Message) => boolean, timeoutMs: number): Promise<Message | undefined> {
    const index = this.#unread.findIndex(matches);
    if (index >= 0) return Promise.resolve(this.#unread.splice(index, 1)[0]);
    return new Promise((resolve) => {
      const waiter: Waiter = {
        matches,
        resolve: (message) => {
          timer.cancel();
          this.#waiters.delete(waiter);
          resolve(message);
        },
      };
      const timer = this.#clock.after(timeoutMs, () => waiter.resolve(undefined));
      this.#waiters.add(waiter);
    });
  }

  /** Messages that arrived and are still unread. */
  get unread(): readonly Message[] {
    return this.#unread;
  }

  /** The close; `undefined` if it does not come within `timeoutMs`. */
  closedWithin(timeoutMs: number): Promise<Closed | undefined> {
    return new Promise((resolve) => {
      const timer = this.#clock.after(timeoutMs, () => resolve(undefined));
      void this.closed.then((closed) => {
        timer.cancel();
        resolve(closed);
      });
    });
  }

  #take(text: string): void {
    const message = parseMessage(text);
    for (const waiter of this.#waiters) {
      if (!waiter.matches(message)) continue;
      waiter.resolve(message);
      return;
    }
    if (this.#unread.push(message) > MAX_UNREAD) this.#unread.shift();
  }
}

function parseMessage(text: string): Message {
  const value = parseObject(text);
  return {
    type: typeof value['type'] === 'string' ? value['type'] : '',
    userId: value['userId'],
    timestamp: value['timestamp'],
    data: value['data'],
  };
}

function readBody(body: string): Pick<ServerRefusal, 'code' | 'sentence'> {
  const { code, error } = parseObject(body);
  return {
    code: typeof code === 'string' ? printable(code) : '(no code)',
    sentence: typeof error === 'string' ? printable(error) : undefined,
  };
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
