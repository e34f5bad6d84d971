import type { ServerFrame, SystemFrame } from '../protocol/frames.ts';
import type { WebSocketClass } from './environment.ts';

/** Why the client asks for a token. */
export type TokenReason =
  /** The client has no token yet, or its ticket was used. */
  | 'start'
  /** The token has expired, was revoked or is invalid. */
  | 'expired'
  /** The last attempt failed before `welcome`: the token may be the cause. */
  | 'refused'
  /** The token expires soon. The connection stays open meanwhile. */
  | 'renewal';

export interface ClientOptions {
  /**
   * Address of the gateway: `wss://game.example/ws`. `https:` and `http:` work too, and in a page a path is enough.
   * Default: `/ws` of the page's own origin.
   */
  readonly url?: string;
  /** A token that never changes. Give this or {@link getToken}. */
  readonly token?: string;
  /**
   * Fetches a token. The client keeps it until it expires, is refused or is about to expire. An exception, a rejection or no
   * answer within 10 s counts as a failed attempt, and the client tries again with backoff.
   */
  readonly getToken?: (request: { readonly reason: TokenReason }) => string | Promise<string>;
  /** `seed`: uses the protocol of the Go server's clients, with `?token=` and one ping a second. Default `lingxi.v1`. */
  readonly protocol?: 'lingxi.v1' | 'seed';
  /**
   * `header`: sends the token as `Authorization`, which only the WebSocket of the package `ws` can do. `ticket`: `getToken`
   * returns a one-time ticket from `POST /api/tickets`, and the client calls it before each attempt. Default `subprotocol`.
   */
  readonly auth?: 'subprotocol' | 'header' | 'ticket';
  /** A WebSocket class, for platforms without one: on Node 20, that of the package `ws`. */
  readonly WebSocket?: WebSocketClass;
  /** Largest number of messages that wait without a connection. Default 64, and never more than 1 MB of text together. */
  readonly queueLimit?: number;
  /** Closes the client permanently, as {@link Client.close} does. */
  readonly signal?: AbortSignal;
  /** Gets the errors that listeners of the application throw. Default: the console. */
  readonly onError?: (error: unknown) => void;
}

export type Status =
  /** The client is opening a connection. */
  | 'connecting'
  /** The server has accepted the connection. */
  | 'open'
  /** The last connection or attempt has ended. The client tries again by itself at {@link State.retryAt}. */
  | 'waiting'
  /** The page was left, or is in the back-forward cache. The client connects again if the page returns. */
  | 'paused'
  /** The client has ended. Only {@link Client.connect} starts it again. */
  | 'closed';

/** The state of a connection as one value. The client never changes this object; it replaces it. */
export interface State {
  readonly status: Status;
  /**
   * Why the client is in this state: the reason from the server's close frame, or one of the client's own. docs/CLIENT.md has the
   * list.
   */
  readonly reason: string;
  /** Close code of the ended connection, if the server or the network gave one. */
  readonly code?: number;
  /** Wall clock in ms of the next attempt; only in the status `waiting`. */
  readonly retryAt?: number;
  /** The error text behind the reason, for a developer. Its form depends on the platform. */
  readonly detail?: string;
}

/** The outcome of a message that the application sent. */
export type SendOutcome =
  /** The socket of an open connection has it. Only an answer of the application proves that it arrived. */
  | 'sent'
  /** Too many messages already wait. */
  | 'queue-full'
  /** The client ended before a connection was open. */
  | 'closed'
  /** The data cannot be written as JSON: it has a cycle or a BigInt. */
  | 'invalid'
  /** The tab with the shared connection is gone; it may have sent the message before. */
  | 'unknown';

/** The further fields of a message besides its data. */
export interface MessageInfo {
  readonly type: string;
  readonly userId: number;
  /** Seconds since 1970, by the server's clock. */
  readonly timestamp: number;
  /** Present if the sender requested an acknowledgement. The client sends it after the listeners have run. */
  readonly id?: string;
}

/** Any type of message, with any data. */
export type AnyEvents = Record<string, unknown>;

/** Frames of the protocol itself that listeners may also receive. */
export type ProtocolEvents = {
  readonly [F in Extract<
    SystemFrame,
    { readonly type: 'welcome' | 'goodbye' | 'error' | 'token' }
  > as F['type']]: F['data'];
};

/** The types of the application and of the protocol. */
export type Listenable<E extends object> = E & ProtocolEvents & { readonly '*': unknown };

export interface ListenOptions {
  /** Removes the listener when it aborts. */
  readonly signal?: AbortSignal;
}

/** A connection that reconnects by itself. Every method may be called at any time, and none throws. */
export interface Client<E extends object = AnyEvents> {
  /** The present state. */
  readonly state: State;
  /** Calls `listener` after each change of {@link state}; returns a function that stops this. */
  readonly subscribe: (listener: (state: State) => void) => () => void;
  /**
   * Calls `listener` with the data of each message of this type; `*` means every type. Returns a function that stops this. If a
   * listener throws or rejects, `onError` gets the error, and nothing else is affected.
   */
  readonly on: <K extends keyof Listenable<E> & string>(
    type: K,
    listener: (data: Listenable<E>[K], info: MessageInfo) => unknown,
    options?: ListenOptions,
  ) => () => void;
  /** Sends a message, or keeps it until a connection is open. The promise never rejects. */
  readonly send: (type: string, data?: unknown) => Promise<SendOutcome>;
  /** Logs the user out; the server then closes with 4000. Only with `lingxi.v1`. */
  readonly logout: () => Promise<SendOutcome>;
  /** Starts a closed client again, or skips the wait for the next attempt. */
  readonly connect: () => void;
  /** Closes the connection and does not reconnect. The user stays online for the heartbeat timeout. */
  readonly close: () => void;
}

/** A frame from the server as it arrived. Only `type` is checked. */
export interface Frame extends Partial<Pick<ServerFrame, 'userId' | 'timestamp'>> {
  readonly type: string;
  readonly data?: unknown;
  readonly id?: unknown;
}
