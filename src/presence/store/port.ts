import type { Duty, EndedPeriod, PendingDuties, PeriodKey } from '../../protocol/periods.ts';
import type { StoredChange } from '../api.ts';

/** Users that one call of a store may carry, at most. */
export const MAX_BATCH = 500;

/**
 * What a node states of one user: not an event but what it *holds*. Stating it again, late or twice changes nothing,
 * since `rev` rises with every statement. Times are ages and remainders in milliseconds, never clock readings.
 */
export interface Claim {
  readonly userId: number;
  /**
   * - `socket`: a new connection. Opens a period or joins the running one; mints an epoch.
   * - `http`: an HTTP login. Opens or joins; mints no epoch when joining and takes nothing from anybody.
   * - `beat`: a proof of life by HTTP; `not-online` where nobody holds the user.
   * - `state`: what is left after a change, or the regular renewal. Creates nothing.
   * - `restate`: as `state`, but creates: only while the store asks to be restored.
   */
  readonly mode: 'socket' | 'http' | 'beat' | 'state' | 'restate';
  /** Rises with every statement of this node about this user. */
  readonly rev: number;
  /** Sockets that the node has, for `socket` the new one included. */
  readonly sockets: number;
  /** Sockets here that a take-over would throw out; but for `multi` only responsive ones (mode `socket`, rule PR4). */
  readonly rivals: number;
  /** Remainder of the deadline of the sockets, or of the linger after the last one; ≤ 0: none. */
  readonly socketMs: number;
  /** Remainder of the HTTP proof of life; ≤ 0: none. */
  readonly httpMs: number;
  /** Age of the newest proof of life. */
  readonly proofAgeMs: number;
  /** Newest proof plus its timeout, from now; negative once past. The logout time of a timeout (rule ST5). */
  readonly untilMs: number;
  /**
   * Names the proofs that {@link proofAgeMs} and {@link untilMs} go by, of this node alone: of two statements of the
   * same proofs the one that was on its way for longer makes them too new. No separator of a store: letters, digits, `_`.
   */
  readonly proofMark: string;
  /** Epoch of the newest living socket, 0 where there is none; mode `socket`: 0 for a new one, else they come anew. */
  readonly epoch: number;
  /** The user's newest period that SQL knows of: a new one is greater. */
  readonly floor: number;
  /** What is restated; 0 in other modes. */
  readonly period: number;
  readonly loginTime: number;
  readonly username: string;
  readonly ip: string;
  /** Groups of the tokens of this node's connections, as one text; empty: none (rule GR1). */
  readonly tokenGroups: string;
  /** Version of the groups by the service that this node knows; mode `restate`: all of them. Empty: none. */
  readonly serviceGroups: string;
  /** Mode `state`: why the newest socket that is gone was closed, since the statement before; empty: none was. */
  readonly cause: string;
}

export type ClaimAnswer =
  /** A period opened; it is not visible before `record`. `unsettled`: an earlier period whose duty still waits. */
  | {
      readonly kind: 'opened';
      readonly period: number;
      readonly epoch: number;
      readonly loginTime: number;
      readonly unsettled: number | undefined;
      readonly groups?: string;
    }
  | {
      readonly kind: 'joined';
      readonly period: number;
      readonly epoch: number;
      readonly loginTime: number;
      /** The groups by the service, where the node knows another version of them. */
      readonly groups?: string;
    }
  /** The statement was taken; the node still holds the user. */
  | { readonly kind: 'held'; readonly groups?: string }
  /** The node let go; another node still holds the user. */
  | { readonly kind: 'released' }
  /** The last hold went: the period ended by timeout. */
  | { readonly kind: 'ended'; readonly end: EndedPeriod }
  | { readonly kind: 'refused'; readonly code: 'session-exists' | 'session-flapping' | 'blocked' }
  /** Nobody holds the user (`beat`), or this node does not (`state`), or what is restated has ended. */
  | { readonly kind: 'not-online' | 'gone' }
  /** The statement is older than the newest one, or than what took the hold away. */
  | { readonly kind: 'stale' | 'lost' }
  /** Sockets that were to come back, or that the store does not know, are older than one of another node (PR9). */
  | { readonly kind: 'taken' }
  /** The store is too young, or the period is being opened elsewhere: state it again soon. */
  | { readonly kind: 'young' }
  | { readonly kind: 'no-lease' };

