import { atPace } from '../../src/cli/bench/pace.ts';
import { intendedIn, walkFrames } from '../../src/cli/bench/server-frames.ts';
import { type Summary, summarize } from '../../src/cli/bench/statistics.ts';
import { encodeFrame, handshake } from '../../test/support/raw-socket.ts';
import { signToken } from '../../test/support/tokens.ts';
import { type Spent, spending, wallMicros } from '../clock.ts';
import {
  connectTcp,
  type TcpHandlers,
  type TcpSocket,
  type Unwritten,
  writeAll,
  writeRest,
} from './bun-tcp.ts';

export interface Opening {
  readonly port: number;
  readonly secret: string;
  /** Users `first` to `first + count - 1`. */
  readonly first: number;
  readonly count: number;
  /** Largest number of handshakes in progress. */
  readonly atOnce: number;
  readonly protocol?: string;
  /** `socket.io` uses its own protocol on its own path. Default: `lingxi`, which every bare server accepts as well. */
  readonly engine?: 'lingxi' | 'socket.io';
  /** Connected users ping once a second while the others connect, because on a slow machine they must not time out. */
  readonly pings?: boolean;
}

export interface Opened extends Spent {
  /** Handshakes that got 503 and were repeated. */
  readonly refused: number;
}

export interface Received {
  readonly frames: number;
  /** Latencies of the messages that contain their due time. */
  readonly latency: Summary;
}

/** How the users returned whose connections the server ended. */
export interface Returned {
  readonly ended: number;
  readonly back: number;
  /** Number of answers 503, after which the load tried again. */
  readonly refused: number;
  /** From the end of a connection to the answer 101 of the next one. */
  readonly latency: Summary;
  /** Largest number of users who returned within one second. */
  readonly peakPerSecond: number;
}

interface Return {
  readonly opening: Opening;
  readonly latencies: number[];
  readonly seconds: Map<number, number>;
  ended: number;
  refused: number;
}

interface Member extends Unwritten {
  readonly user: number;
  isOpen: boolean;
  /** Bytes of an incomplete head or frame. */
  part: Buffer | undefined;
  /** Due times of the pings without an answer, oldest first, by `performance.now()`. */
  readonly pings: number[];
  headCame: (head: string) => void;
}

