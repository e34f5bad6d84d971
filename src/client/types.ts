import type { ServerFrame, SystemFrame } from '../protocol/frames.ts';
import type { WebSocketClass } from './environment.ts';

/** Why the client asks for a token. */
export type TokenReason =
  /** It has none yet, or its ticket was used. */
  | 'start'
  /** The token has expired, was revoked or is invalid. */
  | 'expired'
  /** The last attempt failed before the server said `welcome`: the token may be the cause. */
  | 'refused'
  /** The token expires soon; the connection stays open meanwhile. */
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
   * Fetches a token. The client keeps it until it expires, is refused or is about to expire. An exception, a rejection or
   * no answer within 10 s counts as a failed attempt; the client tries again with backoff.
   */
  readonly getToken?: (request: { readonly reason: TokenReason }) => string | Promise<string>;
  /** `seed`: speaks as the clients of the Go server do, with `?token=` and one ping a second. Default `lingxi.v1`. */
  readonly protocol?: 'lingxi.v1' | 'seed';
  /**
   * `header`: sends the token as `Authorization`. Only the WebSocket of the package `ws` can. `ticket`: `getToken` gives a
   * one-time ticket of `POST /api/tickets`, and the client asks for one before each attempt. Default `subprotocol`.
   */
  readonly auth?: 'subprotocol' | 'header' | 'ticket';
  /** A WebSocket class, for platforms without one: on Node 20, that of the package `ws`. */
  readonly WebSocket?: WebSocketClass;
  /** Most messages that wait while there is no connection. Default 64, and never more than 1 MB of text together. */
  readonly queueLimit?: number;
  /** Closes the client for good, as {@link Client.close} does. */
  readonly signal?: AbortSignal;
  /** Gets what a listener of the application threw. Default: the console. */
  readonly onError?: (error: unknown) => void;
}

export type Status =
  /** The client opens a connection. */
  | 'connecting'
  /** The server has accepted the connection. */
  | 'open'
  /** The last connection or attempt has ended; the client tries again by itself at {@link State.retryAt}. */
  | 'waiting'
  /** The page is hidden for good or in the back-forward cache; the client comes back with it. */
  | 'paused'
  /** The client has ended. Only {@link Client.connect} starts it again. */
  | 'closed';

/** The state of a connection as one value. The client never changes it; it replaces it. */
export interface State {
  readonly status: Status;
  /**
   * Why the client is in this state: the reason of the server's close frame, or a word of the client. docs/CLIENT.md has
   * the list.
   */
  readonly reason: string;
  /** Close code of the connection that has ended, if the server or the network gave one. */
  readonly code?: number;
  /** Wall clock in ms at which the client tries again; with `waiting` only. */
  readonly retryAt?: number;
  /** The text of the error behind the reason, for a developer to read. Its form depends on the platform. */
  readonly detail?: string;
}

/** What became of a message that the client was to send. */
export type SendOutcome =
  /** Handed to the socket of an open connection. Only an answer of the application proves that it arrived. */
  | 'sent'
  /** Too many messages wait already. */
  | 'queue-full'
  /** The client has ended before a connection was open. */
  | 'closed'
  /** The data has no JSON text: it has a cycle or a BigInt. */
  | 'invalid'
  /** The tab that owned the shared connection has gone; it may have sent the message before. */
  | 'unknown';

/** What comes with the data of a message. */
export interface MessageInfo {
  readonly type: string;
  readonly userId: number;
  /** Seconds since 1970, by the server's clock. */
  readonly timestamp: number;
  /** Present where the sender asked for an acknowledgement. The client acknowledges by itself, after the listeners. */
  readonly id?: string;
}

/** Any type of message, with data of any kind. */
export type AnyEvents = Record<string, unknown>;

/** The frames of the protocol itself that listeners may see too. */
export type ProtocolEvents = {
  readonly [F in Extract<
    SystemFrame,
    { readonly type: 'welcome' | 'goodbye' | 'error' | 'token' }
  > as F['type']]: F['data'];
};

/** The types of the application, and those of the protocol. */
export type Listenable<E extends object> = E & ProtocolEvents & { readonly '*': unknown };

export interface ListenOptions {
  /** Removes the listener when it aborts. */
  readonly signal?: AbortSignal;
}

/** A connection that comes back by itself. Every method may be called at any time, and none throws. */
export interface Client<E extends object = AnyEvents> {
  /** The present state. */
  readonly state: State;
  /** Calls `listener` after each change of {@link state}; returns the function that stops this. */
  readonly subscribe: (listener: (state: State) => void) => () => void;
  /**
   * Calls `listener` with the data of each message of this type; `*` means every type. Returns the function that stops
   * this. An exception or a rejection of a listener goes to `onError` and disturbs nothing else.
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
  /** Starts a closed client again, or ends the wait for the next attempt. */
  readonly connect: () => void;
  /** Closes the connection and stays away. The user stays online for the heartbeat timeout. */
  readonly close: () => void;
}

/** A frame of the server as it came: only `type` is checked. */
export interface Frame extends Partial<Pick<ServerFrame, 'userId' | 'timestamp'>> {
  readonly type: string;
  readonly data?: unknown;
  readonly id?: unknown;
}
