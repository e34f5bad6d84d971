import type { ObservedTime } from '../heartbeat/observed-time.ts';
import type { Clock } from '../lib/clock.ts';
import type { Counters } from '../metrics/counters.ts';
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

/** Proofs of life that are further apart are told one by one: what is told regularly would be too old (rule ST5). */
export const LATE_PROOF_MS = 3250;

/** What a connection needs of whoever owns it. */
export interface ConnectionHost {
  readonly clock: Clock;
  readonly time: ObservedTime;
  readonly limits: ConnectionLimits;
  readonly counters: Counters;
  /** Shown to `lingxi.v1` clients in `welcome`. */
  readonly node: string;
  nextSerial(): number;
  /** Does it now, or where it is one of a crowd a little later. */
  paced(work: () => void): void;
  /** The deadline of a connection may have come nearer. */
  rewatch(connection: ClientConnection): void;
  /** A proof of life long after the one before it. */
  provenLate(connection: ClientConnection): void;
  malformed(connection: ClientConnection): void;
  /** A bug broke off what the connection was doing. Must not throw. */
  failed(connection: ClientConnection, error: unknown): void;
  /** A message of a type that the protocol does not know. */
  received(connection: ClientConnection, message: ClientMessage): void;
  dropped(connection: ClientConnection, count: number, reason: DropReason): void;
  /** As {@link dropped}, of messages whose sender was told that they are `queued`. */
  droppedLater(connection: ClientConnection, count: number, reason: DropReason): void;
  logoutRequested(connection: ClientConnection): void;
  tokenOffered(connection: ClientConnection, token: string): void;
  acknowledged(connection: ClientConnection, id: string): void;
  ended(
    connection: ClientConnection,
    cause: CloseCause,
    closing: { readonly code: number; readonly reason: string },
  ): void;
}
