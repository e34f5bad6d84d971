import type { HeartbeatMonitor } from '../../heartbeat/monitor.ts';
import type { ObservedTime } from '../../heartbeat/observed-time.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../logging/log.ts';
import type { Counters } from '../../metrics/counters.ts';
import type { ChangeReader, ClaimStore, GroupStore, RecordReader } from '../store/port.ts';
import type { Ledger } from './ledger.ts';
import type { LossNotices } from './loss-notices.ts';

/** What a renewed token says: its times in wall-clock ms, undefined if it has none, and its groups as one text. */
export interface RenewedToken {
  readonly expiresAt: number | undefined;
  readonly issuedAt: number | undefined;
  readonly groups?: string;
}

/** What this node's presence is made of. Each part takes what it needs. */
export interface PresenceOptions {
  readonly clock: Clock;
  /** The time on which the deadlines of the connections live. */
  readonly time: ObservedTime;
  /** Watches deadlines: those of connections, and of holds without a socket. */
  readonly monitor: Pick<HeartbeatMonitor, 'watch' | 'unwatch'>;
  readonly log: Log;
  readonly counters: Counters;
  readonly store: ClaimStore & RecordReader & GroupStore & ChangeReader;
  readonly ledger: Ledger;
  /** What the store takes from this node, heard at once; absent where there is no other node. */
  readonly notices?: Pick<LossNotices, 'listen'> | undefined;
  /** This incarnation: fresh at each start. */
  readonly node: string;
  readonly heartbeatTimeoutMs: number;
  readonly httpTimeoutMs: number;
  readonly pingIntervalMs: number;
  readonly sessionPolicy: 'replace' | 'reject' | 'multi';
  readonly unknownUsers: 'reject' | 'create' | 'ignore';
  readonly loginResetsTime: boolean;
  /** Periods that a user may open a minute; 0: any number. */
  readonly loginsPerMinute: number;
  /**
   * Verifies a token that a client sends to renew its own. Answers when it expires and was issued, and its groups as one
   * text; undefined where it is refused, or that the key which would verify it cannot be fetched now.
   */
  readonly renewToken: (
    userId: number,
    token: string,
  ) => Promise<RenewedToken | 'credentials-unavailable' | undefined>;
  /** Fresh ids for connections. */
  readonly newId: () => string;
}
