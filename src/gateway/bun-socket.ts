import type { Socket, SocketEvents, SocketWrite } from '../connection/socket.ts';
import { logInternalError } from '../logging/internal-error.ts';
import type { Log } from '../logging/log.ts';
import { CloseCode } from '../protocol/close-codes.ts';
import type { BunSocketData, BunSocketHandlers, BunWebSocket } from './bun-types.ts';
import {
  decodeUtf8,
  MAX_HELD_BYTES,
  NO_EVENTS,
  type ServerOptions,
  type SocketOwner,
} from './gateway-server.ts';

/** Bun's longest idle timeout. */
const MAX_IDLE_S = 960;
/** The connection's own read timeout must come first. */
const IDLE_MARGIN_S = 20;
/** Tells Bun never to end a silent socket. */
const NO_IDLE_TIMEOUT = 0;

/** Bun's settings for every socket. Each callback goes straight to the object on the socket. */
export function bunSocketHandlers(
  options: Pick<ServerOptions, 'readTimeoutMs' | 'maxMessageBytes'>,
): BunSocketHandlers {
  const idleS = Math.ceil(options.readTimeoutMs / 1000) + IDLE_MARGIN_S;
  return {
    maxPayloadLength: options.maxMessageBytes,
    backpressureLimit: MAX_HELD_BYTES,
    closeOnBackpressureLimit: false,
    // A backup for the connection's read timeout. It is off if that timeout is longer than Bun supports: Bun would end sockets
    // that may still be silent.
    idleTimeout: idleS > MAX_IDLE_S ? NO_IDLE_TIMEOUT : idleS,
    sendPings: false,
    perMessageDeflate: false,
    open: (ws) => ws.data.onOpen(ws),
    message: (ws, message) => ws.data.onMessage(message),
    ping: (ws) => ws.data.onControl('ping'),
    pong: (ws) => ws.data.onControl('pong'),
    drain: (ws) => ws.data.onDrain(),
    close: (ws, code, reason) => ws.data.onClose(code, reason),
  };
}

/**
 * One socket: the port that its connection uses, and the callbacks of Bun. An exception in a callback would end the process, so
 * it closes this socket instead.
 */
export class BunSocket implements Socket, BunSocketData {
  readonly #owner: SocketOwner;
  readonly #log: Log;
  #isRegistered = false;
  #ws: BunWebSocket | undefined;
  #events: SocketEvents = NO_EVENTS;
  #ended = false;
  #waitsForDrain = false;

  constructor(owner: SocketOwner, log: Log) {
    this.#owner = owner;
    this.#log = log;
  }

  send(text: string): SocketWrite {
    // Bun returns the number of sent bytes, -1 if it holds some back, 0 if it accepted none.
    const sent = this.#ws === undefined ? 0 : this.#ws.send(text);
    if (sent > 0) return 'sent';
    if (sent === 0) return 'failed';
    this.#waitsForDrain = true;
    return 'buffered';
  }

  ping(): void {
    this.#ws?.ping();
  }

  close(code: number, reason: string): void {
    this.#ws?.close(code, reason);
  }

  terminate(): void {
    this.#ws?.terminate();
  }

  bufferedBytes(): number {
    return this.#ws === undefined ? 0 : this.#ws.getBufferedAmount();
  }

  onOpen(ws: BunWebSocket): void {
    this.#ws = ws;
    this.#guarded(() => {
      this.#events = this.#owner.opened(this);
      this.#isRegistered = true;
    });
  }

  onMessage(message: string | Uint8Array): void {
    try {
      const text = typeof message === 'string' ? message : decodeUtf8(message);
      if (text === undefined) this.close(CloseCode.invalidPayload, 'invalid UTF-8');
      else this.#events.message(text);
    } catch (error) {
      this.#failed(error);
    }
  }

  onControl(): void {
    this.#guarded(() => this.#events.control());
  }

  onDrain(): void {
    this.#guarded(() => {
      // Bun calls this when some bytes are sent; the port reports only when all are.
      if (!this.#waitsForDrain || this.#ws === undefined || this.#ws.getBufferedAmount() > 0) return;
      this.#waitsForDrain = false;
      this.#events.drained();
    });
  }

  onClose(code: number, reason: string): void {
    this.#ws = undefined;
    this.#guarded(() => this.#end());
    this.#guarded(() => this.#events.closed(code, reason));
  }

  /** The client left before the socket opened. */
  abandon(): void {
    this.#end();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#owner.released();
    if (!this.#isRegistered) this.#owner.abandoned();
  }

  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    logInternalError(this.#log, { where: 'socket', error });
    this.#ws?.close(CloseCode.internalError, 'internal-error');
  }
}
