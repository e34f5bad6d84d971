import type { GroupStep } from '../../protocol/groups.ts';
import type { Duty, EndedPeriod, PendingDuties, PeriodKey } from '../../protocol/periods.ts';
import type { StoredChange } from '../api.ts';

/** Largest number of users in one call of a store. */
export const MAX_BATCH = 500;

/**
 * What a node holds of one user. A claim is no event: the node may repeat it, late or twice, because `rev` rises with each
 * claim. Times are ages and remaining times in ms, never clock readings.
 */
export interface Claim {
  readonly userId: number;
  /**
   * - `socket`: a new connection. Opens a period or joins the running one. Gets a new epoch.
   * - `http`: an HTTP login. Opens a period or joins the running one. If it joins, it gets no epoch and takes nothing over.
   * - `beat`: a proof of life by HTTP. The answer is `not-online` if no node holds the user.
   * - `state`: the hold after a change, or the regular repetition. Creates nothing.
   * - `restate`: as `state`, but creates what the store lost. Allowed only while the store asks for a restore.
   */
  readonly mode: 'socket' | 'http' | 'beat' | 'state' | 'restate';
  /** Revision. It rises with each claim of this node about this user. */
  readonly rev: number;
  /** Number of the user's sockets on the node. In mode `socket` it includes the new one. */
  readonly sockets: number;
  /** Mode `socket`: sockets on this node that a take-over would evict. Except under `multi`, only responsive ones (rule PR4). */
  readonly rivals: number;
  /** Remaining time of the sockets' deadline, or of the linger after the last socket. ≤ 0: none. */
  readonly socketMs: number;
  /** Remaining time of the HTTP proof of life. ≤ 0: none. */
  readonly httpMs: number;
  /** Age of the newest proof of life. */
  readonly proofAgeMs: number;
  /** Newest proof plus its timeout, from now; negative if it has passed. The logout time of a timeout (rule ST5). */
  readonly untilMs: number;
  /**
   * Names the proofs behind {@link proofAgeMs} and {@link untilMs}; it has a meaning for this node only. Of two claims with the
   * same proofs, the one that took longer to arrive makes them seem too new. Letters, digits and `_`, so that no store mistakes
   * it for a separator.
   */
  readonly proofMark: string;
  /** Epoch of the newest open socket, 0 if there is none. In mode `socket`: 0 for a new socket; otherwise open ones connect anew. */
  readonly epoch: number;
  /** A new period gets a number greater than this: the user's newest period in SQL. */
  readonly floor: number;
  /** Mode `restate`: the period to restore; 0 in other modes. */
  readonly period: number;
  readonly loginTime: number;
  readonly username: string;
  readonly ip: string;
  /** The groups of the tokens of this node's connections, as one text. Empty: none (rule GR1). */
  readonly tokenGroups: string;
  /** Version of the groups that the service gave, as this node knows them; in mode `restate` the groups too. Empty: none. */
  readonly serviceGroups: string;
  /** Mode `state`: why the newest closed socket was closed. Empty: no socket closed after the last claim. */
  readonly cause: string;
}

export type ClaimAnswer =
  /** A period opened. It becomes visible by `record`. `unsettled`: an earlier period whose duty still waits. */
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
      /** The groups that the service gave, if the node knows another version of them. */
      readonly groups?: string;
    }
  /** The store accepted the claim. The node still holds the user. */
  | { readonly kind: 'held'; readonly groups?: string }
  /** The hold of this node ended. Another node still holds the user. */
  | { readonly kind: 'released' }
  /** The last hold ended: the period ended by timeout. */
  | { readonly kind: 'ended'; readonly end: EndedPeriod }
  | { readonly kind: 'refused'; readonly code: 'session-exists' | 'session-flapping' | 'blocked' }
  /** `not-online`: no node holds the user. `gone`: this node has no hold, or the claimed period has ended. */
  | { readonly kind: 'not-online' | 'gone' }
  /** `stale`: a newer claim came before this one. `lost`: a loss covers this claim. */
  | { readonly kind: 'stale' | 'lost' }
  /** The claimed sockets are older than a socket on another node (rule PR9). */
  | { readonly kind: 'taken' }
  /** The world is young, or another node is opening the period: claim again soon. */
  | { readonly kind: 'young' }
  | { readonly kind: 'no-lease' };

