import { openRaw, type RawSocket } from './raw-socket.ts';

/** One HTTP answer, parsed from its bytes. */
export interface RawAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A TCP connection with hand-written HTTP/1.1, for input that no normal client would send. */
export interface RawHttp extends RawSocket {
  /** The complete answers so far, in order, without interim ones (100). */
  answers(): readonly RawAnswer[];
  /** Waits until `count` answers have arrived or the server has ended the connection. */
  settled(count: number, timeoutMs?: number): Promise<readonly RawAnswer[]>;
  /** Whether the server has ended the connection. */
  hasEnded(): boolean;
}

const TIMEOUT_MS = 15_000;

export function openHttp(port: number, request: string | Buffer = ''): RawHttp {
  const raw = openRaw(port, request);
  let ended = false;
  const changed = new Set<() => void>();
  const tell = (): void => {
    for (const listener of changed) listener();
  };
  void raw.ended.then(() => {
    ended = true;
    tell();
  });
  raw.socket.on('data', tell);
  const answers = (): readonly RawAnswer[] => parseAnswers(raw.received());
  return {
    ...raw,
    answers,
    hasEnded: () => ended,
    settled: (count, timeoutMs = TIMEOUT_MS) =>
      new Promise((resolve, reject) => {
        const finish = (): void => {
          clearTimeout(timer);
          changed.delete(look);
        };
        const look = (): void => {
          if (!ended && answers().length < count) return;
          finish();
          resolve(answers());
        };
        const timer = setTimeout(() => {
          finish();
          const text = raw.received().toString('latin1').slice(0, 500);
          reject(new Error(`${answers().length} of ${count} answers within ${timeoutMs} ms: ${text}`));
        }, timeoutMs);
        changed.add(look);
        look();
      }),
  };
}

/** Opens a connection, sends `request`, waits for one answer and closes. */
export async function askRaw(port: number, request: string | Buffer): Promise<RawAnswer> {
  const http = openHttp(port, request);
  try {
    const [answer] = await http.settled(1);
    if (answer === undefined) throw new Error('the connection was ended without an answer');
    return answer;
  } finally {
    http.destroy();
  }
}

/** The text of a request. A body gets a `Content-Length`, unless a header says how it is sent. */
export function requestText(
  method: string,
  target: string,
  options: { readonly headers?: Readonly<Record<string, string>>; readonly body?: string } = {},
): string {
  const headers: Record<string, string> = { Host: '127.0.0.1', ...options.headers };
  const { body } = options;
  if (body !== undefined && headers['Transfer-Encoding'] === undefined)
    headers['Content-Length'] = String(Buffer.byteLength(body));
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n${body ?? ''}`;
}

function parseAnswers(bytes: Buffer): readonly RawAnswer[] {
  const answers: RawAnswer[] = [];
  let at = 0;
  for (;;) {
    const end = bytes.indexOf('\r\n\r\n', at);
    if (end === -1) return answers;
    const [first = '', ...lines] = bytes.subarray(at, end).toString('latin1').split('\r\n');
    const headers: Record<string, string> = {};
    for (const line of lines) {
      const colon = line.indexOf(':');
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const status = Number(first.split(' ')[1]);
    const body = bodyOf(bytes, end + 4, headers);
    if (body === undefined) return answers;
    if (status >= 200) answers.push({ status, headers, body: body.text });
    at = body.end;
  }
}

/** Undefined while it is incomplete. */
function bodyOf(
  bytes: Buffer,
  start: number,
  headers: Readonly<Record<string, string>>,
): { readonly text: string; readonly end: number } | undefined {
  if (headers['transfer-encoding']?.toLowerCase() === 'chunked') return chunkedBody(bytes, start);
  const end = start + Number(headers['content-length'] ?? 0);
  return bytes.length < end ? undefined : { text: bytes.subarray(start, end).toString('utf8'), end };
}

function chunkedBody(
  bytes: Buffer,
  start: number,
): { readonly text: string; readonly end: number } | undefined {
  let text = '';
  let at = start;
  for (;;) {
    const line = bytes.indexOf('\r\n', at);
    if (line === -1) return undefined;
    const size = Number.parseInt(bytes.subarray(at, line).toString('latin1'), 16);
    const end = line + 2 + size + 2;
    if (bytes.length < end) return undefined;
    if (size === 0) return { text, end };
    text += bytes.subarray(line + 2, end - 2).toString('utf8');
    at = end;
  }
}
