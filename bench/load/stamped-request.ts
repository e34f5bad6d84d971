/** A request whose messages contain their due time, which is overwritten in place. */
export interface StampedRequest {
  readonly bytes: Buffer;
  /** The place of each time. */
  readonly places: readonly number[];
}

/** As long as a wall time in µs, and counts as no time. */
const NO_TIME = '0.00000000000000';

export function stampedRequest(options: {
  readonly apiKey: string;
  readonly batch: number;
  readonly first: number;
  readonly users: number;
  readonly random?: () => number;
}): StampedRequest {
  const { apiKey, batch, first, users, random = Math.random } = options;
  const messages = Array.from({ length: batch }, () => {
    const userId = first + Math.floor(random() * users);
    return `{"to":{"userId":${userId}},"type":"note","data":{"at":${NO_TIME},"text":"hello"}}`;
  });
  const body = batch === 1 ? messages.join() : `[${messages.join()}]`;
  const head = [
    'POST /api/messages HTTP/1.1',
    'Host: 127.0.0.1',
    `Authorization: Bearer ${apiKey}`,
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
  ];
  const bytes = Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`);
  const places: number[] = [];
  for (let at = bytes.indexOf('"at":'); at >= 0; at = bytes.indexOf('"at":', at + 1)) places.push(at + 5);
  return { bytes, places };
}

/** Writes a wall time in µs into each message. */
export function stamp(request: StampedRequest, micros: number): void {
  const digits = String(micros);
  for (const place of request.places) request.bytes.write(digits, place, 'latin1');
}
