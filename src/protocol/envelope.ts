/** The one shape of a server message: a JSON text frame. `timestamp` is in seconds, as in the seed. */
export interface Envelope {
  readonly type: string;
  readonly userId: number;
  readonly timestamp: number;
  readonly data: unknown;
  /** Present where the sender asks for an acknowledgement; only `lingxi.v1` clients get it. */
  readonly id?: string;
}

/** Name of the subprotocol that clients offer to speak more than the seed's envelopes. */
export const SUBPROTOCOL = 'lingxi.v1';

/** Prefix of the subprotocol offer that carries a token; never echoed. */
export const BEARER_SUBPROTOCOL_PREFIX = 'bearer.';

/**
 * Types with which the protocol itself speaks to clients, or they to it. Nobody may push them: a client could not tell
 * such a message from one of ours. The library's own `sendToUser` and `broadcast` do not look at the type.
 */
export const PROTOCOL_TYPES: ReadonlySet<string> = new Set([
  'ack',
  'error',
  'goodbye',
  'logout',
  'ping',
  'pong',
  'state',
  'token',
  'welcome',
]);

/** The JSON text of a value; what has no JSON form by itself (`undefined`, a function) is null. Throws for a BigInt. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value) ?? 'null';
}

/**
 * Splits an envelope into what does not depend on the receiver and what does, so that `type` and `data` are encoded
 * once per message (rule DL2).
 */
export class EnvelopeEncoder {
  readonly #head: string;
  readonly #tail: string;

  /**
   * @param dataText JSON text, sent as it is: see {@link jsonText} for a value.
   * @param timestampSeconds whole seconds since 1970.
   */
  constructor(type: string, dataText: string, timestampSeconds: number) {
    this.#head = `{"type":${JSON.stringify(type)},"userId":`;
    this.#tail = `,"timestamp":${timestampSeconds},"data":${dataText}`;
  }

  forUser(userId: number): string {
    return `${this.#head}${userId}${this.#tail}}`;
  }

  /** The same with a top-level `id`, for a client that can acknowledge. */
  forUserWithId(userId: number, id: string): string {
    return `${this.#head}${userId}${this.#tail},"id":${JSON.stringify(id)}}`;
  }
}
