import type { ObservedTime } from '../heartbeat/observed-time.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../logging/log.ts';
import type { Counters } from '../metrics/counters.ts';
import type { CloseCause } from '../protocol/close-codes.ts';
import type { ClientConnection } from './client-connection.ts';
import type { ConnectionLimits } from './connection-host.ts';
import type { InboundStore } from './inbound.ts';

/** The one observer of a manager: presence. The manager calls it synchronously; it must not block. */
export interface ManagerObserver {
  registered(connection: ClientConnection): void;
  ended(connection: ClientConnection, cause: CloseCause): void;
  /** A proof of life long after the previous one. */
  provenLate?(connection: ClientConnection): void;
  logoutRequested(connection: ClientConnection): void;
  tokenOffered(connection: ClientConnection, token: string): void;
}

export interface ManagerOptions extends Partial<ConnectionLimits> {
  readonly clock?: Clock;
  readonly time?: ObservedTime;
  readonly log?: Log;
  readonly counters?: Counters;
  readonly observer?: ManagerObserver;
  /** Gets the client messages that have no handler. */
  readonly inbound?: InboundStore | undefined;
  /** `replace`: a newer connection of a user closes the older ones (4001). `multi`: all stay open. */
  readonly policy?: 'replace' | 'multi';
  /** Largest number of messages to many users that are accepted but not yet sent to all connections. Default 256. */
  readonly dispatchQueue?: number;
  readonly node?: string;
  /** `LINGXI_MASS_TIMEOUT_SHARE` (rule HB6); 0, the default here: off. */
  readonly massTimeoutShare?: number;
}

const DEFAULT_LIMITS: ConnectionLimits = {
  heartbeatTimeoutMs: 10_000,
  heartbeatMode: 'auto',
  pingIntervalMs: 3000,
  readTimeoutMs: 60_000,
  writeTimeoutMs: 10_000,
  closeTimeoutMs: 5000,
  maxMessagesPerSecond: 50,
  sendQueue: { messages: 64, bytes: 1_048_576, policy: 'drop-newest' },
};

/** The limits in `options`, with defaults for the others. */
export function connectionLimits(options: ManagerOptions): ConnectionLimits {
  return {
    heartbeatTimeoutMs: options.heartbeatTimeoutMs ?? DEFAULT_LIMITS.heartbeatTimeoutMs,
    heartbeatMode: options.heartbeatMode ?? DEFAULT_LIMITS.heartbeatMode,
    pingIntervalMs: options.pingIntervalMs ?? DEFAULT_LIMITS.pingIntervalMs,
    readTimeoutMs: options.readTimeoutMs ?? DEFAULT_LIMITS.readTimeoutMs,
    writeTimeoutMs: options.writeTimeoutMs ?? DEFAULT_LIMITS.writeTimeoutMs,
    closeTimeoutMs: options.closeTimeoutMs ?? DEFAULT_LIMITS.closeTimeoutMs,
    maxMessagesPerSecond: options.maxMessagesPerSecond ?? DEFAULT_LIMITS.maxMessagesPerSecond,
    sendQueue: options.sendQueue ?? DEFAULT_LIMITS.sendQueue,
  };
}
