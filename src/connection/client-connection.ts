import type { Expiring, Expiry } from '../heartbeat/expiries.ts';
import type { Watched } from '../heartbeat/monitor.ts';
import { OFF_WHEEL, type WheelNode } from '../heartbeat/timeout-wheel.ts';
import type { Timer } from '../lib/clock.ts';
import { CLOSES, type CloseCause, closeReason } from '../protocol/close-codes.ts';
import { matchPing } from '../protocol/codec.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';
import { parseClientFrame, type Refusable } from '../protocol/frames.ts';
import { type ConnectionHost, HEARTBEAT, LATE_PROOF_MS, PROVEN_LATE } from './connection-host.ts';
import type { ConnectionInfo, Registration } from './connection-info.ts';
import {
  goodbyeFrame,
  handleProtocolFrame,
  sendPong,
  sendRefusal,
  sendTokenAccepted,
  sendWelcome,
} from './lingxi-v1.ts';
import { LossLog } from './loss-log.ts';
import { isOverRate, type RateBucket } from './message-rate.ts';
import type { FrameOutcome, QueueTraits } from './send-queue.ts';
import type { Socket, SocketEvents } from './socket.ts';
import { Writer } from './writer.ts';

/**
 * Manages one socket from its start to its end. Owns its proof of life, its rate and its writer, and closes in only one way. The
 * functions that the socket and the wheel call never throw: an exception closes this connection with 1011 and affects no other
 * one.
 */
export class ClientConnection implements SocketEvents, Watched, Expiring, RateBucket {
  readonly registration: Registration;
  /** Rises with every connection of the process. A connection does not get broadcasts from before its start. */
  readonly serial: number;
  /** Wall-clock ms. */
  readonly since: number;
  clientState: 'active' | 'background' = 'active';
  /** Whether the listeners got `connected` for this connection. */
  announced = false;
  /** Number of the newest dispatch job that reached this connection. */
  dispatched = 0;
  /** Wall-clock ms; undefined: never. At that time the monitor calls {@link expired}. */
  tokenExpiresAt: number | undefined;
  /** Wall-clock ms at which its present token was issued; undefined: the token has no such time. */
  tokenIssuedAt: number | undefined;

  /** Observed time of the newest proof of life. */
  provenAt: number;
  /** Its monotonic time: the real age, including stalls. */
  provenAtMonotonic: number;
  wheelSlot = OFF_WHEEL;
  wheelPrevious: WheelNode | undefined = undefined;
  wheelNext: WheelNode | undefined = undefined;
  isHeldBack = false;
  expiry: Expiry | undefined = undefined;

  rateCredit: number;
  rateAt: number;
  rateStalledMs: number;

  readonly #host: ConnectionHost;
  readonly #socket: Socket;
  readonly #anyFrameProves: boolean;
  /** Exists only while the socket holds bytes back. */
  #writer: Writer | undefined;
  #open = true;
  #socketEnded = false;
  #cause: CloseCause | undefined;
  #heardAt: number;
  #pingedAt: number;
  #termination: Timer | undefined;
  #lossLog: LossLog | undefined;

  constructor(
    host: ConnectionHost,
    { registration, serial, socket }: { registration: Registration; serial: number; socket: Socket },
  ) {
    this.#host = host;
    this.#socket = socket;
    this.registration = registration;
    this.serial = serial;
    this.since = host.clock.now();
    this.tokenExpiresAt = registration.tokenExpiresAt;
    this.tokenIssuedAt = registration.tokenIssuedAt;
    const mode = host.limits.heartbeatMode;
    this.#anyFrameProves = mode === 'any' || (mode === 'auto' && this.speaksV1);
    const now = host.time.now();
    this.provenAt = now;
    this.provenAtMonotonic = host.time.monotonic;
    this.#heardAt = now;
    this.#pingedAt = now;
    this.rateCredit = host.limits.maxMessagesPerSecond;
    this.rateAt = host.time.monotonic;
    this.rateStalledMs = host.time.stalledMs;
  }

