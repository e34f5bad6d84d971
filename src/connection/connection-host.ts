import type { ObservedTime } from '../heartbeat/observed-time.ts';
import type { Clock } from '../lib/clock.ts';
import type { CloseCause } from '../protocol/close-codes.ts';
import type { DropReason } from '../protocol/delivery.ts';
import type { ClientMessage } from '../protocol/frames.ts';
import type { ClientConnection } from './client-connection.ts';
import type { SendQueueLimits } from './send-queue.ts';

/** Limits and timeouts that every connection shares. Times in milliseconds. */
export interface ConnectionLimits {
  readonly heartbeatTimeoutMs: number;
  readonly heartbeatMode: 'auto' | 'any' | 'client';
  readonly pingIntervalMs: number;
  readonly readTimeoutMs: number;
  readonly writeTimeoutMs: number;
  /** How long a socket that takes nothing may hold its descriptor after it was closed. */
  readonly closeTimeoutMs: number;
  readonly maxMessagesPerSecond: number;
  readonly sendQueue: SendQueueLimits;
}

/** Proofs of life that are further apart are reported one by one: the regular report would be too old (rule ST5). */
export const LATE_PROOF_MS = 3250;

/** What happened to a connection, as the connection tells its owner. */
export type ConnectionEvent =
  /** A ping, or a control frame where these prove life. */
  | { readonly kind: 'heartbeat' }
  /** A proof of life long after the one before it. */
  | { readonly kind: 'proven-late' }
  /** Its heartbeat deadline passed `lagMs` before anybody noticed. */
  | { readonly kind: 'timed-out'; readonly lagMs: number }
  | { readonly kind: 'malformed' }
  /** A message of a type that the protocol does not know; `text` is what the client wrote. */
  | { readonly kind: 'message'; readonly message: ClientMessage; readonly text: string }
  | { readonly kind: 'logout-requested' }
  | { readonly kind: 'token-offered'; readonly token: string }
  | { readonly kind: 'acknowledged'; readonly id: string }
  /** Messages that will not reach the client. `wasQueued`: their senders heard `queued`. */
  | {
      readonly kind: 'dropped';
      readonly count: number;
      readonly reason: DropReason;
      readonly wasQueued: boolean;
    }
  /** A newer message with the same key took the place of a queued one. */
  | { readonly kind: 'replaced' }
  /** A bug broke off what the connection was doing. */
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'ended'; readonly cause: CloseCause; readonly code: number; readonly reason: string };

/** What a connection needs of its owner. */
export interface ConnectionHost {
  readonly clock: Clock;
  readonly time: ObservedTime;
  readonly limits: ConnectionLimits;
  /** Shown to `lingxi.v1` clients in `welcome`. */
  readonly node: string;
  /** Does the work now, or a little later if there is much of it. */
  paced(work: () => void): void;
  /** The deadline of a connection may have come nearer. */
  rewatch(connection: ClientConnection): void;
  /** The moment at which the token of a connection expires has changed. */
  tokenRenewed(connection: ClientConnection): void;
  /** Must not throw for `failed`. */
  happened(connection: ClientConnection, event: ConnectionEvent): void;
}

// Those that say nothing but their kind: a ping costs no object.
export const HEARTBEAT: ConnectionEvent = { kind: 'heartbeat' };
export const PROVEN_LATE: ConnectionEvent = { kind: 'proven-late' };
export const REPLACED: ConnectionEvent = { kind: 'replaced' };
