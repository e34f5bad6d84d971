import type { Watched } from '../heartbeat/monitor.ts';
import { OFF_WHEEL, type WheelNode } from '../heartbeat/timeout-wheel.ts';
import type { Timer } from '../lib/clock.ts';
import { closeReason } from '../protocol/close-codes.ts';
import { matchPing, parseClientMessage } from '../protocol/codec.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';
import { CAUSE_CODES, SAYS_GOODBYE } from './cause-codes.ts';
import { type ConnectionHost, LATE_PROOF_MS } from './connection-host.ts';
import type { CloseCause, ConnectionInfo, Registration } from './connection-info.ts';
import {
  type Goodbye,
  goodbyeFrame,
  handleProtocolMessage,
  sendPong,
  sendRefusal,
  sendTokenAccepted,
  sendWelcome,
} from './lingxi-v1.ts';
import { LossLog } from './loss-log.ts';
import { MessageRate } from './message-rate.ts';
import { type FrameOutcome, SendQueue } from './send-queue.ts';
import type { Socket, SocketEvents } from './socket.ts';

/** One socket's life. Owns its proof of life, its rate and the queue behind its socket; there is one way to close. */
export class ClientConnection implements SocketEvents, Watched {
  readonly registration: Registration;
  /** Rises with every connection of the process; what was broadcast before a connection came does not reach it. */
  readonly serial: number;
  /** Wall-clock ms. */
  readonly since: number;
  clientState: 'active' | 'background' = 'active';
  /** Whether listeners were told of this connection. */
  announced = false;
  /** Number of the newest dispatch job that reached this connection. */
  dispatched = 0;
  tokenExpiresAt: number | undefined;

  /** Observed time of the newest proof of life. */
  provenAt: number;
  /** Its monotonic time: real age, stalls included. */
  provenAtMonotonic: number;
  wheelSlot = OFF_WHEEL;
  wheelPrevious: WheelNode | undefined = undefined;
  wheelNext: WheelNode | undefined = undefined;
  isHeld = false;

  readonly #host: ConnectionHost;
  readonly #socket: Socket;
  readonly #anyFrameProves: boolean;
  #queue: SendQueue | undefined;
  #open = true;
  #socketEnded = false;
  #cause: CloseCause | undefined;
  #heardAt: number;
  #pingedAt: number;
  /** Observed time since which the socket takes nothing; undefined while it takes everything. */
  #blockedSince: number | undefined;
  readonly #rate: MessageRate;
  #termination: Timer | undefined;
  #lossLog: LossLog | undefined;

  constructor(host: ConnectionHost, registration: Registration, socket: Socket) {
    this.#host = host;
    this.#socket = socket;
    this.registration = registration;
    this.serial = host.nextSerial();
    this.since = host.clock.now();
    this.tokenExpiresAt = registration.tokenExpiresAt;
    const mode = host.limits.heartbeatMode;
    this.#anyFrameProves = mode === 'any' || (mode === 'auto' && this.speaksV1);
    const now = host.time.now();
    this.provenAt = now;
    this.provenAtMonotonic = host.time.monotonic;
    this.#heardAt = now;
    this.#pingedAt = now;
    this.#rate = new MessageRate(host.limits.maxMessagesPerSecond, this.provenAtMonotonic);
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
    return this.#queue?.length ?? 0;
  }

