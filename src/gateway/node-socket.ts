import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Socket, SocketEvents, SocketWrite } from '../connection/socket.ts';
import { CloseCode } from '../protocol/close-codes.ts';
import type { Acceptance } from './admission.ts';
import { decodeUtf8, MAX_HELD_BYTES, NO_EVENTS, type ServerOptions } from './gateway-server.ts';

/** One socket: the port that its connection drives, on `ws` and the stream below it. */
export class NodeSocket implements Socket {
  readonly #ws: WebSocket;
  readonly #stream: Duplex;
  #events: SocketEvents = NO_EVENTS;
  #fault = '';
  #waitsForDrain = false;

  constructor(ws: WebSocket, stream: Duplex) {
    this.#ws = ws;
    this.#stream = stream;
  }

  /** Registers the socket, and calls `ended` once when it is over. */
  start(options: ServerOptions, accepted: Acceptance, ended: () => void): void {
    const ws = this.#ws;
    ws.on('message', this.#onMessage);
    ws.on('ping', this.#onPing);
    ws.on('pong', this.#onPong);
    ws.on('error', this.#onError);
    let registered = false;
    ws.on('close', (code: number, reason: Buffer) => {
      options.admission.release(accepted.registration);
      if (!registered) options.abandoned(accepted.dial);
      ended();
      this.#events.closed(code, reason.length === 0 ? this.#fault : reason.toString('utf8'));
    });
    try {
      this.#events = options.opened(accepted.registration, this);
      registered = true;
    } catch (error) {
      options.log.error({ event: 'internal-error', err: error }, 'a socket could not be registered');
      ws.close(CloseCode.internalError);
    }
  }

  send(text: string): SocketWrite {
    const ws = this.#ws;
    if (ws.readyState !== ws.OPEN) return 'failed';
    ws.send(text);
    if (this.#stream.writableLength === 0) return 'sent';
    this.#awaitDrain();
    return 'buffered';
  }

  ping(): void {
    const ws = this.#ws;
    if (ws.readyState === ws.OPEN) ws.ping();
  }

  close(code: number, reason: string): void {
    this.#ws.close(code, reason);
  }

  terminate(): void {
    this.#ws.terminate();
  }

  bufferedBytes(): number {
    return this.#stream.writableLength;
  }

  readonly #onMessage = (data: Buffer, isBinary: boolean): void => {
    // A message may still be read after this side began to close.
    if (this.#ws.readyState !== this.#ws.OPEN) return;
    const text = isBinary ? decodeUtf8(data) : data.toString('utf8');
    if (text === undefined) this.#ws.close(CloseCode.invalidPayload, 'invalid UTF-8');
    else this.#events.message(text);
  };

  readonly #onPing = (): void => {
    this.#events.control('ping');
    if (this.#stream.writableLength > MAX_HELD_BYTES) this.#ws.close(CloseCode.policyViolation, 'ping flood');
  };

  readonly #onPong = (): void => {
    this.#events.control('pong');
  };

  readonly #onError = (error: Error): void => {
    this.#fault = error.message;
  };

  /** A stream emits `drain` only beyond its high-water mark, so an empty write behind the held bytes asks instead. */
  #awaitDrain(): void {
    if (this.#waitsForDrain) return;
    this.#waitsForDrain = true;
    this.#stream.write('', this.#onFlushed);
  }

  readonly #onFlushed = (error?: Error | null): void => {
    this.#waitsForDrain = false;
    if (error || this.#ws.readyState !== this.#ws.OPEN) return;
    if (this.#stream.writableLength > 0) this.#awaitDrain();
    else this.#events.drained();
  };
}