export interface EndRequest {
  readonly userId: number;
  readonly reason: 'logout' | 'kick';
  /** Ends the period only if the user's newest epoch is this one or older (rule PR7). 0: any epoch. */
  readonly epoch: number;
  /** Refuse logins for this long from now; 0 lifts a block; absent: a block stays as it is. */
  readonly blockMs?: number;
  /** Age of the newest proof of the calling node; -1: it has none. So the last heartbeat of an offline user is exact. */
  readonly proofAgeMs: number;
  /** The service's text for the timeline and the close frames. */
  readonly note?: string;
}

export type EndAnswer =
  | { readonly kind: 'ended'; readonly end: EndedPeriod }
  /** A newer epoch is held: nothing changed, no block either. */
  | { readonly kind: 'superseded' }
  | { readonly kind: 'not-online' }
  | { readonly kind: 'young' | 'no-lease' };

/** Users to add to a group and users to remove from it: together at most {@link MAX_BATCH}, each once. */
export interface GroupChange {
  readonly group: string;
  readonly add: readonly number[];
  readonly remove: readonly number[];
}

export type GroupAnswer =
  /** What the user is now. `step`: the groups changed. A removed user is still a `member` if a token names the group. */
  | { readonly kind: 'member' | 'removed'; readonly step?: GroupStep }
  /** `full`: the user is in as many groups as allowed. */
  | { readonly kind: 'offline' | 'full' }
  | { readonly kind: 'young' | 'no-lease' };

/** A hold that the store took from this node. Each renewal brings the loss until this node acknowledges it. */
export interface Loss {
  readonly userId: number;
  /** Claims up to this revision are void. */
  readonly rev: number;
  readonly reason: 'replaced' | 'logout' | 'kick';
  /** The service's text for a kick. */
  readonly note?: string;
}

/** The losses that one call caused, by the node that lost. */
export type LostByNodes = ReadonlyMap<string, readonly Loss[]>;

export interface RenewRequest {
  /** The highest epoch that this node knows (rule PR3). */
  readonly highestEpoch: number;
  /** True once the node has completed the restore that the store asked for. */
  readonly restored: boolean;
  readonly acknowledged: readonly Loss[];
}

export interface RenewAnswer {
  /** The node must claim all its holds again in mode `restate`, then renew with `restored`. */
  readonly restore: boolean;
  /** Name of the world. It changes after a wipe, a restart or a failover. */
  readonly world: string;
  readonly losses: readonly Loss[];
  readonly onlineCount: number;
  /** Keys with values of other programs, which the store replaced. */
  readonly foreign: readonly string[];
}

/** The record of a user, for readers. Times are wall-clock ms of the store. */
export interface UserRecord {
  readonly userId: number;
  readonly username: string | undefined;
  readonly ip: string;
  readonly status: 'online' | 'offline';
  readonly loginTime: number;
  readonly lastHeartbeat: number;
  readonly logoutTime: number | undefined;
  readonly sockets: number;
  /** Those of them that are on other nodes than the calling one. */
  readonly socketsElsewhere: number;
  readonly epoch: number | undefined;
  readonly period: number | undefined;
}

/** The answer to {@link ClaimStore.reap}. */
export interface ReapAnswer {
  readonly ended: readonly EndedPeriod[];
  /** Users of dead nodes whose periods still run. */
  readonly orphans: number;
  /** Time until the next node is dead, unless it gives a sign of life before. Undefined: not known. */
  readonly nextDeathMs: number | undefined;
}

/**
 * Claims, and the lease of this node.
 *
 * - A user is online exactly while a node holds them and the opening is recorded.
 * - Ending a period and recording the duty to settle it are one atomic step (rule ST1).
 */
