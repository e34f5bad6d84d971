import { encodeFrame, handshake } from '../support/raw-socket.ts';
import { signToken } from '../support/tokens.ts';
import {
  connectTcp,
  type TcpHandlers,
  type TcpSocket,
  type Unwritten,
  writeAll,
  writeRest,
} from './bun-tcp.ts';
import { type Spent, spending, wallMicros } from './clock.ts';
import { atPace } from './pace.ts';
import { intendedIn, walkFrames } from './server-frames.ts';
import { type Summary, summarize } from './statistics.ts';

export interface Opening {
  readonly port: number;
  readonly secret: string;
  /** Users `first` to `first + count - 1`. */
  readonly first: number;
  readonly count: number;
  /** Handshakes in progress at most. */
  readonly atOnce: number;
  readonly protocol?: string;
}

export interface Opened extends Spent {
  /** Handshakes that got 503 and were tried again. */
  readonly refused: number;
}

export interface Received {
  readonly frames: number;
  /** Of the messages that carry the time at which they were to be sent. */
  readonly latency: Summary;
}

interface Member extends Unwritten {
  readonly user: number;
  isOpen: boolean;
  /** Bytes of a head or a frame that is not complete. */
  part: Buffer | undefined;
  /** When the pings without an answer were to be sent, oldest first, by `performance.now()`. */
  readonly pings: number[];
  headCame: (head: string) => void;
}

const SECOND_MS = 1000;
const MAX_ATTEMPTS = 10;
const [TEXT, CLOSE, PING] = [1, 8, 9];
const HEAD_END = '\r\n\r\n';
const PING_FRAME = encodeFrame({ opcode: TEXT, payload: '{"type":"ping"}' });
const PONG_FRAME = encodeFrame({ opcode: 10 });
const PONG_START = Buffer.from('{"type":"pong"');
/** Longest wait for pongs after the last ping. */
const LAST_PONGS_MS = 2_000;

/** WebSocket clients on bare sockets, with handshakes and frames prepared before they are needed. */
export class LoadSockets {
  readonly #members: TcpSocket<Member>[] = [];
  readonly #latencies: number[] = [];
  readonly #pongs: number[] = [];
  #frames = 0;
  #lost: string | undefined;
  #isClosing = false;

