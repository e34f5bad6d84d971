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
 * Splits an envelope into what does not depend on the receiver and what does, so that `type` and `data` are encoded
 * once per message (rule DL2).
 */
export class EnvelopeEncoder {
  readonly #head: string;
  readonly #tail: string;

  /** @param timestampSeconds whole seconds since 1970. Throws where `data` cannot be written as JSON. */
  constructor(type: string, data: unknown, timestampSeconds: number) {
    this.#head = `{"type":${JSON.stringify(type)},"userId":`;
    this.#tail = `,"timestamp":${timestampSeconds},"data":${JSON.stringify(data) ?? 'null'}`;
  }

  forUser(userId: number): string {
    return `${this.#head}${userId}${this.#tail}}`;
  }

  /** The same with a top-level `id`, for a client that can acknowledge. */
  forUserWithId(userId: number, id: string): string {
    return `${this.#head}${userId}${this.#tail},"id":${JSON.stringify(id)}}`;
  }
}
