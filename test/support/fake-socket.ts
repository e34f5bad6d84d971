import type { Socket, SocketEvents, SocketWrite } from '../../src/connection/socket.ts';

/** An envelope as a client reads it. */
export interface ReceivedEnvelope {
  readonly type: string;
  readonly userId: number;
  readonly timestamp: number;
  readonly data: unknown;
  readonly id?: string;
}

/**
 * A socket without a network. It accepts everything until {@link block} is called. Then the present frame stays in it, as in a
 * socket with a full kernel buffer, until {@link drain}.
 */
export class FakeSocket implements Socket {
  /** The frames that were handed over, in order. */
  readonly frames: string[] = [];
  readonly closes: { readonly code: number; readonly reason: string }[] = [];
  pings = 0;
  terminated = false;
  /** Every further write returns `failed`. */
  broken = false;
  /** Number of frames that are accepted before the next one is buffered. Infinite: none is buffered. */
  room = Number.POSITIVE_INFINITY;
  #buffered = 0;
  #events: SocketEvents | undefined;

  /** Sets the receiver of events, as an adapter does once the connection is made. */
  attach<Events extends SocketEvents>(events: Events): Events {
    this.#events = events;
    return events;
  }

  get envelopes(): readonly ReceivedEnvelope[] {
    return this.frames.map((text) => JSON.parse(text) as ReceivedEnvelope);
  }

  get types(): readonly string[] {
    return this.envelopes.map(({ type }) => type);
  }

  /** Code of the close that the server requested. */
  get code(): number | undefined {
    return this.closes[0]?.code;
  }

  /** Accepts `room` more frames and holds the one after them back. */
  block(room = 0): void {
    this.room = room;
  }

  /** Sends everything that was held back, and accepts `room` more frames. */
  drain(room = Number.POSITIVE_INFINITY): void {
    this.room = room;
    this.#buffered = 0;
    this.#events?.drained();
  }

  /** The kernel accepts some of the held bytes. Negative: this many more bytes are held. */
  take(bytes: number): void {
    this.#buffered -= bytes;
  }

  /** The client sends a message. */
  hear(message: unknown): void {
    this.#events?.message(typeof message === 'string' ? message : JSON.stringify(message));
  }

  ping(): void {
    this.pings += 1;
  }

  /** The client answers a protocol ping. */
  pong(): void {
    this.#events?.control();
  }

  /** The client closes, or the network fails (1006). */
  end(code = 1000, reason = ''): void {
    this.#events?.closed(code, reason);
  }

  send(text: string): SocketWrite {
    if (this.broken) return 'failed';
    this.frames.push(text);
    if (this.room > 0) {
      this.room -= 1;
      return 'sent';
    }
    this.#buffered += Buffer.byteLength(text);
    return 'buffered';
  }

  close(code: number, reason: string): void {
    this.closes.push({ code, reason });
  }

  terminate(): void {
    this.terminated = true;
  }

  bufferedBytes(): number {
    return this.#buffered;
  }
}