  /** Throws where the server closed a connection that the load did not close. */
  check(): void {
    if (this.#lost !== undefined) throw new Error(this.#lost);
  }

  /** Connects all users; the time counts from the first handshake to the last answer. */
  async open(opening: Opening): Promise<Opened> {
    const { count, first, secret, protocol } = opening;
    const headers = protocol === undefined ? {} : { 'Sec-WebSocket-Protocol': protocol };
    const requests = Array.from({ length: count }, (_, index) =>
      Buffer.from(handshake('/ws', signToken(secret, first + index), headers)),
    );
    let next = 0;
    let refused = 0;
    const spent = spending();
    const connectNext = async (): Promise<void> => {
      while (next < count) {
        const index = next;
        next += 1;
        refused += await this.#connect(opening.port, first + index, requests[index] ?? Buffer.alloc(0));
      }
    };
    await Promise.all(Array.from({ length: Math.min(opening.atOnce, count) }, connectNext));
    this.check();
    return { ...spent(), refused };
  }

  /** Forgets what was received. */
  forget(): void {
    this.#frames = 0;
    this.#latencies.length = 0;
    this.#pongs.length = 0;
  }

  received(): Received {
    this.check();
    return { frames: this.#frames, latency: summarize(this.#latencies) };
  }

  /** Pings at a steady rate, the clients in turn; how late the answers are after the pings were to be sent. */
  async ping(perSecond: number, seconds: number): Promise<Summary> {
    this.#pongs.length = 0;
    const asked = await atPace(perSecond, seconds, (intendedAt, index) => {
      this.check();
      const socket = this.#members[index % this.#members.length];
      if (socket === undefined) return;
      socket.data.pings.push(intendedAt);
      writeAll(socket, PING_FRAME);
    });
    const deadline = performance.now() + LAST_PONGS_MS;
    while (this.#pongs.length < asked && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 5));
    this.check();
    if (this.#pongs.length < asked)
      throw new Error(
        `the server answered ${this.#pongs.length} of ${asked} pings within ${LAST_PONGS_MS} ms`,
      );
    return summarize(this.#pongs);
  }

  close(): void {
    this.#isClosing = true;
    for (const socket of this.#members) socket.end();
    this.#members.length = 0;
  }

  /** Comes again after a 503, as a client does; answers how often it had to. */
  async #connect(port: number, user: number, request: Buffer): Promise<number> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const head = await this.#handshake(port, user, request);
      if (head.startsWith('HTTP/1.1 101')) return attempt;
      if (!head.startsWith('HTTP/1.1 503'))
        throw new Error(`the handshake of user ${user} was refused: ${head.split('\r\n')[0] || 'no answer'}`);
      await new Promise((resolve) => setTimeout(resolve, SECOND_MS));
    }
    throw new Error(`the handshake of user ${user} was refused with 503 ${MAX_ATTEMPTS} times`);
  }

  async #handshake(port: number, user: number, request: Buffer): Promise<string> {
    let headCame: Member['headCame'] = () => undefined;
    const head = new Promise<string>((resolve) => {
      headCame = resolve;
    });
    const member: Member = {
      ...{ user, isOpen: false, part: undefined, pings: [], headCame, rest: undefined },
    };
    const socket = await connectTcp(port, member, this.#handlers);
    writeAll(socket, request);
    const answer = await head;
    if (member.isOpen) this.#members.push(socket);
    else socket.end();
    return answer;
  }

  readonly #handlers: TcpHandlers<Member> = {
    data: (socket, bytes) => this.#take(socket, bytes),
    drain: writeRest,
    close: (socket) => this.#ended(socket.data, 'the connection ended'),
    error: (socket, error) => this.#ended(socket.data, error.message),
  };

  #take(socket: TcpSocket<Member>, bytes: Buffer): void {
    const member = socket.data;
    let all = member.part === undefined ? bytes : Buffer.concat([member.part, bytes]);
    if (!member.isOpen) {
      const end = all.indexOf(HEAD_END);
      if (end < 0) {
        member.part = Buffer.from(all);
        return;
      }
      const head = all.subarray(0, end).toString('latin1');
      member.isOpen = head.startsWith('HTTP/1.1 101');
      member.headCame(head);
      all = all.subarray(end + HEAD_END.length);
      if (!member.isOpen) return;
    }
    const rest = walkFrames(all, (opcode, from, payload) => {
      if (opcode === TEXT) this.#text(member, from, payload);
      else if (opcode === PING) writeAll(socket, PONG_FRAME);
      else if (opcode === CLOSE) this.#ended(member, 'a close frame came');
    });
    // A copy: the bytes are Bun's only during this call.
    member.part = rest < all.length ? Buffer.from(all.subarray(rest)) : undefined;
  }

  #text(member: Member, bytes: Buffer, payload: { start: number; end: number }): void {
    const { start } = payload;
    if (bytes.compare(PONG_START, 0, PONG_START.length, start, start + PONG_START.length) === 0) {
      const intendedAt = member.pings.shift();
      if (intendedAt !== undefined) this.#pongs.push(performance.now() - intendedAt);
      return;
    }
    this.#frames += 1;
    const at = intendedIn(bytes, payload);
    if (at !== undefined) this.#latencies.push((wallMicros() - at) / 1000);
  }

  #ended(member: Member, how: string): void {
    member.headCame('');
    if (member.isOpen && !this.#isClosing)
      this.#lost ??= `the server closed the connection of user ${member.user} during the measurement: ${how}`;
    member.isOpen = false;
  }
}
