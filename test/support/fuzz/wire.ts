import type { Random } from '../../simulation/random.ts';

/** Larger payloads are masked by zeros, which is a valid mask and costs nothing. */
const MASKED_BYTES = 4_096;

/** A client's frame, and its deviations from a valid one. */
export interface Wire {
  /** 0 continuation, 1 text, 2 binary, 8 close, 9 ping, 10 pong; others are reserved. */
  readonly opcode: number;
  readonly payload: Buffer;
  readonly fin?: boolean;
  /** The three reserved bits, 0…7. */
  readonly reserved?: number;
  readonly masked?: boolean;
  /** The length in the header, if it differs from the true one. */
  readonly claimed?: bigint;
  /** Bytes of the length field beyond the first: 0, 2 or 8. Default: the shortest. */
  readonly lengthBytes?: 0 | 2 | 8;
}

/** Encodes a frame with a mask from the generator: the same seed gives the same bytes. */
export function encodeWire(random: Random, wire: Wire): Buffer {
  const { payload } = wire;
  const length = wire.claimed ?? BigInt(payload.length);
  const lengthBytes = wire.lengthBytes ?? shortest(length);
  const masked = wire.masked ?? true;
  const maskAt = 2 + lengthBytes;
  const head = Buffer.alloc(maskAt + (masked ? 4 : 0));
  head[0] = ((wire.fin ?? true) ? 0x80 : 0) | ((wire.reserved ?? 0) << 4) | wire.opcode;
  const maskBit = masked ? 0x80 : 0;
  if (lengthBytes === 0) {
    head[1] = maskBit | Number(length & 0x7fn);
  } else if (lengthBytes === 2) {
    head[1] = maskBit | 126;
    head.writeUInt16BE(Number(length & 0xffffn), 2);
  } else {
    head[1] = maskBit | 127;
    head.writeBigUInt64BE(length & 0xffff_ffff_ffff_ffffn, 2);
  }
  if (!masked || payload.length > MASKED_BYTES) return Buffer.concat([head, payload]);
  const key = Math.floor(random.next() * 0x1_0000_0000);
  head.writeUInt32BE(key, maskAt);
  const body = Buffer.allocUnsafe(payload.length);
  for (let at = 0; at < payload.length; at += 1)
    body[at] = (payload[at] ?? 0) ^ ((key >>> (8 * (3 - (at & 3)))) & 0xff);
  return Buffer.concat([head, body]);
}

function shortest(length: bigint): 0 | 2 | 8 {
  if (length < 126n) return 0;
  return length < 65_536n ? 2 : 8;
}

/** Reads a server's frames as they arrive, in pieces of any size. */
export class FrameReader {
  #held = Buffer.alloc(0);

  /** The frames that this chunk completes. */
  read(chunk: Buffer): readonly { readonly opcode: number; readonly payload: Buffer }[] {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const frames: { opcode: number; payload: Buffer }[] = [];
    let at = 0;
    while (bytes.length >= at + 2) {
      let length = (bytes[at + 1] ?? 0) & 0x7f;
      let start = at + 2;
      if (length >= 126) {
        const size = length === 126 ? 2 : 8;
        if (bytes.length < start + size) break;
        length = size === 2 ? bytes.readUInt16BE(start) : Number(bytes.readBigUInt64BE(start));
        start += size;
      }
      if (bytes.length < start + length) break;
      frames.push({ opcode: (bytes[at] ?? 0) & 0x0f, payload: bytes.subarray(start, start + length) });
      at = start + length;
    }
    this.#held = Buffer.from(bytes.subarray(at));
    return frames;
  }
}