export interface EndRequest {
  readonly userId: number;
  readonly reason: 'logout' | 'kick';
  /** 0: whatever the epoch. Otherwise only this one or an older one is ended (rule PR7). */
  readonly epoch: number;
  /** Refuse logins for this long from now; 0 lifts a block; absent: a block stays as it is. */
  readonly blockMs?: number;
  /** Age of the newest proof that the asking node has, -1 where it holds none: an offline user's is exact. */
  readonly proofAgeMs: number;
  /** What the service says of it: for the timeline, and for the nodes that close the sockets. */
  readonly note?: string;
}

export type EndAnswer =
  | { readonly kind: 'ended'; readonly end: EndedPeriod }
  /** A newer epoch is held: nothing changed, no block either. */
  | { readonly kind: 'superseded' }
  | { readonly kind: 'not-online' }
  | { readonly kind: 'young' | 'no-lease' };

/** Users whom the service puts into a group, and users whom it takes out: together at most {@link MAX_BATCH}, each once. */
export interface GroupChange {
  readonly group: string;
  readonly add: readonly number[];
  readonly remove: readonly number[];
}

/** One change of the groups that the service gave to a user: the version before it, and the version after it. */
export interface GroupStep {
  readonly period: number;
  readonly before: number;
  readonly version: number;
}

export type GroupAnswer =
  /** What the user is now. `step`: something changed. A user who is removed stays a member by a token. */
  | { readonly kind: 'member' | 'removed'; readonly step?: GroupStep }
  /** `full`: the user is in as many groups as allowed. */
  | { readonly kind: 'offline' | 'full' }
  | { readonly kind: 'young' | 'no-lease' };

/** A hold that was taken from this node; told again until acknowledged. */
export interface Loss {
  readonly userId: number;
  /** Statements up to this one are void. */
  readonly rev: number;
  readonly reason: 'replaced' | 'logout' | 'kick';
  /** What the service said of a kick. */
  readonly note?: string;
}

/** What a call took from other nodes, by node. */
export type LostByNodes = ReadonlyMap<string, readonly Loss[]>;

export interface RenewRequest {
  /** Highest epoch that this node knows of (rule PR3). */
  readonly highestEpoch: number;
  /** True once the node has restated everything after being asked to. */
  readonly restored: boolean;
  readonly acknowledged: readonly Loss[];
}

export interface RenewAnswer {
  /** The node must restate all that it holds, then renew with `restored`. */
  readonly restore: boolean;
  /** Names what the store remembers: another name after a wipe, a restart or a failover. */
  readonly world: string;
  readonly losses: readonly Loss[];
  readonly onlineCount: number;
  /** Keys under which the store found something that is not ours, and replaced it. */
  readonly foreign: readonly string[];
}

/** What is known of a user; times are wall-clock milliseconds of the store. */
export interface UserRecord {
  readonly userId: number;
  readonly username: string | undefined;
  readonly ip: string;
  readonly status: 'online' | 'offline';
  readonly loginTime: number;
  readonly lastHeartbeat: number;
  readonly logoutTime: number | undefined;
  readonly sockets: number;
  /** Those of them that other nodes than the one that asks have. */
  readonly socketsElsewhere: number;
  readonly epoch: number | undefined;
  readonly period: number | undefined;
}

/** What came of a look at the nodes that have died. */
export interface ReapAnswer {
  readonly ended: readonly EndedPeriod[];
  /** Users of dead nodes who are left. */
  readonly ghosts: number;
  /** In how many ms the next node is dead unless it is heard of before; undefined where nothing can tell. */
  readonly nextDeathMs: number | undefined;
}

/**
 * What this node holds, stated to the store, and its lease.
 *
 * - A user is online exactly while a node holds them and the opening is recorded.
 * - Ending a period and recording the duty to settle it are one atomic step (rule ST1).
 */