  info(): ConnectionInfo {
    const { connectionId, userId, username, epoch, ip, protocol } = this.registration;
    const queueBytes = (this.#queue?.bytes ?? 0) + this.#socket.bufferedBytes();
    const { since, clientState: state, queued: queue } = this;
    return { connectionId, userId, username, epoch, since, ip, protocol, state, queue, queueBytes };
  }

  /** Losses to be logged now, this one included; the rest is told with a later one, or with the end. */
  lossToLog(count: number): number {
    const now = this.#host.clock.monotonic();
    return (this.#lossLog ??= new LossLog()).add(count, { now, isLast: !this.#open });
  }

  /** Tells a `lingxi.v1` client who it is; called once, as its first frame. */
  welcome(): void {
    if (this.speaksV1) sendWelcome(this, this.#host);
  }

  /** Hands a frame to the socket or to the queue behind it. Never blocks. */
  send(text: string, kind: string): FrameOutcome {
    if (!this.#open) return 'closed';
    if (this.#blockedSince !== undefined) return this.#enqueue(text, kind);
    const written = this.#socket.send(text);
    if (written === 'sent') return 'written';
    if (written === 'failed') {
      this.close('transport-error');
      return 'closed';
    }
    this.#block();
    return 'queued';
  }

  /** Tells a `lingxi.v1` client that what it asked for was refused. */
  refuse(about: string, code: ErrorCode): void {
    if (this.speaksV1) sendRefusal(this, this.#host, { about, code });
  }

  /** The client showed a fresh token: the connection lives until that one runs out. */
  renewToken(expiresAt: number | undefined): void {
    this.tokenExpiresAt = expiresAt;
    if (!this.#open) return;
    this.#host.rewatch(this);
    if (this.speaksV1) sendTokenAccepted(this, this.#host);
  }

  message(text: string): void {
    if (!this.#open) return;
    const now = this.#heard();
    if (this.#overRate()) return;
    const stamp = matchPing(text);
    if (stamp !== undefined) {
      this.#prove(now);
      this.#host.counters.heartbeats += 1;
      if (this.speaksV1) sendPong(this, this.#host, stamp);
      return;
    }
    this.#handle(text, now);
  }

  control(): void {
    if (!this.#open) return;
    this.#heard();
    if (this.#overRate()) return;
    if (this.#anyFrameProves) this.#host.counters.heartbeats += 1;
  }

  drained(): void {
    this.#blockedSince = undefined;
    while (this.#open && this.#queue !== undefined) {
      const frame = this.#queue.shift();
      if (frame === undefined) {
        this.#queue = undefined;
        return;
      }
      const written = this.#socket.send(frame.text);
      if (written === 'failed') {
        this.#host.droppedLater(this, 1, 'closed');
        return this.close('transport-error');
      }
      if (written === 'buffered') return this.#block();
    }
  }

  closed(code: number, reason: string): void {
    this.#socketEnded = true;
    this.#termination?.cancel();
    this.#end(this.#cause ?? (code === 1006 ? 'connection-lost' : 'client-closed'), { code, reason });
  }

  /** The only door out: idempotent, always with a cause. `reason` stands in the close frame, cut to what that holds. */
  close(cause: CloseCause, reconnectAfterMs = 0, reason: string = cause): void {
    if (!this.#open || this.#cause !== undefined) return;
    this.#cause = cause;
    const goodbye = { code: CAUSE_CODES[cause], reason: cause, reconnectAfterMs };
    const shown = closeReason(reason);
    // A crowd that times out at once is told of in the stores while its sockets, which cost more, are closed one by one.
    if (cause === 'heartbeat-timeout') this.#host.paced(() => this.#closeSocket(goodbye, shown));
    else this.#closeSocket(goodbye, shown);
    this.#end(cause, { code: goodbye.code, reason: shown });
  }

  timesOutAt(): number {
    return this.provenAt + (this.isHeld ? 2 : 1) * this.#host.limits.heartbeatTimeoutMs;
  }

  dueAt(): number {
    const { readTimeoutMs, writeTimeoutMs, pingIntervalMs } = this.#host.limits;
    let due = Math.min(this.timesOutAt(), this.#heardAt + readTimeoutMs);
    if (this.#anyFrameProves) due = Math.min(due, Math.max(this.#heardAt, this.#pingedAt) + pingIntervalMs);
    if (this.#blockedSince !== undefined) due = Math.min(due, this.#blockedSince + writeTimeoutMs);
    if (this.tokenExpiresAt !== undefined) due = Math.min(due, this.#observedExpiry(this.tokenExpiresAt));
    return due;
  }

  attend(now: number): boolean {
    const { readTimeoutMs, writeTimeoutMs, pingIntervalMs } = this.#host.limits;
    if (now >= this.timesOutAt()) {
      this.#host.counters.detectionLag.observe((now - this.timesOutAt()) / 1000);
      this.close('heartbeat-timeout');
    } else if (now >= this.#heardAt + readTimeoutMs) {
      this.close('read-timeout');
    } else if (this.#blockedSince !== undefined && now >= this.#blockedSince + writeTimeoutMs) {
      this.close('slow-consumer');
    } else if (this.tokenExpiresAt !== undefined && this.#host.clock.now() >= this.tokenExpiresAt) {
      this.close('token-expired');
    } else if (this.#anyFrameProves && now >= Math.max(this.#heardAt, this.#pingedAt) + pingIntervalMs) {
      this.#pingedAt = now;
      this.#socket.ping();
    }
    return this.#open;
  }

  #closeSocket(goodbye: Goodbye, reason: string): void {
    if (this.#socketEnded) return;
    // A socket that takes nothing carries no farewell.
    if (this.speaksV1 && SAYS_GOODBYE.has(goodbye.reason) && this.#blockedSince === undefined)
      this.#socket.send(goodbyeFrame(this, this.#host, goodbye));
    // A peer that is gone, or takes nothing, answers no close frame. A socket may call `closed` from within `close`.
    const { clock, limits } = this.#host;
    this.#termination = clock.after(limits.closeTimeoutMs, () => this.#socket.terminate());
    this.#socket.close(goodbye.code, reason);
  }

  #handle(text: string, now: number): void {
    const message = parseClientMessage(text);
    if (message === undefined) return this.#host.malformed(this);
    this.#prove(now);
    if (message.type === 'ping') {
      this.#host.counters.heartbeats += 1;
      if (this.speaksV1) sendPong(this, this.#host, JSON.stringify(message.timestamp) ?? '');
      return;
    }
    if (this.speaksV1 && handleProtocolMessage(this, this.#host, message)) return;
    this.#host.received(this, message);
  }

  #heard(): number {
    const now = this.#host.time.now();
    this.#heardAt = now;
    if (this.#anyFrameProves) this.#prove(now);
    return now;
  }

  #prove(now: number): void {
    if (now - this.provenAt > LATE_PROOF_MS) this.#host.provenLate(this);
    this.provenAt = now;
    this.provenAtMonotonic = this.#host.time.monotonic;
    this.isHeld = false;
  }

  /** By monotonic time: while presence is unreachable the observed one stands still, and no client may pay for that. */
  #overRate(): boolean {
    const isOver = this.#rate.isOver(this.#host.time.monotonic);
    if (isOver) this.close('policy-violation');
    return isOver;
  }

  #enqueue(text: string, kind: string): FrameOutcome {
    this.#queue ??= new SendQueue(this.#host.limits.sendQueue);
    const { outcome, evicted } = this.#queue.push({ text, kind });
    if (evicted > 0) this.#host.droppedLater(this, evicted, 'queue-full');
    if (outcome === 'queued') return 'queued';
    this.#host.dropped(this, 1, 'queue-full');
    if (outcome === 'disconnect') this.close('slow-consumer');
    return 'queue-full';
  }

  #block(): void {
    this.#blockedSince = this.#host.time.now();
    // The write timeout may come before everything else the wheel knows of.
    this.#host.rewatch(this);
  }

  #observedExpiry(expiresAt: number): number {
    const left = expiresAt - this.#host.clock.now();
    // Observed time goes on between two looks: "due now" would lie ahead of whoever asks.
    return left <= 0 ? Number.NEGATIVE_INFINITY : this.#host.time.now() + left;
  }

  #end(cause: CloseCause, closing: { readonly code: number; readonly reason: string }): void {
    if (!this.#open) return;
    this.#open = false;
    const lost = this.#queue?.clear() ?? 0;
    this.#queue = undefined;
    if (lost > 0) this.#host.droppedLater(this, lost, 'closed');
    this.#host.ended(this, cause, closing);
  }
}
