import type { HeartbeatMonitor } from '../../heartbeat/monitor.ts';
import type { ObservedTime } from '../../heartbeat/observed-time.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../logging/log.ts';
import type { Counters } from '../../metrics/counters.ts';
import type { ChangeReader, ClaimStore, DutyStore, GroupStore, RecordReader } from '../store/port.ts';
import type { Ledger } from './ledger.ts';
import type { LossNotices } from './loss-notices.ts';

/** A renewed token: its times in wall-clock ms, undefined if it has none, and its groups as one text. */
export interface RenewedToken {
  readonly expiresAt: number | undefined;
  readonly issuedAt: number | undefined;
  readonly groups?: string;
}

/** A store, narrowed to the calls that one part of presence makes. */
export interface StoreCalls<Names extends keyof PresenceOptions['store']> {
  readonly store: Pick<PresenceOptions['store'], Names>;
}

/** The parts and settings of this node's presence. */
export interface PresenceOptions {
  readonly clock: Clock;
  /** The clock of the deadlines. */
  readonly time: ObservedTime;
  /** Watches the deadlines of connections and of holds without a socket. */
  readonly monitor: Pick<HeartbeatMonitor, 'watch' | 'unwatch'>;
  readonly log: Log;
  readonly counters: Counters;
  readonly store: ClaimStore & RecordReader & GroupStore & ChangeReader & Pick<DutyStore, 'knows'>;
  readonly ledger: Ledger;
  /** Receives notices of this node's losses. Absent if there is no other node. */
  readonly notices?: Pick<LossNotices, 'listen'> | undefined;
  /** This incarnation: fresh at each start. */
  readonly node: string;
  readonly heartbeatTimeoutMs: number;
  readonly httpTimeoutMs: number;
  readonly pingIntervalMs: number;
  readonly sessionPolicy: 'replace' | 'reject' | 'multi';
  readonly unknownUsers: 'reject' | 'create' | 'ignore';
  readonly loginResetsTime: boolean;
  /** Periods that a user may open in a minute; 0: no limit. */
  readonly loginsPerMinute: number;
  /**
   * Verifies the token with which a client renews its own. Undefined: the token is refused. `credentials-unavailable`: the key
   * that verifies it cannot be fetched now.
   */
  readonly renewToken: (
    userId: number,
    token: string,
  ) => Promise<RenewedToken | 'credentials-unavailable' | undefined>;
  /** Fresh ids for connections. */
  readonly newId: () => string;
}
