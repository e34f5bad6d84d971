import type { DropReason } from '../protocol/delivery.ts';
import type { ClientConnection } from './client-connection.ts';
import { type ConnectionHost, REPLACED } from './connection-host.ts';
import { type FrameOutcome, isExpired, type QueueTraits, SendQueue } from './send-queue.ts';
import type { Socket } from './socket.ts';

/** While a socket holds bytes back, the writer checks this often whether the socket has sent some. */
const LOOK_MS = 500;

type WriterHost = Pick<ConnectionHost, 'clock' | 'limits' | 'time' | 'rewatch' | 'happened'>;

/** The result of a check. `stuck`: the socket sent nothing for the write timeout. */
export type Progress = 'free' | 'moving' | 'waiting' | 'stuck';

/**
 * Serves a connection while its socket holds bytes back. It queues new frames, sends them once the socket accepts more, and knows
 * whether the socket makes progress (rule DL3). Times are observed ms.
 */
export class Writer {
  readonly #host: WriterHost;
  readonly #owner: ClientConnection;
  readonly #socket: Socket;
  #queue: SendQueue | undefined;
  /** When the socket last sent something; undefined while it accepts everything. */
  #tookAt: number | undefined;
  #lookedAt = 0;
  /** Bytes that the socket held back at the newest check. */
  #heldBytes = 0;

  constructor(host: WriterHost, owner: ClientConnection, socket: Socket) {
    this.#host = host;
    this.#owner = owner;
    this.#socket = socket;
  }

  get queued(): number {
    return this.#queue?.length ?? 0;
  }

  get queuedBytes(): number {
    return this.#queue?.bytes ?? 0;
  }

  get isBlocked(): boolean {
    return this.#tookAt !== undefined;
  }

  /** The socket has sent all its bytes. `free`: no message waits any more. */
  drained(): 'free' | 'blocked' {
    this.#tookAt = undefined;
    const expired = this.#flush();
    if (expired > 0) this.#dropped(expired, 'ttl', true);
    return this.isBlocked ? 'blocked' : 'free';
  }

  /** Sends the waiting messages, and returns how many had expired. */
  #flush(): number {
    let expired = 0;
    while (this.#queue !== undefined) {
      const frame = this.#queue.shift();
      if (frame === undefined) {
        this.#queue = undefined;
        break;
      }
      if (isExpired(frame.traits, this.#host.clock)) {
        expired += 1;
        continue;
      }
      const written = this.#socket.send(frame.text);
      if (written === 'failed') {
        this.#dropped(1, 'closed', true);
        this.#owner.close('transport-error');
        break;
      }
      if (written === 'buffered') {
        this.block();
        break;
      }
    }
    return expired;
  }

  /** Time of the next check. */
  dueAt(): number {
    if (this.#tookAt === undefined) return Number.POSITIVE_INFINITY;
    return Math.min(this.#tookAt + this.#host.limits.writeTimeoutMs, this.#lookedAt + LOOK_MS);
  }

  /** Checks whether the socket has sent bytes since the last check. */
  look(now: number): Progress {
    if (this.#tookAt === undefined) return 'free';
    this.#expire();
    const held = this.#socket.bufferedBytes();
    const hasTaken = held < this.#heldBytes;
    this.#lookedAt = now;
    this.#heldBytes = held;
    if (hasTaken) {
      this.#tookAt = now;
      return 'moving';
    }
    return now >= this.#tookAt + this.#host.limits.writeTimeoutMs ? 'stuck' : 'waiting';
  }

  /** Drops the waiting messages: the connection has ended. */
  clear(): void {
    this.#expire();
    const lost = this.#queue?.clear() ?? 0;
    this.#queue = undefined;
    if (lost > 0) this.#dropped(lost, 'closed', true);
  }

  enqueue(text: string, traits: QueueTraits): FrameOutcome {
    this.#queue ??= new SendQueue(this.#host.limits.sendQueue);
    const now = this.#queue.isTimed ? this.#host.clock.monotonic() : 0;
    const { outcome, evicted, replaced, expired } = this.#queue.push(text, traits, now);
    if (expired > 0) this.#dropped(expired, 'ttl', true);
    if (evicted > 0) this.#dropped(evicted, 'queue-full', true);
    if (replaced > 0) this.#host.happened(this.#owner, REPLACED);
    if (outcome === 'queued') return 'queued';
    this.#dropped(1, 'queue-full', false);
    if (outcome === 'disconnect') this.#owner.close('slow-consumer');
    return 'queue-full';
  }

  /** Drops expired messages. */
  #expire(): void {
    if (this.#queue?.isTimed !== true) return;
    const expired = this.#queue.expire(this.#host.clock.monotonic());
    if (expired > 0) this.#dropped(expired, 'ttl', true);
  }

  #dropped(count: number, reason: DropReason, wasQueued: boolean): void {
    this.#host.happened(this.#owner, { kind: 'dropped', count, reason, wasQueued });
  }

  /** The socket holds bytes back from now on. */
  block(): void {
    const now = this.#host.time.now();
    this.#tookAt = now;
    this.#lookedAt = now;
    this.#heldBytes = this.#socket.bufferedBytes();
    // The next check may come before every other deadline in the wheel.
    this.#host.rewatch(this.#owner);
  }
}