export interface ClaimStore {
  /** Whether a duty outlives this process: otherwise whoever asked for a logout hears of it once SQL has it (rule ST1). */
  readonly keepsDuties: boolean;
  /** How far the newest proof of life that the store knows may be behind, in ms; undefined: it need not know. */
  readonly renewalMs: number | undefined;
  renew(request: RenewRequest): Promise<RenewAnswer>;
  claim(batch: readonly Claim[]): Promise<readonly ClaimAnswer[]>;
  /** Makes opened periods visible: the id enters the online set. Answers whether the period was still held. */
  record(batch: readonly PeriodKey[]): Promise<readonly boolean[]>;
  /**
   * Gives back opened periods that could not be written to SQL: as if they had never been. Rejects where another node
   * has recorded one meanwhile: this node then holds the user, and states what is true.
   */
  withdraw(batch: readonly PeriodKey[]): Promise<void>;
  end(batch: readonly EndRequest[]): Promise<readonly EndAnswer[]>;
  /**
   * Users that this node holds in the store by statements up to `rev`. After the node has restated everything, these
   * are the users that it does not know: a failover brought them back.
   */
  unstated(rev: number): Promise<readonly number[]>;
  /** Ends what dead nodes held and nobody else holds. */
  reap(limit: number): Promise<ReapAnswer>;
}

/** What is known of users. */
export interface RecordReader {
  read(userIds: readonly number[]): Promise<readonly (UserRecord | undefined)[]>;
  /** In how many ms the block of the user ends; 0: no block. A user who was never online may be blocked too. */
  blockLeftMs(userId: number): Promise<number>;
  onlinePage(page: {
    readonly limit: number;
    readonly cursor: string | undefined;
  }): Promise<{ readonly userIds: readonly number[]; readonly cursor: string | undefined }>;
}

/** Users who are online, by group (rules GR1 to GR3). */
export interface GroupStore {
  /** One answer for each user that is added, then for each that is removed. The nodes that hold them hear of it. */
  changeGroup(change: GroupChange): Promise<readonly GroupAnswer[]>;
  /** Members in the order of their ids, after `cursor`; `online` counts all of them. */
  groupPage(page: {
    readonly group: string;
    readonly limit: number;
    readonly cursor: string | undefined;
  }): Promise<GroupPage>;
}

export interface GroupPage {
  readonly online: number;
  readonly userIds: readonly number[];
  readonly cursor: string | undefined;
}

/** What changed, for those who follow it. */
export interface ChangeReader {
  /**
   * Changes to online and offline of everybody, oldest first, after `cursor` ({@link FEED_START}: the oldest kept), in
   * order for one user. Undefined where entries after the cursor may be gone (rule PR12).
   */
  feed(page: {
    readonly cursor: string;
    readonly limit: number;
  }): Promise<readonly StoredChange[] | undefined>;
  /** Changes of one user, newest first, older than `cursor` (absent: the newest). Undefined where it is no cursor. */
  timeline(
    userId: number,
    page: { readonly cursor: string | undefined; readonly limit: number },
  ): Promise<readonly StoredChange[] | undefined>;
}

/** Ended periods that wait for SQL, for those who settle them. */
export interface DutyStore {
  /** For each row: whether presence knows the period as running or its duty waits (rule ST4). */
  knows(rows: readonly PeriodKey[]): Promise<readonly boolean[]>;
  /** Whether a burst of claims is in progress. Work that can wait should not ask the store meanwhile. */
  readonly hasBurst?: boolean;
  /** Takes duties to settle; a duty is given out again only after a restart or to another node once this one died. */
  takeDuties(limit: number): Promise<readonly Duty[]>;
  ackDuties(duties: readonly Duty[]): Promise<void>;
  /** Keeps a duty that can never succeed apart, for a person to look at. */
  setAside(duty: Duty, error: string): Promise<void>;
  pendingDuties(): Promise<PendingDuties>;
}

/**
 * A whole store, as the composition opens it. Whoever uses it takes the part that it needs. A rejected promise means that
 * the store is unreachable and that nothing is known of the call: stating again is always right. Batches hold at most
 * {@link MAX_BATCH} users, each user once; answers come in the order asked.
 */
export interface PresenceStore extends ClaimStore, RecordReader, GroupStore, ChangeReader, DutyStore {
  close(): Promise<void>;
}
