import type { Socket, SocketEvents } from '../connection/socket.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import { CloseCode } from '../protocol/close-codes.ts';
import { encodeFrame } from '../protocol/frames.ts';
import type { UpgradeRefusal } from './admission.ts';
import { NO_EVENTS, type SocketOwner } from './gateway-server.ts';

/** Largest number of sockets that are refused in band at the same time. Beyond it, an upgrade gets its HTTP status. */
export const MAX_REFUSED_SOCKETS = 512;
/** The client has this time to answer the close frame. Then the server drops the TCP connection. */
const CLOSE_TIMEOUT_MS = 2000;
const MS_PER_S = 1000;

/** How an upgrade is refused in band. */
export interface InBandClose {
  readonly code: CloseCode;
  /** The user of the `goodbye`; 0 if the server does not know it. */
  readonly userId: number;
}

/**
 * Refuses upgrades of browsers in band: it accepts the socket, and closes it at once with a code for the reason. Such a socket is
 * no connection: it takes no place and nothing is read from it.
 */
export class InBandRefusals {
  readonly #clock: Pick<Clock, 'after' | 'now'>;
  #open = 0;

  constructor(clock: Pick<Clock, 'after' | 'now'>) {
    this.#clock = clock;
  }

  /** Number of sockets that are being refused now. */
  get open(): number {
    return this.#open;
  }

  /** The owner of a socket to refuse. Undefined: refuse the upgrade by its HTTP status. */
  take(refusal: UpgradeRefusal): SocketOwner | undefined {
    const { inBand } = refusal;
    if (inBand === undefined || this.#open >= MAX_REFUSED_SOCKETS) return undefined;
    this.#open += 1;
    let cut: Timer | undefined;
    return {
      opened: (socket) => {
        cut = this.#clock.after(CLOSE_TIMEOUT_MS, () => socket.terminate());
        return this.#refuse(socket, refusal, inBand);
      },
      released: () => {
        cut?.cancel();
        this.#open -= 1;
      },
      abandoned: () => {},
    };
  }

  #refuse(socket: Socket, refusal: UpgradeRefusal, { code, userId }: InBandClose): SocketEvents {
    if (code === CloseCode.refusedForNow) {
      const reconnectAfterMs = (refusal.retryAfterS ?? 1) * MS_PER_S;
      const data = { code, reason: refusal.code, reconnectAfterMs };
      const timestamp = Math.floor(this.#clock.now() / MS_PER_S);
      socket.send(encodeFrame({ type: 'goodbye', data }, { userId, timestamp }));
    }
    socket.close(code, refusal.code);
    return NO_EVENTS;
  }
}
