/** Called with the opcode of a frame and the place of its payload in `bytes`. */
export type TakeFrame = (opcode: number, bytes: Buffer, payload: { start: number; end: number }) => void;

/** One object for all frames, so that no frame needs a new one. */
const place = { start: 0, end: 0 };

/** Visits the complete frames of a server, which are not masked. Returns the start of the first incomplete one. */
export function walkFrames(bytes: Buffer, take: TakeFrame): number {
  let at = 0;
  while (bytes.length >= at + 2) {
    let length = (bytes[at + 1] ?? 0) & 0x7f;
    let start = at + 2;
    if (length === 126) {
      if (bytes.length < start + 2) return at;
      length = bytes.readUInt16BE(start);
      start += 2;
    } else if (length === 127) {
      if (bytes.length < start + 8) return at;
      length = Number(bytes.readBigUInt64BE(start));
      start += 8;
    }
    if (bytes.length < start + length) return at;
    place.start = start;
    place.end = start + length;
    take((bytes[at] ?? 0) & 0x0f, bytes, place);
    at = start + length;
  }
  return at;
}

const MARK = Buffer.from('"at":');
const [ZERO, NINE] = [0x30, 0x39];

/** The number after `"at":` in a payload: the due time of the message, in µs. Undefined if there is none. */
export function intendedIn(
  bytes: Buffer,
  payload: { readonly start: number; readonly end: number },
): number | undefined {
  const mark = bytes.indexOf(MARK, payload.start);
  if (mark < 0 || mark >= payload.end) return undefined;
  let value = 0;
  for (let at = mark + MARK.length; at < payload.end; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte < ZERO || byte > NINE) break;
    value = value * 10 + (byte - ZERO);
  }
  return value === 0 ? undefined : value;
}
