import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { MAX_UNANSWERED } from './gateway-server.ts';

interface Connection {
  readonly waiting: Set<ServerResponse>;
  /** Bytes that had arrived when the newest answer was complete and no other request waited. */
  bytesBefore: number;
  onSettled: (() => void) | undefined;
}

/** Counts the unanswered requests of each connection, because Node emits all requests of one read at once. */
class Unanswered {
  readonly #connections = new WeakMap<Socket, Connection>();

  /** Returns whether another request of the connection waits for its answer. */
  enter(socket: Socket, outgoing: ServerResponse): boolean {
    const connection = this.#of(socket);
    const isBehindAnother = connection.waiting.size > 0;
    connection.waiting.add(outgoing);
    outgoing.once('close', () => {
      connection.waiting.delete(outgoing);
      if (connection.waiting.size > 0) return;
      connection.bytesBefore = socket.bytesRead;
      connection.onSettled?.();
    });
    return isBehindAnother;
  }

  isFull(socket: Socket): boolean {
    return (this.#connections.get(socket)?.waiting.size ?? 0) >= MAX_UNANSWERED;
  }

  /** Resolves once all received requests are answered, or the connection has ended. Undefined: that is already so. */
  settled(socket: Socket): Promise<void> | undefined {
    const connection = this.#connections.get(socket);
    if (connection === undefined || connection.waiting.size === 0 || socket.destroyed) return undefined;
    return new Promise((resolve) => {
      connection.onSettled = resolve;
      socket.once('close', resolve);
    });
  }

  /**
   * Whether the client may have sent more after this request. Node discards the rest of the same read after an offer to upgrade,
   * because it might be in the new protocol. If in doubt, it returns true. Then the server closes the connection, and the client
   * knows that it must send the request again.
   */
  mayBeFollowed(incoming: IncomingMessage): boolean {
    const connection = this.#of(incoming.socket);
    if (connection.waiting.size > 1 || incoming.headers['transfer-encoding'] !== undefined) return true;
    return incoming.socket.bytesRead - connection.bytesBefore > usualSize(incoming);
  }

  #of(socket: Socket): Connection {
    const known = this.#connections.get(socket);
    if (known !== undefined) return known;
    const connection = { waiting: new Set<ServerResponse>(), bytesBefore: 0, onSettled: undefined };
    this.#connections.set(socket, connection);
    socket.once('close', () => closeAll(connection.waiting));
    return connection;
  }
}

/** All servers share it, because Node creates the requests that use it. It keeps nothing after a connection ends. */
export const unanswered = new Unanswered();

/**
 * When the connection ends, Node closes only the answer that it is writing. The answers after it would wait forever, and a stream
 * among them would keep its place.
 */
function closeAll(waiting: ReadonlySet<ServerResponse>): void {
  for (const outgoing of [...waiting]) {
    if (outgoing.destroyed) continue;
    outgoing.destroyed = true;
    outgoing.emit('close');
  }
}

/** Bytes of the request in its usual form, including its body. */
function usualSize(incoming: IncomingMessage): number {
  const { method, url, rawHeaders, headers } = incoming;
  const firstLine = `${method} ${url} HTTP/1.1\r\n`.length;
  const separators = (rawHeaders.length / 2) * ': \r\n'.length;
  const lines = rawHeaders.reduce((sum, text) => sum + text.length, separators);
  return firstLine + lines + '\r\n'.length + Number(headers['content-length'] ?? 0);
}
