/**
 * The outcome of a frame that was given to a socket. `sent`: the kernel accepted all of it. `buffered`: the socket holds it and
 * calls `drained` once it accepts more. `failed`: the socket is gone.
 */
export type SocketWrite = 'sent' | 'buffered' | 'failed';

/**
 * The port through which a connection drives its socket. Adapters (Bun, ws, a fake in tests) implement it and call
 * back into {@link SocketEvents}.
 *
 * - MUST be synchronous: `send` never waits.
 * - MUST answer `buffered` as soon as one byte stays behind, and then call `drained` once everything left.
 * - MUST call `closed` exactly once, also after `close` or `terminate`.
 * - MUST NOT call back into events from inside `send`.
 */
export interface Socket {
  send(text: string): SocketWrite;
  /** Sends a protocol ping (RFC 6455 section 5.5.2). */
  ping(): void;
  /** Starts the closing handshake. */
  close(code: number, reason: string): void;
  /** Drops the TCP connection at once. */
  terminate(): void;
  /** Bytes that the socket holds and the kernel has not accepted. It falls as soon as the kernel accepts some of them. */
  bufferedBytes(): number;
}

/** What a socket adapter tells its connection. */
export interface SocketEvents {
  /** A complete data message. A binary message comes as its UTF-8 text. */
  message(text: string): void;
  /** A protocol pong or ping arrived. */
  control(): void;
  drained(): void;
  /** The socket ended. `code` is 1006 if no close frame arrived. */
  closed(code: number, reason: string): void;
}
