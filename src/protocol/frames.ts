import type { CloseCause } from './close-codes.ts';
import { pingTimestamp } from './codec.ts';
import { ERRORS, type ErrorCode } from './error-codes.ts';
import { isJsonObject, parseJson } from './json-text.ts';

/** The dialect of a connection: only the envelopes of the Go server, or `lingxi.v1` as well. */
export type ClientProtocol = 'seed' | 'lingxi.v1';

/** A client message in the form for the application. `type` is a string; the JSON types of the other fields are not checked. */
export interface ClientMessage {
  readonly type: string;
  readonly timestamp?: unknown;
  readonly data?: unknown;
  readonly id?: unknown;
}

/** Every frame from a client. */
export type ClientFrame =
  /** `timestamp` is JSON text, as the client wrote it. Empty if the ping has none. */
  | { readonly kind: 'ping'; readonly timestamp: string }
  | { readonly kind: 'logout' }
  | { readonly kind: 'state'; readonly value: 'active' | 'background' }
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'ack'; readonly id: string }
  /** A message with a type of the protocol and invalid content. */
  | { readonly kind: 'unusable'; readonly type: 'state' | 'token' | 'ack' }
  /** A type that the protocol does not have in this dialect. */
  | { readonly kind: 'application'; readonly message: ClientMessage };

/** The messages that only `lingxi.v1` clients send. */
export type ProtocolFrame = Exclude<ClientFrame, { readonly kind: 'ping' | 'application' }>;

/** The frames that the protocol itself sends to clients. Only `lingxi.v1` clients get them. */
export type SystemFrame =
  /** The first frame of a connection. Epoch and period are decimal strings. */
  | {
      readonly type: 'welcome';
      readonly data: {
        readonly connectionId: string;
        readonly epoch: string;
        readonly period: string;
        /** False if this connection opened the period. */
        readonly resumed: boolean;
        readonly heartbeatTimeoutMs: number;
        readonly pingIntervalMs: number;
        readonly node: string;
      };
    }
  /**
   * The answer to a ping. {@link encodePong} encodes it, because its timestamp may be a number that JavaScript cannot represent.
   */
  | { readonly type: 'pong'; readonly data: { readonly timestamp?: unknown } }
  /** Goes out before a close after which the client may reconnect. A refusal in band has its error code here. */
  | {
      readonly type: 'goodbye';
      readonly data: {
        readonly code: number;
        readonly reason: CloseCause | ErrorCode;
        readonly reconnectAfterMs: number;
      };
    }
  /** The client's request was refused. */
  | {
      readonly type: 'error';
      readonly data: {
        readonly about: Refusable;
        readonly code: ErrorCode;
        readonly message: string;
        /** About a message of the application: its type, cut to {@link MAX_SHOWN_TYPE} characters. */
        readonly type?: string;
      };
    }
  /** A renewal was accepted. Null: the token never expires. */
  | { readonly type: 'token'; readonly data: { readonly expiresAt: number | null } };

/** A message of the application to any client, in the only form that clients without `lingxi.v1` know. */
export interface Envelope {
  readonly type: string;
  readonly userId: number;
  /** Seconds since 1970. */
  readonly timestamp: number;
  readonly data: unknown;
  /** Present if the sender requested an acknowledgement; only `lingxi.v1` clients get it. */
  readonly id?: string;
}

/** Every frame to a client, in its form on the wire. */
export type ServerFrame = Envelope | (SystemFrame & Pick<Envelope, 'userId' | 'timestamp'>);

/** The client requests that the server may refuse. `message`: a message of the application. */
export type Refusable = 'state' | 'token' | 'message';

/** Largest number of characters of the client's own type in an `error` frame. */
const MAX_SHOWN_TYPE = 128;

const TYPES: Readonly<Record<SystemFrame['type'] | 'logout' | 'ping' | 'state' | 'ack', true>> = {
  ack: true,
  error: true,
  goodbye: true,
  logout: true,
  ping: true,
  pong: true,
  state: true,
  token: true,
  welcome: true,
};

/**
 * Types of the protocol's own messages, in both directions. Nobody may push them, because a client could not tell such a message
 * from a frame of the protocol. The library's own `sendToUser` and `broadcast` do not check the type.
 */
export const PROTOCOL_TYPES: ReadonlySet<string> = new Set(Object.keys(TYPES));

/**
 * Parses and validates a frame from a client. Undefined if it is not JSON, nests deeper than 128, is not an object, or has no
 * string `type`.
 */
export function parseClientFrame(text: string, protocol: ClientProtocol): ClientFrame | undefined {
  const message = parseClientMessage(text);
  if (message === undefined) return undefined;
  if (message.type === 'ping') return { kind: 'ping', timestamp: pingTimestamp(text) };
  const known = protocol === 'lingxi.v1' ? protocolFrame(message) : undefined;
  return known ?? { kind: 'application', message };
}

/** The JSON text of a frame of the protocol. */
export function encodeFrame(
  frame: Exclude<SystemFrame, { readonly type: 'pong' }>,
  to: { readonly userId: number; readonly timestamp: number },
): string {
  return JSON.stringify({
    type: frame.type,
    userId: to.userId,
    timestamp: to.timestamp,
    data: frame.data,
  } satisfies ServerFrame);
}

/**
 * The answer to a ping contains the ping's own timestamp, given as JSON text (empty: the ping had none). So digits that no number
 * can represent come back unchanged.
 */
export function encodePong(
  timestampJson: string,
  to: { readonly userId: number; readonly timestamp: number },
): string {
  const data = timestampJson === '' ? '{}' : `{"timestamp":${timestampJson}}`;
  return `{"type":"pong","userId":${to.userId},"timestamp":${to.timestamp},"data":${data}}`;
}

/**
 * The frame that refuses a client's request. Its sentence is English, because a frame does not know the language of its reader.
 */
export function refusalFrame(
  about: Refusable,
  code: ErrorCode,
  type?: string,
): Extract<SystemFrame, { type: 'error' }> {
  const refused = type === undefined ? {} : { type: type.slice(0, MAX_SHOWN_TYPE) };
  return { type: 'error', data: { about, code, message: ERRORS[code].en, ...refused } };
}

function parseClientMessage(text: string): ClientMessage | undefined {
  const value = parseJson(text);
  return isClientMessage(value) ? value : undefined;
}

function isClientMessage(value: unknown): value is ClientMessage {
  return isJsonObject(value) && typeof value['type'] === 'string';
}

function protocolFrame({ type, data, id }: ClientMessage): ProtocolFrame | undefined {
  const content = isJsonObject(data) ? data : {};
  switch (type) {
    case 'logout':
      return { kind: 'logout' };
    case 'state': {
      const value = content['value'];
      return value === 'active' || value === 'background'
        ? { kind: 'state', value }
        : { kind: 'unusable', type };
    }
    case 'token': {
      const token = content['token'];
      return typeof token === 'string' ? { kind: 'token', token } : { kind: 'unusable', type };
    }
    case 'ack':
      return typeof id === 'string' ? { kind: 'ack', id } : { kind: 'unusable', type };
    default:
      return undefined;
  }
}
