import type { ConnectionInfo } from '../connection/connection-info.ts';
import type { HeldUser } from '../presence/api.ts';
import type { DeliveryStatus, DropReason } from '../protocol/delivery.ts';
import type { LogoutReason } from '../protocol/reasons.ts';

/** Counters of one node since its start, or sums of them. They only rise. */
export interface Totals {
  readonly logins: number;
  readonly heartbeats: number;
  readonly logouts: Readonly<Record<LogoutReason, number>>;
  readonly messages: Readonly<Record<DeliveryStatus, number>>;
  readonly drops: Readonly<Record<DropReason, number>>;
}

export interface LiveQueues {
  readonly dispatch: number;
  readonly dispatchCapacity: number;
  readonly send: number;
  /** Bytes of one connection. */
  readonly sendCapacity: number;
  readonly loginsWaiting: number;
  readonly settlementsPending: number;
  readonly pushStream: number;
}

export interface LiveSettlement {
  readonly available: boolean;
  readonly oldestAgeMs: number;
  readonly setAside: number;
}

/** The data that one node reports about itself. */
export interface NodeCounts {
  readonly uptimeMs: number;
  readonly connections: number;
  readonly lingering: number;
  readonly draining: boolean;
  readonly totals: Totals;
  /** Buckets of the histogram of detection lag, not cumulative. */
  readonly lag: readonly number[];
  readonly queues: LiveQueues;
  readonly settlement: LiveSettlement;
}

/** The detection lag of the last 10 s in ms; null if nobody timed out. */
export interface LiveLag {
  /** The part of the 10 s that was watched. Timeouts before it are not known. */
  readonly overMs: number;
  readonly count: number;
  readonly p50: number | null;
  readonly p99: number | null;
  /** Upper bound of the highest bucket. For the last bucket, the true value may be above it. */
  readonly max: number | null;
}

export interface LiveNode {
  readonly node: string;
  readonly name: string;
  readonly incarnation: string;
  readonly state: 'live' | 'silent' | 'dead';
  readonly leaseAgeMs: number | null;
  readonly users: number;
  readonly connections: number | null;
  readonly draining: boolean;
  /** Whether the node reported its counts in time. If not, the sums contain its last report. */
  readonly answered: boolean;
}

/** The deployment at one moment: one event of the live stream. */
export interface LiveCounts {
  readonly at: number;
  /** The node that collected this. */
  readonly node: string;
  readonly version: string;
  readonly runtime: string;
  /** Differs from the last event if earlier totals of some node were added to the sums: then this step gives no rate. */
  readonly basis: string;
  readonly presenceAvailable: boolean;
  readonly users: { readonly online: number; readonly lingering: number };
  readonly connections: number;
  readonly totals: Totals;
  readonly queues: LiveQueues;
  readonly detectionLagMs: LiveLag;
  readonly settlement: LiveSettlement;
  readonly nodes: readonly LiveNode[];
}

/** One open live stream. */
export interface LiveReader {
  /** One event, as text to send. */
  take(text: string): void;
  /** Called when the node stops. */
  end(): void;
}

export const USER_STATES = [
  'active',
  'background',
  'lingering',
  'http',
] as const satisfies readonly HeldUser['state'][];

/** One row of the table of users. */
export interface UserRow {
  readonly userId: number;
  readonly username: string;
  readonly state: HeldUser['state'];
  /** The node with the user's most active connection: the first of {@link nodes}. */
  readonly node: string;
  readonly nodes: readonly string[];
  readonly since: number;
  readonly lastHeartbeat: number;
  readonly ip: string;
  readonly connections: number;
}

export const USER_SORTS = ['since', 'heartbeat', 'user', 'name', 'node', 'state'] as const;

export interface UsersQuery {
  readonly search: string;
  readonly sort: (typeof USER_SORTS)[number];
  readonly order: 'asc' | 'desc';
  readonly offset: number;
  readonly limit: number;
}

/** Why a table of users may be incomplete. */
export interface UsersGap {
  /** Nodes that do not answer: the data of their users is old or missing. */
  readonly silent: readonly string[];
  /** The users of these nodes are still being read. */
  readonly filling: readonly string[];
  /** Other nodes have more users than one node keeps. */
  readonly tooMany: boolean;
  readonly presenceUnavailable: boolean;
  /** Users on dead nodes. They come back, or are logged out, within seconds. */
  readonly orphans: number;
}

export interface UsersPage {
  readonly at: number;
  readonly total: number;
  readonly matched: number;
  readonly offset: number;
  readonly users: readonly UserRow[];
  readonly gap: UsersGap | undefined;
}

/** A connection with its node. */
export type PlacedConnection = Omit<ConnectionInfo, 'userId' | 'username'> & { readonly node: string };

/** The data of all nodes about one user. */
export interface UserDetails {
  readonly connections: readonly PlacedConnection[];
  readonly groups: readonly string[];
  /** The most active state that a node reports. Undefined: no node that answered holds the user. */
  readonly state: HeldUser['state'] | undefined;
  /** Nodes that did not answer. Absent: all answered. */
  readonly partial: readonly string[] | undefined;
}

/** The functions that the HTTP routes of the dashboard use. */
export interface Dashboard {
  /** Undefined if the node is stopping. Otherwise the function that ends the reading. */
  live(reader: LiveReader): (() => void) | undefined;
  /** Undefined: too many different queries are in progress. */
  users(query: UsersQuery): Promise<UsersPage | undefined>;
  user(userId: number): Promise<UserDetails>;
}
