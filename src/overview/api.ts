import type { ConnectionInfo } from '../connection/connection-info.ts';
import type { HeldUser } from '../presence/api.ts';
import type { DeliveryStatus, DropReason } from '../protocol/delivery.ts';
import type { LogoutReason } from '../protocol/reasons.ts';

/** Counters of one node since its start, or sums of them. They only grow. */
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
  /** Of one connection. */
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

/** What one node says of itself. */
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

/** The detection lag of the last 10 s in ms; null where nobody timed out. */
export interface LiveLag {
  readonly count: number;
  readonly p50: number | null;
  readonly p99: number | null;
  /** Upper bound of the highest bucket. The bound of the last bucket also stands for more. */
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
  /** Whether it said in time what it counts. If not, the sums have what it said last. */
  readonly answered: boolean;
}

/** The deployment at one moment: one event of the live stream. */
export interface LiveCounts {
  readonly at: number;
  /** The node that collected this. */
  readonly node: string;
  readonly version: string;
  readonly runtime: string;
  /** Another text than before: earlier totals of some node entered the sums, so no rate can be computed for this step. */
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
  /** The node stops. */
  end(): void;
}

export const USER_STATES = [
  'active',
  'background',
  'lingering',
  'http',
] as const satisfies readonly HeldUser['state'][];

/** One line of the table of users. */
export interface UserRow {
  readonly userId: number;
  readonly username: string;
  readonly state: HeldUser['state'];
  /** The node whose connection is newest in state: the first of {@link nodes}. */
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

/** What a table of users may lack. */
export interface UsersGap {
  /** Nodes that do not answer: their users are as they were, or missing. */
  readonly silent: readonly string[];
  /** The users of these nodes are still being read. */
  readonly filling: readonly string[];
  /** There are more users on other nodes than one node keeps. */
  readonly tooMany: boolean;
  readonly presenceUnavailable: boolean;
  /** Users of nodes that have died. They come back, or are logged out within seconds. */
  readonly ghosts: number;
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

/** What all nodes know of one user. */
export interface UserDetails {
  readonly connections: readonly PlacedConnection[];
  readonly groups: readonly string[];
  /** The most active one that a node says. Undefined: no node that answered holds the user. */
  readonly state: HeldUser['state'] | undefined;
  /** Nodes that did not answer. Absent: all did. */
  readonly partial: readonly string[] | undefined;
}

/** What the HTTP routes of the dashboard ask for. */
export interface Dashboard {
  /** Undefined where the node stops. Otherwise the function that ends the reading. */
  live(reader: LiveReader): (() => void) | undefined;
  /** Undefined: too many different queries are under way. */
  users(query: UsersQuery): Promise<UsersPage | undefined>;
  user(userId: number): Promise<UserDetails>;
}