  get userId(): number {
    return this.registration.userId;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  get speaksV1(): boolean {
    return this.registration.protocol === 'lingxi.v1';
  }

  get queued(): number {
    return this.#writer?.queued ?? 0;
  }

  info(): ConnectionInfo {
    const { connectionId, userId, username, epoch, ip, protocol } = this.registration;
    const { since, clientState: state } = this;
    const queue = this.queued;
    const queueBytes = (this.#writer?.queuedBytes ?? 0) + this.#socket.bufferedBytes();
    return { connectionId, userId, username, epoch, since, ip, protocol, state, queue, queueBytes };
  }

  /** Number of losses to log now, including this one. A later line, or the line at the end, has the rest. */
  lossToLog(count: number): number {
    const now = this.#host.clock.monotonic();
    return (this.#lossLog ??= new LossLog()).add(count, { now, isLast: !this.#open });
  }

  /** Tells a `lingxi.v1` client its user, in its first frame. Called once. */
  welcome(): void {
    if (this.speaksV1) sendWelcome(this, this.#host);
  }

  /** Gives a frame to the socket or to the queue behind it. Never blocks. */
  send(text: string, traits: QueueTraits): FrameOutcome {
    if (!this.#open) return 'closed';
    try {
      return this.#writer?.isBlocked === true ? this.#writer.enqueue(text, traits) : this.#write(text);
    } catch (error) {
      this.#failed(error);
      return 'closed';
    }
  }

  /** Tells a `lingxi.v1` client that its request was refused. `type` is the type of the application's message. */
  refuse(about: Refusable, code: ErrorCode, type?: string): void {
    if (this.speaksV1) sendRefusal(this, this.#host, { about, code, type });
  }

  /** The client sent a fresh token: the connection lives until that one expires. Both are wall-clock ms. */
  renewToken(expiresAt: number | undefined, issuedAt?: number): void {
    if (!this.#open) return;
    this.tokenExpiresAt = expiresAt;
    this.tokenIssuedAt = issuedAt;
    this.#host.tokenRenewed(this);
    if (this.speaksV1) sendTokenAccepted(this, this.#host);
  }

  /** The time {@link tokenExpiresAt} has passed. */
  expired(): void {
    this.#guarded(() => this.close('token-expired'));
  }

  message(text: string): void {
    // Not by #guarded: a message must not cost a closure.
    try {
      this.#message(text);
    } catch (error) {
      this.#failed(error);
    }
  }

  control(): void {
    this.#guarded(() => {
      if (!this.#open) return;
      this.#heard();
      if (this.#overRate()) return;
      if (this.#anyFrameProves) this.#host.happened(this, HEARTBEAT);
    });
  }

  drained(): void {
    this.#guarded(() => {
      if (this.#anyFrameProves && this.#open) this.#heard();
      if (this.#writer?.drained() === 'free') this.#writer = undefined;
    });
  }

  closed(code: number, reason: string): void {
    this.#guarded(() => {
      this.#socketEnded = true;
      this.#termination?.cancel();
      this.#end(this.#cause ?? (code === 1006 ? 'connection-lost' : 'client-closed'), { code, reason });
    });
  }

  /**
   * The only way to close. A second call does nothing, and there is always a cause. `reason` goes into the close frame, cut to
   * the size that fits.
   */
  close(cause: CloseCause, reconnectAfterMs = 0, reason: string = cause): void {
    if (!this.#open || this.#cause !== undefined) return;
    this.#cause = cause;
    const shown = closeReason(reason);
    // If many time out at once, the stores get the reports first. Closing a socket costs more, so the sockets close one by one.
    if (cause === 'heartbeat-timeout')
      this.#host.paced(() => this.#closeSocket(cause, shown, reconnectAfterMs));
    else this.#closeSocket(cause, shown, reconnectAfterMs);
    this.#end(cause, { code: CLOSES[cause].code, reason: shown });
  }

  timesOutAt(): number {
    return this.provenAt + (this.isHeldBack ? 2 : 1) * this.#host.limits.heartbeatTimeoutMs;
  }

  dueAt(): number {
    const { readTimeoutMs, pingIntervalMs } = this.#host.limits;
    let due = Math.min(this.timesOutAt(), this.#heardAt + readTimeoutMs);
    if (this.#writer !== undefined) due = Math.min(due, this.#writer.dueAt());
    if (this.#anyFrameProves) due = Math.min(due, Math.max(this.#heardAt, this.#pingedAt) + pingIntervalMs);
    return due;
  }

  attend(now: number): boolean {
    this.#guarded(() => this.#attend(now));
    return this.#open;
  }

  #attend(now: number): void {
    const { readTimeoutMs, pingIntervalMs } = this.#host.limits;
    const progress = this.#writer?.look(now) ?? 'free';
    // The pong may be stuck behind what this server sent. So the client proves its life by the bytes that it accepts (rule HB2).
    if (progress === 'moving' && this.#anyFrameProves) this.#heard();
    if (now >= this.timesOutAt()) {
      this.#host.happened(this, { kind: 'timed-out', lagMs: now - this.timesOutAt() });
      this.close('heartbeat-timeout');
    } else if (now >= this.#heardAt + readTimeoutMs) {
      this.close('read-timeout');
    } else if (progress === 'stuck') {
      this.close('slow-consumer');
    } else if (this.#anyFrameProves && now >= Math.max(this.#heardAt, this.#pingedAt) + pingIntervalMs) {
      this.#pingedAt = now;
      this.#socket.ping();
    }
  }

  /** Never throws: after it the caller must still report the end of this connection to the stores. */
  #closeSocket(cause: CloseCause, shown: string, reconnectAfterMs: number): void {
    if (this.#socketEnded) return;
    const { code, saysGoodbye } = CLOSES[cause];
    // A peer that is gone, or accepts nothing, answers no close frame. A socket may call `closed` from within `close`.
    const { clock, limits } = this.#host;
    this.#termination = clock.after(limits.closeTimeoutMs, () => this.#socket.terminate());
    try {
      // A socket that accepts nothing cannot send a goodbye.
      if (this.speaksV1 && saysGoodbye && this.#writer?.isBlocked !== true)
        this.#socket.send(goodbyeFrame(this, this.#host, { code, reason: cause, reconnectAfterMs }));
      this.#socket.close(code, shown);
    } catch (error) {
      this.#host.happened(this, { kind: 'failed', error });
    }
  }

  #write(text: string): FrameOutcome {
    const written = this.#socket.send(text);
    if (written === 'sent') return 'written';
    if (written === 'failed') {
      this.close('transport-error');
      return 'closed';
    }
    this.#writer ??= new Writer(this.#host, this, this.#socket);
    this.#writer.block();
    return 'queued';
  }

  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#failed(error);
    }
  }

  /** A bug interrupted the work of this connection. */
  #failed(error: unknown): void {
    this.#host.happened(this, { kind: 'failed', error });
    try {
      this.close('internal-error');
    } catch (another) {
      this.#host.happened(this, { kind: 'failed', error: another });
    }
  }

  #message(text: string): void {
    if (!this.#open) return;
    const now = this.#heard();
    if (this.#overRate()) return;
    const stamp = matchPing(text);
    if (stamp === undefined) return this.#handle(text, now);
    this.#prove(now);
    this.#host.happened(this, HEARTBEAT);
    if (this.speaksV1) sendPong(this, this.#host, stamp);
  }

  #handle(text: string, now: number): void {
    const frame = parseClientFrame(text, this.registration.protocol);
    if (frame === undefined) return this.#host.happened(this, { kind: 'malformed' });
    this.#prove(now);
    if (frame.kind === 'ping') {
      this.#host.happened(this, HEARTBEAT);
      if (this.speaksV1) sendPong(this, this.#host, frame.timestamp);
    } else if (frame.kind === 'application')
      this.#host.happened(this, { kind: 'message', message: frame.message, text });
    else handleProtocolFrame(this, this.#host, frame);
  }

  #heard(): number {
    const now = this.#host.time.now();
    this.#heardAt = now;
    if (this.#anyFrameProves) this.#prove(now);
    return now;
  }

  #prove(now: number): void {
    if (now - this.provenAt > LATE_PROOF_MS) this.#host.happened(this, PROVEN_LATE);
    this.provenAt = now;
    this.provenAtMonotonic = this.#host.time.monotonic;
    this.isHeldBack = false;
  }

  /** By monotonic time: observed time stands still while presence is unreachable, and a client must not pay for that. */
  #overRate(): boolean {
    const isOver = isOverRate(this, this.#host.limits.maxMessagesPerSecond, this.#host.time);
    if (isOver) this.close('policy-violation');
    return isOver;
  }

  #end(cause: CloseCause, closing: { readonly code: number; readonly reason: string }): void {
    if (!this.#open) return;
    this.#open = false;
    this.#writer?.clear();
    this.#host.happened(this, { kind: 'ended', cause, code: closing.code, reason: closing.reason });
  }
}
