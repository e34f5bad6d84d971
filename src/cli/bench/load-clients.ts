import type { Clock, Timer } from '../../lib/clock.ts';
import { BareSocket, Refused, textFrame } from './bare-socket.ts';
import { atPace } from './pace.ts';
import { intendedIn } from './server-frames.ts';
import { type Summary, summarize } from './statistics.ts';

/** A sentence that says why a run has no result. */
export class RunFailure extends Error {}

export interface Target {
  /** Address of the WebSocket. */
  readonly url: URL;
  readonly clock: Clock;
  token(userId: number): string;
}

export interface Logins {
  readonly asked: number;
  readonly done: number;
  readonly perSecond: number;
  /** Time from the due time of a login to the answer 101. */
  readonly latency: Summary;
  /** The causes of failed logins, each with its number. */
  readonly refusals: Readonly<Record<string, number>>;
}

interface Member {
  readonly userId: number;
  readonly socket: BareSocket;
  lastPingAt: number;
  isSilent: boolean;
}

const BEAT_MS = 50;
const PING = textFrame('{"type":"ping"}');
const WELCOME = '{"type":"welcome"';
const DEFAULT_TIMEOUT_MS = 10_000;
const DEFAULT_INTERVAL_MS = 3_000;
const MAX_LATENCIES = 1_000_000;

/** Connected users, who ping at the server's interval and record what they receive. */
export class LoadClients {
  readonly #target: Target;
  readonly #members = new Map<number, Member>();
  readonly #latencies: number[] = [];
  readonly #lags: number[] = [];
  readonly #beats: Timer;
  #lost = 0;
  #mayLose = false;
  #timeoutMs = DEFAULT_TIMEOUT_MS;
  #intervalMs = DEFAULT_INTERVAL_MS;

  constructor(target: Target) {
    this.#target = target;
    this.#beats = target.clock.every(BEAT_MS, () => this.#beat());
  }

  get size(): number {
    return this.#members.size;
  }

  get heartbeatTimeoutMs(): number {
    return this.#timeoutMs;
  }

  /** Latencies of messages that contain their due time. */
  get arrived(): readonly number[] {
    return this.#latencies;
  }

  /** How late the server closed silent users, measured from their deadlines. */
  get lags(): readonly number[] {
    return this.#lags;
  }

  /** Throws if the server ended connections that should stay open. */
  check(): void {
    if (this.#lost > 0 && !this.#mayLose)
      throw new RunFailure(
        `The server ended ${this.#lost} connections during the run: did it stop, or does something between cut them?`,
      );
  }

  /** Connects one user; rejects with {@link Refused}. */
  async join(userId: number): Promise<void> {
    const { url, clock } = this.#target;
    // The connection may end before the member exists.
    const joined: { member?: Member } = {};
    const socket = await BareSocket.open(url, this.#target.token(userId), {
      onText: (bytes, payload) => this.#take(bytes, payload),
      onEnd: () => {
        if (joined.member !== undefined) this.#end(joined.member);
      },
    });
    const member: Member = { userId, socket, lastPingAt: clock.monotonic(), isSilent: false };
    joined.member = member;
    this.#members.set(userId, member);
    if (!socket.isOpen) this.#end(member);
  }

  /** Connects the users from number `first` on, at a steady rate. */
  async joinAll(first: number, count: number, perSecond: number): Promise<Logins> {
    const latencies: number[] = [];
    const refusals: Record<string, number> = {};
    const joining: Promise<void>[] = [];
    const start = performance.now();
    await atPace(perSecond, count / perSecond, (intendedAt, index) => {
      this.check();
      joining.push(
        this.join(first + index).then(
          () => void latencies.push(performance.now() - intendedAt),
          (error: unknown) => {
            const why = error instanceof Refused ? error.message : String(error);
            refusals[why] = (refusals[why] ?? 0) + 1;
          },
        ),
      );
    });
    await Promise.all(joining);
    const done = latencies.length;
    const seconds = (performance.now() - start) / 1000;
    return {
      asked: joining.length,
      done,
      perSecond: done / seconds,
      latency: summarize(latencies),
      refusals,
    };
  }

  /** From now on this user sends nothing, and answers no ping of the server. It sends its last ping at this moment. */
  silence(userId: number): void {
    const member = this.#members.get(userId);
    if (member === undefined) return;
    // Before the call: a busy machine can stop this process in between, and the close would seem early.
    member.lastPingAt = this.#target.clock.monotonic();
    member.socket.send(PING);
    member.isSilent = true;
    member.socket.answersPings = false;
  }

  leave(userId: number): void {
    this.#members.get(userId)?.socket.destroy();
    this.#members.delete(userId);
  }

  userIds(): readonly number[] {
    return [...this.#members.values()].filter(({ isSilent }) => !isSilent).map(({ userId }) => userId);
  }

  stop(): void {
    this.#mayLose = true;
    this.#beats.cancel();
    for (const { socket } of this.#members.values()) socket.destroy();
    this.#members.clear();
  }

  #beat(): void {
    const now = this.#target.clock.monotonic();
    for (const member of this.#members.values()) {
      if (member.isSilent || now - member.lastPingAt < this.#intervalMs) continue;
      member.socket.send(PING);
      // A random part of the interval, so that users do not ping at the same time forever.
      member.lastPingAt = now - Math.random() * BEAT_MS;
    }
  }

  #take(bytes: Buffer, payload: { readonly start: number; readonly end: number }): void {
    const at = intendedIn(bytes, payload);
    if (at !== undefined) {
      if (this.#latencies.length < MAX_LATENCIES)
        this.#latencies.push(nowMicros(this.#target.clock) / 1000 - at / 1000);
      return;
    }
    const text = bytes.toString('utf8', payload.start, payload.end);
    if (!text.startsWith(WELCOME)) return;
    this.#timeoutMs = numberIn(text, 'heartbeatTimeoutMs') ?? this.#timeoutMs;
    this.#intervalMs = numberIn(text, 'pingIntervalMs') ?? this.#intervalMs;
  }

  #end(member: Member): void {
    if (this.#members.get(member.userId) !== member) return;
    this.#members.delete(member.userId);
    if (member.isSilent)
      this.#lags.push(this.#target.clock.monotonic() - member.lastPingAt - this.#timeoutMs);
    else this.#lost += 1;
  }
}

/** µs since the start of this process. Messages carry this time, and it is compared with the time of arrival. */
export function nowMicros(clock: Clock): number {
  return Math.round(clock.monotonic() * 1000);
}

function numberIn(text: string, name: string): number | undefined {
  const [, digits] = new RegExp(`"${name}":(\\d{1,9})[,}]`).exec(text) ?? [];
  return digits === undefined ? undefined : Number(digits);
}
