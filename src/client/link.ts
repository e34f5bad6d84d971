import type { Environment, WebSocketClass, WebSocketLike } from './environment.ts';

/** Longest time from the start of an attempt to `welcome`. Needed because iOS may stay in CONNECTING forever. */
const CONNECT_MS = 5_000;
/** Longest wait for the answer to a ping that requires one. */
const ANSWER_MS = 2_000;
/** If a timer is later than this, the machine slept or the page was frozen. */
const LATE_MS = 1_000;
/** If the client was silent this long, the server has surely closed the connection. Used if the server answers no pings. */
const SILENT_MS = 10_000;
/** Largest number of bytes that may wait in the socket. Further messages wait in the queue. */
const MAX_BUFFERED = 1_048_576;
/** Largest number of messages that a link sends a second, and at once after a pause. The server's default limit is 50. */
const MESSAGES_PER_SECOND = 30;
/** Messages that had to wait are tried again after this time. */
const DRAIN_MS = 100;
/**
 * Largest number of acknowledgements that wait. Further ones are lost, and their senders count these messages as not
 * acknowledged.
 */
const MAX_ACKS = 256;

/** How a link ended: by a close frame or by the network (`code`), or by the client's own decision (`reason`). */
export interface LinkEnd {
  readonly code?: number;
  readonly reason: string;
  readonly detail?: string | undefined;
}

/** The events of a link. The link calls none of them after its end. */
export interface LinkOwner {
  opened(): void;
  text(text: string): void;
  /** The link may accept waiting messages again. */
  drain(): void;
  ended(end: LinkEnd): void;
  failed(error: unknown): void;
}

/**
 * One attempt to connect, and the connection that it opens. It owns its socket and its timers. Once it has ended, none of them
 * does anything.
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
  /** Number of messages that the link may send now. */
  #credit = MESSAGES_PER_SECOND;
  #creditAt: number;

  constructor(env: Environment, owner: LinkOwner) {
    this.#env = env;
    this.#owner = owner;
    this.#creditAt = env.now();
  }

  /** Runs `work` after `ms`, unless the link ends first. A second timer with the same name replaces the first. */
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
    // The handlers stay after the end and do nothing then: `ws` throws if its errors have no listener.
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

  /** Returns false if the message must wait. `drain` then reports when to try again. */
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

  /** Sends a frame of the protocol at once. These frames are few, so the rate does not count them. */
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

  /** Checks whether the connection still works, whatever state the socket shows. */
  check(isNewNetwork: boolean): void {
    if (!this.isReady || this.#isDone || this.#timers.has('answer')) return;
    if (this.#answers) this.#demandAnswer(true);
    else if (isNewNetwork) this.fail('network-changed');
    else this.#ping();
  }

  /** Ends the connection and reports that. */
  fail(reason: string, error?: unknown): void {
    const detail = error === undefined ? this.#detail : textOf(error);
    this.guard(() => {
      const end = { reason, detail };
      this.stop();
      this.#owner.ended(end);
    });
  }

  /** Ends without an event. */
  stop(): void {
    this.#isDone = true;
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    try {
      this.#socket?.close(1000);
    } catch {
      // The socket was never open.
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
      // Nothing arrived for a whole interval, or the clock jumped: from now on the answer has a deadline.
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
      // The page slept meanwhile, and the answer may wait unread. So the first late timer does not count.
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
