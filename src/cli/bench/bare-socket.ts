import { randomBytes } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { SUBPROTOCOL } from '../../protocol/envelope.ts';
import { walkFrames } from './server-frames.ts';

/** A handshake without the answer 101. `status` 0: no answer came. */
export class Refused extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string) {
    super(status === 0 ? code : `${status} ${code}`);
    this.status = status;
    this.code = code;
  }
}

export interface BareSocketHandlers {
  /** The payload of a text frame is in `bytes`. Do not keep the bytes. */
  onText(bytes: Buffer, payload: { readonly start: number; readonly end: number }): void;
  onEnd(): void;
}

const OPCODE = { text: 1, close: 8, ping: 9, pong: 10 };
const HEAD_END = '\r\n\r\n';
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** A server with a larger frame or a larger head is not a Lingxi server. */
const MAX_PART_BYTES = 4_194_304;
/** Prepared frames are masked with it, because their content is no secret. */
const MASK = randomBytes(4);

/** A minimal WebSocket client: a frame costs hardly more than the system call. */
export class BareSocket {
  readonly #socket: Socket;
  readonly #handlers: BareSocketHandlers;
  /** Whether the client answers pings of the server. A silent client does not. */
  answersPings = true;
  #part: Buffer | undefined;
  #head: ((head: string, rest: string) => void) | undefined;
  #isOpen = false;
  #ended: string | undefined;

  private constructor(socket: Socket, handlers: BareSocketHandlers) {
    this.#socket = socket;
    this.#handlers = handlers;
    socket.setNoDelay(true);
    socket.on('data', (bytes) => this.#take(bytes));
    socket.on('error', (error: NodeJS.ErrnoException) => this.#finish(error.code ?? error.message));
    socket.on('close', () => this.#finish('the server closed the connection'));
  }

  /** Resolves after the answer 101; rejects with {@link Refused}. */
  static open(url: URL, token: string, handlers: BareSocketHandlers): Promise<BareSocket> {
    const isTls = url.protocol === 'wss:';
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const port = Number(url.port) || (isTls ? 443 : 80);
    const socket = isTls ? connectTls({ host, port, servername: host }) : connectTcp({ host, port });
    const client = new BareSocket(socket, handlers);
    return new Promise((resolve, reject) => {
      socket.setTimeout(HANDSHAKE_TIMEOUT_MS, () => {
        client.#finish(`no answer within ${HANDSHAKE_TIMEOUT_MS / 1000} s`);
        socket.destroy();
      });
      client.#head = (head, rest) => {
        client.#head = undefined;
        socket.setTimeout(0);
        const [, status = '0'] = /^HTTP\/1\.1 (\d{3})/.exec(head) ?? [];
        client.#isOpen = status === '101';
        if (client.#isOpen) return resolve(client);
        const [, code = head === '' ? rest : '(no code)'] = /"code":"([a-z-]{1,64})"/.exec(rest) ?? [];
        reject(new Refused(Number(status), code));
        socket.destroy();
      };
      socket.write(handshake(url, token));
    });
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Sends a frame made by {@link textFrame}. */
  send(frame: Buffer): void {
    if (this.#isOpen) this.#socket.write(frame);
  }

  /** Ends the socket without a close frame, and without a call of `onEnd`. */
  destroy(): void {
    this.#isOpen = false;
    this.#socket.destroy();
  }

  #take(bytes: Buffer): void {
    let all = this.#part === undefined ? bytes : Buffer.concat([this.#part, bytes]);
    this.#part = undefined;
    if (all.length > MAX_PART_BYTES) return void this.#socket.destroy();
    if (this.#head !== undefined) {
      const end = all.indexOf(HEAD_END);
      const head = all.subarray(0, Math.max(0, end)).toString('latin1');
      const rest = all.subarray(end + HEAD_END.length);
      // The body of a refusal has the code, and may arrive later than the head.
      const isWhole = head.startsWith('HTTP/1.1 101') || rest.length >= lengthIn(head);
      if (end < 0 || !isWhole) {
        this.#part = all;
        return;
      }
      this.#head(head, rest.toString('utf8'));
      all = rest;
    }
    if (!this.#isOpen) return;
    const rest = walkFrames(all, (opcode, from, payload) => {
      if (opcode === OPCODE.text) this.#handlers.onText(from, payload);
      else if (opcode === OPCODE.ping && this.answersPings)
        this.send(frameOf(OPCODE.pong, from.subarray(payload.start, payload.end)));
      else if (opcode === OPCODE.close) this.#finish('the server closed the connection');
    });
    if (rest < all.length) this.#part = all.subarray(rest);
  }

  #finish(why: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = why;
    this.#head?.('', why);
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#handlers.onEnd();
    this.#socket.destroy();
  }
}

/** A text frame of a client, which may be sent any number of times. */
export function textFrame(text: string): Buffer {
  return frameOf(OPCODE.text, Buffer.from(text));
}

function frameOf(opcode: number, payload: Buffer): Buffer {
  const length = payload.length;
  const head =
    length < 126 ? Buffer.from([0x80 | opcode, 0x80 | length]) : Buffer.from([0x80 | opcode, 0xfe, 0, 0]);
  if (length >= 126) head.writeUInt16BE(length, 2);
  return Buffer.concat([head, MASK, payload.map((byte, index) => byte ^ (MASK[index & 3] ?? 0))]);
}

function handshake(url: URL, token: string): string {
  const lines = [
    `GET ${url.pathname} HTTP/1.1`,
    `Host: ${url.host}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`,
    `Authorization: Bearer ${token}`,
  ];
  return `${lines.join('\r\n')}${HEAD_END}`;
}

function lengthIn(head: string): number {
  const [, length = '0'] = /\r\ncontent-length: *(\d+)/i.exec(head) ?? [];
  return Number(length);
}
