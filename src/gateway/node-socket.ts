import type { Duplex } from 'node:stream';
import { WebSocket } from 'ws';
import type { Socket, SocketEvents, SocketWrite } from '../connection/socket.ts';
import { logInternalError } from '../logging/internal-error.ts';
import type { Log } from '../logging/log.ts';
import { CloseCode } from '../protocol/close-codes.ts';
import { decodeUtf8, MAX_HELD_BYTES, NO_EVENTS, type SocketOwner } from './gateway-server.ts';

/** A socket of `ws` that refers to its owner, so that all sockets share the same listener functions. */
export class OwnedWebSocket extends WebSocket {
  socket: NodeSocket | undefined;
}

/**
 * One socket: the port that its connection uses, on `ws` and the stream below it. An exception in a callback of `ws` would end
 * the process, so it closes this socket instead.
 */
export class NodeSocket implements Socket {
  readonly #ws: OwnedWebSocket;
  readonly #stream: Duplex;
  readonly #log: Log;
  readonly #all: Set<NodeSocket>;
  #owner: SocketOwner | undefined;
  #isRegistered = false;
  #events: SocketEvents = NO_EVENTS;
  #fault = '';
  #waitsForDrain = false;

  /** @param all contains this socket until it ends */
  constructor(ws: OwnedWebSocket, stream: Duplex, { log, all }: { log: Log; all: Set<NodeSocket> }) {
    this.#ws = ws;
    this.#stream = stream;
    this.#log = log;
    this.#all = all;
  }

  /** Registers the socket. */
  start(owner: SocketOwner): void {
    const ws = this.#ws;
    this.#all.add(this);
    this.#owner = owner;
    ws.socket = this;
    ws.on('message', onMessage);
    ws.on('ping', onPing);
    ws.on('pong', onPong);
    ws.on('error', onError);
    ws.on('close', onClose);
    this.#guarded(() => {
      this.#events = owner.opened(this);
      this.#isRegistered = true;
    });
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
    return heldBytes(this.#stream);
  }

  onMessage(data: Buffer, isBinary: boolean): void {
    try {
      // A message may still arrive after this side began to close.
      if (this.#ws.readyState !== this.#ws.OPEN) return;
      const text = isBinary ? decodeUtf8(data) : data.toString('utf8');
      if (text === undefined) this.#ws.close(CloseCode.invalidPayload, 'invalid UTF-8');
      else this.#events.message(text);
    } catch (error) {
      this.#failed(error);
    }
  }

  onPing(): void {
    this.#guarded(() => {
      this.#events.control();
      if (this.#stream.writableLength > MAX_HELD_BYTES)
        this.#ws.close(CloseCode.policyViolation, 'ping flood');
    });
  }

  onPong(): void {
    this.#guarded(() => this.#events.control());
  }

  onError(error: Error): void {
    this.#fault = error.message;
  }

  onClose(code: number, reason: Buffer): void {
    const endings = [
      () => this.#owner?.released(),
      () => this.#isRegistered || this.#owner?.abandoned(),
      () => this.#all.delete(this),
      () => this.#events.closed(code, reason.length === 0 ? this.#fault : reason.toString('utf8')),
    ];
    // Each runs separately: if one fails, it must not keep a place taken or a user online.
    for (const ending of endings) this.#guarded(ending);
  }

  /** A stream emits `drain` only beyond its high-water mark, so an empty write behind the held bytes asks instead. */
  #awaitDrain(): void {
    if (this.#waitsForDrain) return;
    this.#waitsForDrain = true;
    this.#stream.write('', (error) => this.#onFlushed(error));
  }

  #onFlushed(error?: Error | null): void {
    this.#waitsForDrain = false;
    if (error || this.#ws.readyState !== this.#ws.OPEN) return;
    this.#guarded(() => {
      if (this.#stream.writableLength > 0) this.#awaitDrain();
      else this.#events.drained();
    });
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
    this.#ws.close(CloseCode.internalError, 'internal-error');
  }
}

function onMessage(this: WebSocket, data: Buffer, isBinary: boolean): void {
  (this as OwnedWebSocket).socket?.onMessage(data, isBinary);
}

function onPing(this: WebSocket): void {
  (this as OwnedWebSocket).socket?.onPing();
}

function onPong(this: WebSocket): void {
  (this as OwnedWebSocket).socket?.onPong();
}

function onError(this: WebSocket, error: Error): void {
  (this as OwnedWebSocket).socket?.onError(error);
}

function onClose(this: WebSocket, code: number, reason: Buffer): void {
  (this as OwnedWebSocket).socket?.onClose(code, reason);
}

/**
 * Bytes that the stream holds and the kernel has not taken. Node counts a chunk as held until the kernel has taken all of
 * it. Only the handle below knows the progress within a large chunk. It is no public interface, so the code checks each
 * property.
 */
function heldBytes(stream: Duplex): number {
  const held = stream.writableLength;
  if (held === 0 || !('_handle' in stream) || !('bytesWritten' in stream)) return held;
  const { _handle: handle, bytesWritten: given } = stream;
  if (typeof handle !== 'object' || handle === null || typeof given !== 'number') return held;
  if (!('bytesWritten' in handle) || !('writeQueueSize' in handle)) return held;
  const { bytesWritten: dispatched, writeQueueSize: queued } = handle;
  if (typeof dispatched !== 'number' || typeof queued !== 'number') return held;
  return given - (dispatched - queued);
}
