import { connect as connectTcp, type Socket } from 'node:net';
import { handshake } from '../raw-socket.ts';
import { rightToken } from './forged-tokens.ts';
import { loopbackAddress } from './loopback.ts';
import { FrameReader } from './wire.ts';

export interface LineTarget {
  readonly port: () => number;
  readonly jwtSecret: string;
}

const OPENING_MS = 10_000;
/** A masked ping with the payload `fence`, mask zero. */
const FENCE = Buffer.from('\x89\x85\0\0\0\0fence', 'latin1');

/** One TCP connection that uses WebSocket after its handshake was accepted. */
export class Line {
  /** Of the server's close frame. */
  code: number | undefined;
  ended = false;
  /** Whether the pong to the newest fence has arrived. */
  answered = false;
  readonly #socket: Socket;
  readonly #reader = new FrameReader();
  #head: Buffer | undefined = Buffer.alloc(0);
  #status: number | undefined;
  #wake: (() => void) | undefined;

  constructor(target: LineTarget, as: { readonly userId: number; readonly protocol: string | undefined }) {
    const offer = as.protocol === undefined ? {} : { 'Sec-WebSocket-Protocol': as.protocol };
    this.#socket = connectTcp({
      port: target.port(),
      host: '127.0.0.1',
      ...loopbackAddress(),
      noDelay: true,
    });
    this.#socket.on('data', (chunk) => this.#read(chunk));
    this.#socket.on('error', () => undefined);
    this.#socket.on('close', () => {
      this.ended = true;
      this.#wake?.();
    });
    this.#socket.write(handshake('/ws', rightToken(target.jwtSecret, as.userId), offer));
  }

  write(bytes: Buffer): void {
    if (!this.ended) this.#socket.write(bytes);
  }

  /** Status of the handshake's answer. */
  async opened(): Promise<number | undefined> {
    await this.#until(() => this.#status !== undefined, OPENING_MS);
    return this.#status;
  }

  /** Pings, and waits for the pong: then everything sent before has been read. */
  async fence(limitMs: number): Promise<void> {
    this.answered = false;
    this.write(FENCE);
    await this.#until(() => this.answered, limitMs);
  }

  over(limitMs: number): Promise<void> {
    return this.#until(() => false, limitMs);
  }

  end(): void {
    this.#socket.end();
  }

  reset(): void {
    this.#socket.resetAndDestroy();
  }

  #read(chunk: Buffer): void {
    let bytes = chunk;
    if (this.#head !== undefined) {
      this.#head = Buffer.concat([this.#head, chunk]);
      const end = this.#head.indexOf('\r\n\r\n');
      if (end < 0) return;
      bytes = this.#head.subarray(end + 4);
      this.#status = Number(this.#head.toString('latin1', 9, 12));
      this.#head = undefined;
    }
    if (this.#status === 101) {
      for (const { opcode, payload } of this.#reader.read(bytes)) {
        if (opcode === 8) this.code ??= payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
        if (opcode === 10 && payload.toString('latin1') === 'fence') this.answered = true;
      }
    }
    this.#wake?.();
  }

  /** Waits until `done`, the end of the connection, or the limit. */
  #until(done: () => boolean, limitMs: number): Promise<void> {
    if (done() || this.ended) return Promise.resolve();
    return new Promise((resolve) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(finish, limitMs);
      this.#wake = () => {
        if (done() || this.ended) finish();
      };
    });
  }
}