export interface ClaimStore {
  /** Whether a duty survives this process. If not, a logout is confirmed only once SQL has it (rule ST1). */
  readonly keepsDuties: boolean;
  /** Largest allowed age of the store's newest proof while there is a newer one, in ms. Undefined: no limit. */
  readonly renewalMs: number | undefined;
  renew(request: RenewRequest): Promise<RenewAnswer>;
  claim(batch: readonly Claim[]): Promise<readonly ClaimAnswer[]>;
  /** Makes opened periods visible: the id enters the online set. False: this node no longer held the period. */
  record(batch: readonly PeriodKey[]): Promise<readonly boolean[]>;
  /**
   * Withdraws opened periods that this node could not write to SQL. Rejects if another node has recorded one meanwhile: then
   * this node holds the user and must claim what is true.
   */
  withdraw(batch: readonly PeriodKey[]): Promise<void>;
  end(batch: readonly EndRequest[]): Promise<readonly EndAnswer[]>;
  /**
   * Users that the store holds for this node by claims up to `rev`. After a complete restore, these are users that the node
   * does not know, because a failover brought them back.
   */
  unstated(rev: number): Promise<readonly number[]>;
  /** Ends the holds of dead nodes, and the periods that no other node holds. */
  reap(limit: number): Promise<ReapAnswer>;
}

export interface RunningPeriod {
  readonly period: number;
  readonly epoch: number;
}

/** Reads records of users. */
export interface RecordReader {
  read(userIds: readonly number[]): Promise<readonly (UserRecord | undefined)[]>;
  /** The period that the store runs for the user, and its newest epoch. It may be an opening, which {@link read} does not show. */
  running(userId: number): Promise<RunningPeriod | undefined>;
  /** Time until the block of the user ends, in ms; 0: no block. A user who was never online may be blocked too. */
  blockLeftMs(userId: number): Promise<number>;
  onlinePage(page: {
    readonly limit: number;
    readonly cursor: string | undefined;
  }): Promise<{ readonly userIds: readonly number[]; readonly cursor: string | undefined }>;
}

/** Groups of users who are online (rules GR1 to GR3). */
export interface GroupStore {
  /** One answer for each user to add, then one for each user to remove. The nodes that hold these users get a notice. */
  changeGroup(change: GroupChange): Promise<readonly GroupAnswer[]>;
  /** Members in the order of their ids, after `cursor`. `online` counts all members. */
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

/** Reads changes of presence. */
export interface ChangeReader {
  /**
   * Changes to online and offline of all users after `cursor`, oldest first, in order for one user. {@link FEED_START}: from the
   * oldest entry on. Undefined if entries after the cursor may be gone (rule PR12).
   */
  feed(page: {
    readonly cursor: string;
    readonly limit: number;
  }): Promise<readonly StoredChange[] | undefined>;
  /** Changes of one user before `cursor`, newest first. Absent: from the newest on. Undefined if the cursor has the wrong form. */
  timeline(
    userId: number,
    page: { readonly cursor: string | undefined; readonly limit: number },
  ): Promise<readonly StoredChange[] | undefined>;
}

/** Duties, for the parts that settle them. */
export interface DutyStore {
  /** For each row: whether the period runs or its duty waits (rule ST4). */
  knows(rows: readonly PeriodKey[]): Promise<readonly boolean[]>;
  /** Whether a burst of claims is in progress. Meanwhile, work without a waiting client should not call the store. */
  readonly hasBurst?: boolean;
  /** Takes duties to settle. The store gives a taken duty again only after a restart, or to another node if this one is dead. */
  takeDuties(limit: number): Promise<readonly Duty[]>;
  ackDuties(duties: readonly Duty[]): Promise<void>;
  /** Moves a duty that can never succeed to the dead letters, for an operator. */
  setAside(duty: Duty, error: string): Promise<void>;
  pendingDuties(): Promise<PendingDuties>;
}

/**
 * A complete store. Its users take only the part that they need. A rejected promise means that the store is unreachable and
 * that the outcome of the call is unknown. To claim again is always right. A batch has at most {@link MAX_BATCH} users, each
 * once. Answers are in the order of the batch.
 */
export interface PresenceStore extends ClaimStore, RecordReader, GroupStore, ChangeReader, DutyStore {
  close(): Promise<void>;
}
