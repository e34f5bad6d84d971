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
  /** A closed socket that accepts no bytes may keep its descriptor for this long. */
  readonly closeTimeoutMs: number;
  readonly maxMessagesPerSecond: number;
  readonly sendQueue: SendQueueLimits;
}

/**
 * If two proofs of life are further apart than this, the second is reported at once: the regular report would be too old (rule
 * ST5).
 */
export const LATE_PROOF_MS = 3250;

/** The events that a connection reports to its owner. */
export type ConnectionEvent =
  /** A ping, or a control frame if control frames prove life. */
  | { readonly kind: 'heartbeat' }
  /** A proof of life long after the previous one. */
  | { readonly kind: 'proven-late' }
  /** The heartbeat deadline passed `lagMs` before the check. */
  | { readonly kind: 'timed-out'; readonly lagMs: number }
  | { readonly kind: 'malformed' }
  /** A message of a type that the protocol does not know. `text` is the client's own text. */
  | { readonly kind: 'message'; readonly message: ClientMessage; readonly text: string }
  | { readonly kind: 'logout-requested' }
  | { readonly kind: 'token-offered'; readonly token: string }
  | { readonly kind: 'acknowledged'; readonly id: string }
  /** Messages that will not reach the client. `wasQueued`: their senders got the outcome `queued`. */
  | {
      readonly kind: 'dropped';
      readonly count: number;
      readonly reason: DropReason;
      readonly wasQueued: boolean;
    }
  /** A newer message with the same key replaced a queued one. */
  | { readonly kind: 'replaced' }
  /** A bug interrupted the work of the connection. */
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'ended'; readonly cause: CloseCause; readonly code: number; readonly reason: string };

/** The parts that a connection gets from its owner. */
export interface ConnectionHost {
  readonly clock: Clock;
  readonly time: ObservedTime;
  readonly limits: ConnectionLimits;
  /** The name that `lingxi.v1` clients get in `welcome`. */
  readonly node: string;
  /** Does the work now, or a little later if there is much work. */
  paced(work: () => void): void;
  /** Call this when the deadline of a connection may have moved earlier. */
  rewatch(connection: ClientConnection): void;
  /** Call this when the expiry of a connection's token has changed. */
  tokenRenewed(connection: ClientConnection): void;
  /** Must not throw for the event `failed`. */
  happened(connection: ClientConnection, event: ConnectionEvent): void;
}

// Events without further data are shared, so that a ping costs no object.
export const HEARTBEAT: ConnectionEvent = { kind: 'heartbeat' };
export const PROVEN_LATE: ConnectionEvent = { kind: 'proven-late' };
export const REPLACED: ConnectionEvent = { kind: 'replaced' };
