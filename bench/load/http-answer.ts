export interface HttpAnswer {
  readonly status: number;
  /** The first characters of the body. */
  readonly text: () => string;
}

const HEAD_END = '\r\n\r\n';
const SHOWN_CHARACTERS = 300;

/** The one complete answer in `bytes`. Undefined if a part is missing, an error if its end cannot be found. */
export function readAnswer(bytes: Buffer): HttpAnswer | Error | undefined {
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) return undefined;
  const head = bytes.subarray(0, end).toString('latin1');
  const status = Number(head.split(' ', 2)[1]);
  const start = end + HEAD_END.length;
  const text = (): string => bytes.subarray(start, start + SHOWN_CHARACTERS).toString('utf8');
  const [, length] = /\r\ncontent-length: *(\d+)/i.exec(head) ?? [];
  if (length !== undefined) return bytes.length < start + Number(length) ? undefined : { status, text };
  if (!/\r\ntransfer-encoding: *chunked/i.test(head))
    return new Error(`an answer ${status} of the server has no length`);
  // The only other end of a chunked body has trailers, which the server does not send.
  return bytes.subarray(start).toString('latin1').endsWith('0\r\n\r\n') ? { status, text } : undefined;
}