const SECOND_MS = 1000;
const MAX_ATTEMPTS = 30;
const [TEXT, CLOSE, PING] = [1, 8, 9];
const HEAD_END = '\r\n\r\n';
const TARGETS = { lingxi: '/ws', 'socket.io': '/socket.io/?EIO=4&transport=websocket' };
const PING_FRAMES = {
  lingxi: encodeFrame({ opcode: TEXT, payload: '{"type":"ping"}' }),
  'socket.io': encodeFrame({ opcode: TEXT, payload: '42["ping"]' }),
};
/** Socket.IO counts a client as connected after it has requested the namespace. */
const JOIN_FRAME = encodeFrame({ opcode: TEXT, payload: '40' });
const PONG_FRAME = encodeFrame({ opcode: 10 });
const PONG_START = Buffer.from('{"type":"pong"');
/** The connections that the load itself ends are closed within this time. */
const LAST_ENDS_MS = 100;
const SHORTEST_BACKOFF_MS = 200;
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
  #engine: keyof typeof TARGETS = 'lingxi';
  /** Whether the server may end connections without an error. */
  #mayEnd = false;
  #return: Return | undefined;

  /** Throws if the server closed a connection that the load did not close. */
  check(): void {
    if (this.#lost !== undefined) throw new Error(this.#lost);
  }

  /** Connects all users. The time counts from the first handshake to the last answer. */
  async open(opening: Opening): Promise<Opened> {
    const { count, first } = opening;
    this.#engine = opening.engine ?? 'lingxi';
    const requests = Array.from({ length: count }, (_, index) => requestOf(opening, first + index));
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
    const beats = opening.pings === true ? setInterval(() => this.#pingAll(), SECOND_MS) : undefined;
    try {
      await Promise.all(Array.from({ length: Math.min(opening.atOnce, count) }, connectNext));
    } finally {
      clearInterval(beats);
    }
    this.check();
    return { ...spent(), refused };
  }

  /** Forgets the received messages. */
  forget(): void {
    this.#frames = 0;
    this.#latencies.length = 0;
    this.#pongs.length = 0;
  }

  received(): Received {
    this.check();
    return { frames: this.#frames, latency: summarize(this.#latencies) };
  }

  /** Sends pings at a steady rate, from each client in turn, without waiting for answers. Returns their number. */
  async beat(perSecond: number, seconds: number): Promise<number> {
    let sent = 0;
    await atPace(perSecond, seconds, (_, index) => {
      this.check();
      const socket = this.#members[index % this.#members.length];
      if (socket?.data.isOpen !== true) return;
      writeAll(socket, PING_FRAMES[this.#engine]);
      sent += 1;
    });
    return sent;
  }

  /** Each client pings once a second until a random time of its own within `overSeconds`, and never again. */
  async fallSilent(overSeconds: number): Promise<void> {
    this.#mayEnd = true;
    const start = performance.now();
    const silentAt = this.#members.map(() => start + Math.random() * overSeconds * SECOND_MS);
    await atPace(this.#members.length, overSeconds, (_, index) => {
      const place = index % this.#members.length;
      const socket = this.#members[place];
      if (socket !== undefined && performance.now() < (silentAt[place] ?? 0))
        writeAll(socket, PING_FRAMES[this.#engine]);
    });
  }

  /** All users ping now, and never again. */
  pingOnce(): number {
    this.#mayEnd = true;
    this.#pingAll();
    return this.#members.length;
  }

  #pingAll(): void {
    for (const socket of this.#members) writeAll(socket, PING_FRAMES[this.#engine]);
  }

  /** From now on the server may end connections. */
  allowEnds(): void {
    this.#mayEnd = true;
  }

  /** From now on, a user who loses the connection reconnects as `opening` says. */
  comeBack(opening: Opening): void {
    this.#mayEnd = true;
    this.#return = { opening, latencies: [], seconds: new Map(), ended: 0, refused: 0 };
  }

  returned(): Returned {
    this.check();
    const {
      latencies = [],
      seconds = new Map<number, number>(),
      ended = 0,
      refused = 0,
    } = this.#return ?? {};
    const peakPerSecond = Math.max(0, ...seconds.values());
    return { ended, back: latencies.length, refused, latency: summarize(latencies), peakPerSecond };
  }

  /** Sends pings at a steady rate, from each client in turn. Returns how late the answers are, measured from the due times. */
  async ping(perSecond: number, seconds: number): Promise<Summary> {
    this.#pongs.length = 0;
    const asked = await atPace(perSecond, seconds, (intendedAt, index) => {
      this.check();
      const socket = this.#members[index % this.#members.length];
      if (socket === undefined) return;
      socket.data.pings.push(intendedAt);
      writeAll(socket, PING_FRAMES[this.#engine]);
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

  /** Ends all connections. Others may be opened afterwards. */
  async close(): Promise<void> {
    this.#isClosing = true;
    for (const socket of this.#members) socket.end();
    this.#members.length = 0;
    await new Promise((resolve) => setTimeout(resolve, LAST_ENDS_MS));
    this.#isClosing = false;
    this.#mayEnd = false;
  }

  /** Retries after a 503, as a client does. Returns the number of retries. */
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
    if (member.isOpen) {
      this.#members.push(socket);
      if (this.#engine === 'socket.io') writeAll(socket, JOIN_FRAME);
    } else socket.end();
    return answer;
  }

  /** A client waits a random part of its shortest backoff before it reconnects. */
  async #connectAgain(user: number, how: Return): Promise<void> {
    const endedAt = performance.now();
    how.ended += 1;
    try {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * SHORTEST_BACKOFF_MS));
      how.refused += await this.#connect(how.opening.port, user, requestOf(how.opening, user));
    } catch (error) {
      this.#lost ??= error instanceof Error ? error.message : String(error);
      return;
    }
    const now = performance.now();
    const second = Math.floor(now / SECOND_MS);
    how.latencies.push(now - endedAt);
    how.seconds.set(second, (how.seconds.get(second) ?? 0) + 1);
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
    // A copy: the bytes are valid only during this call.
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
    if (member.isOpen && !this.#isClosing && this.#return !== undefined)
      void this.#connectAgain(member.user, this.#return);
    else if (member.isOpen && !this.#isClosing && !this.#mayEnd)
      this.#lost ??= `the server closed the connection of user ${member.user} during the measurement: ${how}`;
    member.isOpen = false;
  }
}

function requestOf({ secret, protocol, engine = 'lingxi' }: Opening, user: number): Buffer {
  const headers = protocol === undefined ? {} : { 'Sec-WebSocket-Protocol': protocol };
  return Buffer.from(handshake(TARGETS[engine], signToken(secret, user), headers));
}
