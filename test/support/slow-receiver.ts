import { connect as connectTcp } from 'node:net';
import type { Gateway } from './gateway-process.ts';
import { encodeFrame, handshake } from './raw-socket.ts';

/** Interval between two reads of a receiver. */
const TURN_MS = 50;

export interface SlowReceiverOptions {
  readonly userId: number;
  /** Number of bytes that it reads in a second. 0: it reads nothing after the handshake. */
  readonly bytesPerSecond: number;
  readonly speaksV1: boolean;
}

/** A client behind a slow line. It reads at its own pace, and answers a protocol ping when it has read that far. */
export interface SlowReceiver {
  /** Bytes read so far. */
  read(): number;
  /** Protocol pings answered so far. */
  pongs(): number;
  /** Whether the server has ended the connection, or announced that. */
  isClosed(): boolean;
  /** Sends a heartbeat as clients without `lingxi.v1` do. */
  beat(): void;
  destroy(): void;
}

/** Connects and waits for 101. */
export async function openSlowReceiver(
  gateway: Gateway,
  options: SlowReceiverOptions,
): Promise<SlowReceiver> {
  const { userId, bytesPerSecond, speaksV1 } = options;
  const socket = connectTcp(gateway.port(), '127.0.0.1');
  const protocol = speaksV1 ? { 'Sec-WebSocket-Protocol': 'lingxi.v1' } : {};
  let [read, pongs, budget, isClosed] = [0, 0, bytesPerSecond, false];
  const frames = new FrameSkipper((opcode) => {
    if (opcode === 9) {
      pongs += 1;
      socket.write(encodeFrame({ opcode: 10 }));
    }
    if (opcode === 8) isClosed = true;
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    isClosed = true;
  });
  socket.write(handshake('/ws', gateway.token(userId), protocol));
  await new Promise<void>((resolve, reject) => {
    socket.once('close', () => reject(new Error('the handshake was refused')));
    socket.once('data', (head) => {
      frames.take(head.subarray(head.indexOf('\r\n\r\n') + 4));
      if (head.toString('latin1').startsWith('HTTP/1.1 101')) resolve();
      else reject(new Error(head.toString('latin1')));
    });
  });
  if (bytesPerSecond === 0) socket.pause();
  socket.on('data', (chunk) => {
    read += chunk.length;
    budget -= chunk.length;
    if (budget <= 0) socket.pause();
    frames.take(chunk);
  });
  if (bytesPerSecond === 0) socket.pause();
  const timer = setInterval(() => {
    budget = Math.min(budget + (bytesPerSecond * TURN_MS) / 1000, bytesPerSecond);
    if (budget > 0 && bytesPerSecond > 0) socket.resume();
  }, TURN_MS);
  socket.once('close', () => clearInterval(timer));
  return {
    read: () => read,
    pongs: () => pongs,
    isClosed: () => isClosed,
    beat: () => void socket.write(encodeFrame({ opcode: 1, payload: '{"type":"ping"}' })),
    destroy() {
      clearInterval(timer);
      socket.destroy();
    },
  };
}

/** Reads the headers of a server's frames and skips their payloads. */
class FrameSkipper {
  readonly #found: (opcode: number) => void;
  #head = Buffer.alloc(0);
  /** Remaining bytes of the present frame. */
  #left = 0;

  constructor(found: (opcode: number) => void) {
    this.#found = found;
  }

  take(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      const skipped = Math.min(this.#left, chunk.length - at);
      this.#left -= skipped;
      at += skipped;
      if (at === chunk.length) return;
      this.#head = Buffer.concat([this.#head, chunk.subarray(at, at + 1)]);
      at += 1;
      const size = (this.#head[1] ?? 0) & 0x7f;
      const headLength = this.#head.length < 2 || size < 126 ? 2 : size === 126 ? 4 : 10;
      if (this.#head.length < headLength) continue;
      this.#left =
        size < 126 ? size : size === 126 ? this.#head.readUInt16BE(2) : Number(this.#head.readBigUInt64BE(2));
      this.#found((this.#head[0] ?? 0) & 0x0f);
      this.#head = Buffer.alloc(0);
    }
  }
}
