import { randomBytes } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';

/** A frame of RFC 6455 for a test, valid or invalid. */
export interface FrameOptions {
  /** 0 continuation, 1 text, 2 binary, 8 close, 9 ping, 10 pong. */
  readonly opcode: number;
  readonly payload?: Buffer | string;
  readonly fin?: boolean;
  /** The three reserved bits, 0…7. */
  readonly reserved?: number;
  /** Default true, as a client must. */
  readonly masked?: boolean;
}

export interface ServerFrame {
  readonly fin: boolean;
  readonly opcode: number;
  readonly payload: Buffer;
}

/** How the server ended a raw connection. */
export interface RawEnd {
  /** Code of the close frame; `undefined` if the connection ended without one. */
  readonly code: number | undefined;
  /** `performance.now()` of the end. */
  readonly at: number;
}

/** A WebSocket client at the level of bytes, for input that no normal client would send. */
export interface RawSocket {
  readonly socket: Socket;
  /** Status line and headers of the answer, once they are complete. */
  readonly head: Promise<{ readonly status: number; readonly text: string }>;
  /** Resolves when the server has ended the connection in any way. */
  readonly ended: Promise<RawEnd>;
  write(data: Buffer | string): void;
  send(frame: FrameOptions): void;
  frames(): readonly ServerFrame[];
  /** All received bytes, unchanged. */
  received(): Buffer;
  destroy(): void;
}

/** Opens a TCP connection and sends `request`, the bytes of an HTTP request or part of one. */
export function openRaw(port: number, request: string | Buffer): RawSocket {
  const socket = connectTcp(port, '127.0.0.1');
  let bytes = Buffer.alloc(0);
  let headEnd = -1;
  let resolveHead: (head: { status: number; text: string }) => void;
  let rejectHead: (error: Error) => void;
  const head = new Promise<{ status: number; text: string }>((resolve, reject) => {
    resolveHead = resolve;
    rejectHead = reject;
  });
  head.catch(() => undefined);
  const frames = (): readonly ServerFrame[] => (headEnd < 0 ? [] : parseFrames(bytes.subarray(headEnd)));
  socket.on('data', (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
    const end = bytes.indexOf('\r\n\r\n');
    if (headEnd >= 0 || end < 0) return;
    headEnd = end + 4;
    const text = bytes.subarray(0, end).toString('latin1');
    resolveHead({ status: Number(text.split(' ')[1]), text });
  });
  socket.on('error', () => undefined);
  const ended = new Promise<RawEnd>((resolve) => {
    socket.once('close', () => {
      rejectHead(new Error(`the connection ended before an answer: ${bytes.toString('latin1')}`));
      const close = frames().find((frame) => frame.opcode === 8);
      const code =
        close !== undefined && close.payload.length >= 2 ? close.payload.readUInt16BE(0) : undefined;
      resolve({ code, at: performance.now() });
    });
  });
  socket.write(request);
  return {
    socket,
    head,
    ended,
    write: (data) => socket.write(data),
    send: (frame) => socket.write(encodeFrame(frame)),
    frames,
    received: () => bytes,
    destroy: () => socket.destroy(),
  };
}

/** A connection whose client reads nothing. */
export function openUnread(port: number): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, '127.0.0.1').pause();
    socket.on('error', () => undefined);
    socket.once('connect', () => resolve(socket));
  });
}

/** The bytes of a valid handshake. `headers` are added, or replace one with the same name (an empty text removes it). */
export function handshake(
  target: string,
  token: string,
  headers: Readonly<Record<string, string>> = {},
): string {
  const all: Record<string, string> = {
    Host: '127.0.0.1',
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
    'Sec-WebSocket-Version': '13',
    Authorization: `Bearer ${token}`,
    ...headers,
  };
  const lines = Object.entries(all).filter(([, value]) => value !== '');
  return `GET ${target} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}`).join('\r\n')}\r\n\r\n`;
}

/** Connects as the token's user and waits for 101; `headers` as for {@link handshake}. */
export async function openRawWebSocket(
  port: number,
  token: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<RawSocket> {
  const raw = openRaw(port, handshake('/ws', token, headers));
  const { status, text } = await raw.head;
  if (status !== 101) throw new Error(`the handshake was refused: ${text}`);
  return raw;
}

export function encodeFrame(options: FrameOptions): Buffer {
  const payload = Buffer.from(options.payload ?? '');
  const masked = options.masked ?? true;
  const first = ((options.fin ?? true) ? 0x80 : 0) | ((options.reserved ?? 0) << 4) | options.opcode;
  const mask = masked ? 0x80 : 0;
  const length = payload.length;
  let head: Buffer;
  if (length < 126) {
    head = Buffer.from([first, mask | length]);
  } else if (length < 65_536) {
    head = Buffer.alloc(4);
    head.writeUInt16BE(length, 2);
    head[1] = mask | 126;
  } else {
    head = Buffer.alloc(10);
    head.writeBigUInt64BE(BigInt(length), 2);
    head[1] = mask | 127;
  }
  head[0] = first;
  if (!masked) return Buffer.concat([head, payload]);
  const key = randomBytes(4);
  const body = Buffer.from(payload.map((byte, index) => byte ^ (key[index & 3] ?? 0)));
  return Buffer.concat([head, key, body]);
}

function parseFrames(bytes: Buffer): readonly ServerFrame[] {
  const frames: ServerFrame[] = [];
  let at = 0;
  while (bytes.length >= at + 2) {
    const first = bytes[at] ?? 0;
    let length = (bytes[at + 1] ?? 0) & 0x7f;
    let start = at + 2;
    if (length >= 126) {
      const size = length === 126 ? 2 : 8;
      if (bytes.length < start + size) break;
      length = size === 2 ? bytes.readUInt16BE(start) : Number(bytes.readBigUInt64BE(start));
      start += size;
    }
    if (bytes.length < start + length) break;
    frames.push({
      fin: (first & 0x80) !== 0,
      opcode: first & 0x0f,
      payload: bytes.subarray(start, start + length),
    });
    at = start + length;
  }
  return frames;
}
