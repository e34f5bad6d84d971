/** What became of a frame that was given to a connection. */
export type FrameOutcome = 'written' | 'queued' | 'queue-full' | 'closed';

/** What to do with a message that finds the queue of its connection full (`LINGXI_OVERFLOW`). */
export type OverflowPolicy = 'drop-newest' | 'drop-oldest' | 'conflate' | 'disconnect';

export interface SendQueueLimits {
  /** Messages behind the socket, at most. */
  readonly messages: number;
  /** Their UTF-8 bytes, at most. */
  readonly bytes: number;
  readonly policy: OverflowPolicy;
}

/** A message queued behind its socket. `kind` is the envelope's type, by which `conflate` replaces. */
export interface QueuedFrame {
  readonly text: string;
  readonly kind: string;
}

/**
 * `queued`: the message waits. `full`: it was not taken. `disconnect`: it was not taken and the connection must be
 * closed as a slow consumer. `evicted` counts older messages that gave way and will not be sent.
 */
export interface Enqueued {
  readonly outcome: 'queued' | 'full' | 'disconnect';
  readonly evicted: number;
}

const FULL: Enqueued = { outcome: 'full', evicted: 0 };
const DISCONNECT: Enqueued = { outcome: 'disconnect', evicted: 0 };
const QUEUED: Enqueued = { outcome: 'queued', evicted: 0 };

/** The bounded queue behind one slow socket (rule DL3). */
export class SendQueue {
  readonly #limits: SendQueueLimits;
  readonly #frames: { readonly frame: QueuedFrame; readonly bytes: number }[] = [];
  #bytes = 0;

  constructor(limits: SendQueueLimits) {
    this.#limits = limits;
  }

  get length(): number {
    return this.#frames.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  push(frame: QueuedFrame): Enqueued {
    const bytes = Buffer.byteLength(frame.text);
    if (this.#fits(bytes)) {
      this.#append(frame, bytes);
      return QUEUED;
    }
    switch (this.#limits.policy) {
      case 'drop-newest':
        return FULL;
      case 'disconnect':
        return DISCONNECT;
      case 'drop-oldest':
        return this.#makeRoom(frame, bytes, () => 0);
      case 'conflate':
        return this.#makeRoom(frame, bytes, () => this.#indexOfKind(frame.kind));
    }
  }

  shift(): QueuedFrame | undefined {
    const first = this.#frames.shift();
    if (first === undefined) return undefined;
    this.#bytes -= first.bytes;
    return first.frame;
  }

  /** Empties the queue and answers how many messages were lost. */
  clear(): number {
    const lost = this.#frames.length;
    this.#frames.length = 0;
    this.#bytes = 0;
    return lost;
  }

  #fits(bytes: number): boolean {
    return this.#frames.length < this.#limits.messages && this.#bytes + bytes <= this.#limits.bytes;
  }

  /** Past the end where there is none: nothing is evicted then. */
  #indexOfKind(kind: string): number {
    const index = this.#frames.findIndex((queued) => queued.frame.kind === kind);
    return index < 0 ? this.#frames.length : index;
  }

  #append(frame: QueuedFrame, bytes: number): void {
    this.#frames.push({ frame, bytes });
    this.#bytes += bytes;
  }

  #makeRoom(frame: QueuedFrame, bytes: number, victim: () => number): Enqueued {
    if (bytes > this.#limits.bytes) return FULL;
    let evicted = 0;
    while (!this.#fits(bytes)) {
      const [removed] = this.#frames.splice(victim(), 1);
      if (removed === undefined) return { outcome: 'full', evicted };
      this.#bytes -= removed.bytes;
      evicted += 1;
    }
    this.#append(frame, bytes);
    return { outcome: 'queued', evicted };
  }
}
