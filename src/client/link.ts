import type { Environment, WebSocketClass, WebSocketLike } from './environment.ts';

/** Longest time from the first byte of an attempt to `welcome`: iOS may stay in CONNECTING for ever. */
const CONNECT_MS = 5_000;
/** Longest wait for the answer to a ping that must be answered. */
const ANSWER_MS = 2_000;
/** A timer that is later than this means that the machine slept or the page was frozen. */
const LATE_MS = 1_000;
/** Silence after which a server has surely given up a client that gets no answers to its pings. */
const SILENT_MS = 10_000;
/** Bytes that may wait in the socket; further messages wait in the queue. */
const MAX_BUFFERED = 1_048_576;
/** Messages a second that a link sends, and at once after a pause. The server's default limit is 50. */
const MESSAGES_PER_SECOND = 30;
/** When messages that had to wait get their next chance. */
const DRAIN_MS = 100;
/** Acknowledgements that wait; further ones are lost, and their senders learn that nobody acknowledged. */
const MAX_ACKS = 256;

/** How a link ended: by a close frame or by the network (`code`), or because the client gave it up (`reason`). */
export interface LinkEnd {
  readonly code?: number;
  readonly reason: string;
  readonly detail?: string | undefined;
}

/** What a link tells the client. Nothing of it is called after the end. */
export interface LinkOwner {
  opened(): void;
  text(text: string): void;
  /** The link may take messages again that had to wait. */
  drain(): void;
  ended(end: LinkEnd): void;
  failed(error: unknown): void;
}

/**
 * One attempt to connect and the connection that comes of it. It owns its socket and its timers: once it has ended, none
 * of them does anything.
 */
export class Link {
  /** Whether the server has accepted the connection. */
  isReady = false;
  #isDone = false;
  #socket: WebSocketLike | undefined;
  /** Whether the server answers pings. */
  #answers = false;
  #isHeard = false;
  #detail: string | undefined;
  readonly #env: Environment;
  readonly #owner: LinkOwner;
  readonly #timers = new Map<string, () => void>();
  readonly #acks: string[] = [];
  /** Messages that may go out now. */
  #credit = MESSAGES_PER_SECOND;
  #creditAt: number;

  constructor(env: Environment, owner: LinkOwner) {
    this.#env = env;
    this.#owner = owner;
    this.#creditAt = env.now();
  }

  /** Runs `work` after `ms` unless the link ends first. A second timer of the same name replaces the first. */
  after(name: string, ms: number, work: () => void): void {
    this.cancel(name);
    if (this.#isDone) return;
    const run = (): void => {
      this.#timers.delete(name);
      work();
    };
    this.#timers.set(
      name,
      this.#env.after(ms, () => this.guard(run)),
    );
  }

