import { mayReconnect } from './may-reconnect.ts';

/**
 * WebSocket close codes that Lingxi sends (RFC 6455 section 7.4). 4000–4099: the client must not reconnect by
 * itself. 4100–4199: it should, with backoff.
 */
export const CloseCode = {
  /** RFC 6455: normal closure. */
  normal: 1000,
  /** RFC 6455: protocol error. */
  protocolError: 1002,
  /** RFC 6455: invalid UTF-8 in a text message. */
  invalidPayload: 1007,
  /** RFC 6455: a limit or rule of this server was broken (rate, floods). */
  policyViolation: 1008,
  /** RFC 6455: the message is larger than `LINGXI_MAX_MESSAGE_BYTES`. */
  tooBig: 1009,
  /** RFC 6455: the server met a condition it did not expect. */
  internalError: 1011,
  /** The server restarts; come back after the delay named in `goodbye`. */
  serviceRestart: 1012,
  /** The server is overloaded; try again later. */
  tryAgainLater: 1013,
  /** The user logged out: by a `logout` message or over HTTP. */
  loggedOut: 4000,
  /** A newer connection of the same user took over. */
  replaced: 4001,
  /** The service disconnected the user. */
  kicked: 4002,
  /** The token ran out or was revoked. */
  tokenExpired: 4003,
  /** Refused in band: there is no such user. */
  unknownUser: 4004,
  /** Refused in band: the user is blocked. */
  blocked: 4005,
  /** Refused in band: another connection of the user stays. */
  sessionExists: 4006,
  /** Refused in band: the user's connections replaced each other too often. */
  sessionFlapping: 4007,
  /** Refused in band: the request itself is wrong. */
  badRequest: 4008,
  /** No proof of life within the heartbeat timeout. */
  heartbeatTimeout: 4100,
  /** The client took nothing for the write timeout, or its queue overflowed under the policy `disconnect`. */
  slowConsumer: 4101,
  /** This node lost its presence lease and the user was ended or taken over meanwhile. */
  presenceLost: 4102,
  /** Refused in band for now; come back after the delay named in `goodbye`. */
  refusedForNow: 4110,
} as const;

export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];

/** What a close with one cause means to the client. */
interface Close {
  readonly code: CloseCode;
  /** Whether the client should come back by itself; the range of the code says the same. */
  readonly mayReconnect: boolean;
  /** Whether a `lingxi.v1` client gets a `goodbye` first, which says when to come back. */
  readonly saysGoodbye: boolean;
}

/** Why a connection ended, each cause with what it means to the client. Every close has one. */
export const CLOSES = {
  'client-closed': silent(CloseCode.normal),
  // Nobody is left to see a code: this end was noticed, not made.
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
  // A bug of ours in the handling of this connection.
  'internal-error': silent(CloseCode.internalError),
  shutdown: withGoodbye(CloseCode.serviceRestart),
} as const satisfies Readonly<Record<string, Close>>;

/** Why a connection ended; every close carries one. */
export type CloseCause = keyof typeof CLOSES;

function silent(code: CloseCode): Close {
  return { code, mayReconnect: mayReconnect(code), saysGoodbye: false };
}

function withGoodbye(code: CloseCode): Close {
  return { code, mayReconnect: mayReconnect(code), saysGoodbye: true };
}

/** Bytes of UTF-8 that the reason of a close frame may have (RFC 6455 section 5.5). */
const MAX_REASON_BYTES = 123;

/** A reason as a close frame can carry it: cut between two characters, without halves of a surrogate pair. */
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
