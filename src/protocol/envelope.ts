/** Name of the subprotocol that clients offer to use more than envelopes. */
export const SUBPROTOCOL = 'lingxi.v1';

/** Prefix of the offered subprotocol that contains a token; never echoed. */
export const BEARER_SUBPROTOCOL_PREFIX = 'bearer.';

/** The JSON text of a value. A value without a JSON form (`undefined`, a function) becomes null. Throws for a BigInt. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value) ?? 'null';
}

/**
 * Splits an envelope into the part that depends on the receiver and the part that does not, so that `type` and `data` are encoded
 * once per message (rule DL2).
 */
export class EnvelopeEncoder {
  readonly #head: string;
  readonly #tail: string;

  /**
   * @param dataText JSON text, sent unchanged: see {@link jsonText} for a value.
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