  /** Runs `work` unless the link has ended; never throws. */
  guard(work: () => void): void {
    if (this.#isDone) return;
    try {
      work();
    } catch (error) {
      this.#owner.failed(error);
    }
  }

  open(WebSocket: WebSocketClass, url: string, offer: { protocols: string[]; extra?: object }): void {
    this.after('connect', CONNECT_MS, () => this.fail('connect-timeout'));
    try {
      this.#socket = new WebSocket(url, offer.protocols, offer.extra);
    } catch (error) {
      return this.fail('connect-failed', error);
    }
    // Handlers stay after the end and do nothing then: `ws` throws if nobody listens to its errors.
    const socket = this.#socket;
    socket.onopen = () => this.guard(() => this.#owner.opened());
    socket.onmessage = ({ data }: { data: unknown }) =>
      this.guard(() => {
        this.#isHeard = true;
        this.cancel('answer');
        if (typeof data === 'string') this.#owner.text(data);
      });
    socket.onerror = (event: { message?: string } | undefined) =>
      this.guard(() => {
        this.#detail = event?.message;
      });
    socket.onclose = ({ code, reason }: { code: number; reason: string }) =>
      this.guard(() => this.#end({ code, reason: reason || 'connection-lost', detail: this.#detail }));
  }

  /** The server has accepted the connection: pings go out every `beatMs`. */
  ready(beatMs: number, answers: boolean): void {
    this.isReady = true;
    this.#answers = answers;
    this.#isHeard = true;
    this.cancel('connect');
    this.#beat(beatMs);
  }

  cancel(name: string): void {
    this.#timers.get(name)?.();
    this.#timers.delete(name);
  }

  /** False where the message must wait for its turn; `drain` then says when to try again. */
  send(text: string): boolean {
    const now = this.#env.now();
    const earned = Math.max(0, now - this.#creditAt) * (MESSAGES_PER_SECOND / 1000);
    this.#credit = Math.min(MESSAGES_PER_SECOND, this.#credit + earned);
    this.#creditAt = now;
    const isSent = this.#credit >= 1 && this.sendNow(text);
    if (isSent) this.#credit -= 1;
    else if (this.isReady)
      this.after('drain', DRAIN_MS, () => {
        this.#sendAcks();
        this.#owner.drain();
      });
    return isSent;
  }

  /** Sends a frame of the protocol at once. There are few of them. */
  sendNow(text: string): boolean {
    const socket = this.#socket;
    if (!this.isReady || this.#isDone || !socket || socket.bufferedAmount > MAX_BUFFERED) return false;
    try {
      socket.send(text);
      return true;
    } catch {
      return false;
    }
  }

  /** Acknowledges a message of this connection. */
  acknowledge(id: string): void {
    if (this.#acks.length < MAX_ACKS) this.#acks.push(JSON.stringify({ type: 'ack', id }));
    this.#sendAcks();
  }

  /** Finds out whether the connection still works, whatever the socket says of itself. */
  check(isNewNetwork: boolean): void {
    if (!this.isReady || this.#isDone || this.#timers.has('answer')) return;
    if (this.#answers) this.#demandAnswer(true);
    else if (isNewNetwork) this.fail('network-changed');
    else this.#ping();
  }

  /** Gives the connection up, and says so. */
  fail(reason: string, error?: unknown): void {
    const detail = error === undefined ? this.#detail : textOf(error);
    this.guard(() => {
      const end = { reason, detail };
      this.stop();
      this.#owner.ended(end);
    });
  }

  /** Ends silently. */
  stop(): void {
    this.#isDone = true;
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    try {
      this.#socket?.close(1000);
    } catch {
      // It was never open.
    }
  }

  #end(end: LinkEnd): void {
    this.stop();
    this.#owner.ended(end);
  }

  #beat(beatMs: number): void {
    const due = this.#env.now() + beatMs;
    this.after('beat', beatMs, () => {
      const late = Math.abs(this.#env.now() - due);
      this.#beat(beatMs);
      if (!this.#answers && late > SILENT_MS) return this.fail('slept');
      const isHeard = this.#isHeard;
      this.#isHeard = false;
      // Silence for a whole interval, or a jump of the clock: from now on the answer has a deadline.
      if (this.#answers && (!isHeard || late > LATE_MS)) this.check(false);
      else this.#ping();
    });
  }

  #sendAcks(): void {
    for (let ack = this.#acks[0]; ack && this.send(ack); ack = this.#acks[0]) this.#acks.shift();
  }

  #demandAnswer(mayBeLate: boolean): void {
    const due = this.#env.now() + ANSWER_MS;
    this.after('answer', ANSWER_MS, () => {
      // The page slept meanwhile, and the answer may wait to be read: once, a late timer judges nobody.
      if (mayBeLate && this.#env.now() - due > LATE_MS) this.#demandAnswer(false);
      else this.fail('no-answer');
    });
    this.#ping();
  }

  #ping(): void {
    this.sendNow(`{"type":"ping","timestamp":${this.#env.now()}}`);
  }
}

function textOf(error: unknown): string {
  return error instanceof Error || typeof error === 'string' ? String(error) : 'an error without a text';
}
