import { mayReconnect } from './may-reconnect.ts';

/**
 * WebSocket close codes that Lingxi sends (RFC 6455 section 7.4). 4000–4099: the client must not reconnect by itself. 4100–4199:
 * it should reconnect, with backoff.
 */
export const CloseCode = {
  /** RFC 6455: normal closure. */
  normal: 1000,
  /** RFC 6455: protocol error. */
  protocolError: 1002,
  /** RFC 6455: invalid UTF-8 in a text message. */
  invalidPayload: 1007,
  /** RFC 6455: the client broke a limit or rule of this server (rate, floods). */
  policyViolation: 1008,
  /** RFC 6455: the message is larger than `LINGXI_MAX_MESSAGE_BYTES`. */
  tooBig: 1009,
  /** RFC 6455: an unexpected condition in the server. */
  internalError: 1011,
  /** The server restarts. Reconnect after the delay in `goodbye`. */
  serviceRestart: 1012,
  /** The server is overloaded; try again later. */
  tryAgainLater: 1013,
  /** The user logged out: by a `logout` message or over HTTP. */
  loggedOut: 4000,
  /** A newer connection of the same user replaced this one. */
  replaced: 4001,
  /** The service disconnected the user. */
  kicked: 4002,
  /** The token expired or was revoked. */
  tokenExpired: 4003,
  /** Refused in band: there is no such user. */
  unknownUser: 4004,
  /** Refused in band: the user is blocked. */
  blocked: 4005,
  /** Refused in band: another connection of the user has priority. */
  sessionExists: 4006,
  /** Refused in band: the user's connections replaced each other too often. */
  sessionFlapping: 4007,
  /** Refused in band: the request itself is wrong. */
  badRequest: 4008,
  /** No proof of life within the heartbeat timeout. */
  heartbeatTimeout: 4100,
  /** The client accepted nothing for the write timeout, or its queue overflowed under the policy `disconnect`. */
  slowConsumer: 4101,
  /** This node lost its presence lease, and meanwhile the user was logged out or moved to another node. */
  presenceLost: 4102,
  /** Refused in band for now. Reconnect after the delay in `goodbye`. */
  refusedForNow: 4110,
} as const;

export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];

/** The meaning of a close cause for the client. */
interface Close {
  readonly code: CloseCode;
  /** Whether the client should reconnect by itself. The range of the code says the same. */
  readonly mayReconnect: boolean;
  /** Whether a `lingxi.v1` client first gets a `goodbye` with the time to reconnect. */
  readonly saysGoodbye: boolean;
}

/** The causes of a close, each with its meaning for the client. Every close has one. */
export const CLOSES = {
  'client-closed': silent(CloseCode.normal),
  // No client sees this code: the server only noticed the end.
  'connection-lost': silent(CloseCode.internalError),
  'transport-error': silent(CloseCode.internalError),
  'heartbeat-timeout': withGoodbye(CloseCode.heartbeatTimeout),
  'read-timeout': withGoodbye(CloseCode.heartbeatTimeout),
  'slow-consumer': withGoodbye(CloseCode.slowConsumer),
  replaced: silent(CloseCode.replaced),
  logout: silent(CloseCode.loggedOut),
  kick: silent(CloseCode.kicked),
  'token-expired': silent(CloseCode.tokenExpired),
  'token-revoked': silent(CloseCode.tokenExpired),
  'policy-violation': silent(CloseCode.policyViolation),
  'presence-lost': withGoodbye(CloseCode.presenceLost),
  // A bug in the handling of this connection.
  'internal-error': silent(CloseCode.internalError),
  shutdown: withGoodbye(CloseCode.serviceRestart),
} as const satisfies Readonly<Record<string, Close>>;

/** Why a connection ended. Every close has a cause. */
export type CloseCause = keyof typeof CLOSES;

function silent(code: CloseCode): Close {
  return { code, mayReconnect: mayReconnect(code), saysGoodbye: false };
}

function withGoodbye(code: CloseCode): Close {
  return { code, mayReconnect: mayReconnect(code), saysGoodbye: true };
}

/** Largest number of UTF-8 bytes in the reason of a close frame (RFC 6455 section 5.5). */
const MAX_REASON_BYTES = 123;

/** A reason cut to the size of a close frame: between two characters, without half a surrogate pair. */
export function closeReason(text: string): string {
  let reason = '';
  let bytes = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    const isHalf = code >= 0xd800 && code <= 0xdfff;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    if (bytes > MAX_REASON_BYTES) break;
    reason += isHalf ? '\ufffd' : character;
  }
  return reason;
}
