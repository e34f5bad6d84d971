import type { Result } from '../lib/result.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';
import type { ClientProtocol } from '../protocol/frames.ts';

/** A login by a new socket. */
export interface AdmissionRequest {
  readonly userId: number;
  readonly username: string;
  readonly ip: string;
  readonly protocol: ClientProtocol;
  /** The groups of the token, as one text (rule GR1). Absent or empty: none. */
  readonly groups?: string;
  /** Absent: presence cannot know whether the client leaves. */
  readonly client?: WaitingClient;
}

/** The client of a login that is in progress. */
export interface WaitingClient {
  /** Whether the client has left. Then presence makes no more claims for it. */
  hasLeft(): boolean;
}

/** A login by HTTP. */
export interface LoginRequest {
  readonly userId: number;
  /** The name in the user's token; absent: there is none. */
  readonly username?: string;
  readonly ip: string;
  /** Address of a caller without a credential. The number of new users from one address is limited. */
  readonly creator?: string;
}

/** An accepted and recorded login. Its socket has not opened yet. */
export interface AdmittedLogin {
  readonly userId: number;
  readonly connectionId: string;
  /** Fencing number of this connection (rule PR3). */
  readonly epoch: number;
  readonly period: number;
  readonly loginTime: number;
  /** False if this login opened the period. */
  readonly resumed: boolean;
}

export type LoginRefusal = Extract<
  ErrorCode,
  | 'session-exists'
  | 'session-flapping'
  | 'unknown-user'
  | 'blocked'
  | 'rate-limited'
  | 'presence-unavailable'
  | 'settlement-unavailable'
  | 'settlement-refused'
>;

/** Seconds after which a user who opened too many periods, or an address that created too many users, may try again. */
export function loginRetryAfterS(loginsPerMinute: number): number {
  return loginsPerMinute === 0 ? 1 : Math.ceil(60 / loginsPerMinute);
}

/** The presence of a user, for readers. Times are wall-clock ms. */
export interface UserPresence {
  readonly userId: number;
  readonly username: string | undefined;
  readonly status: 'online' | 'offline';
  readonly loginTime: number | undefined;
  readonly lastHeartbeat: number | undefined;
  readonly logoutTime: number | undefined;
  readonly ip: string;
  /** Sockets in the whole deployment. */
  readonly connections: number;
  readonly epoch: number | undefined;
  readonly period: number | undefined;
}

/** A user as the node that holds the user knows it. */
export interface HeldUser {
  readonly userId: number;
  /** Empty: no login on this node named the user. */
  readonly username: string;
  readonly ip: string;
  /** Wall-clock ms. */
  readonly loginTime: number;
  /** Wall-clock ms. */
  readonly lastHeartbeat: number;
  /** `lingering`: without a connection, until the timeout. `http`: online by HTTP alone. */
  readonly state: 'active' | 'background' | 'lingering' | 'http';
  readonly connections: number;
}

export interface LogoutRequest {
  readonly userId: number;
  readonly reason: 'logout' | 'kick';
  /** Ends only this epoch or an older one; absent: ends the period whatever its epoch (rule PR7). */
  readonly epoch?: number;
  /** Refuse logins of the user for this long; 0 lifts a block. It also counts for a user who is offline. */
  readonly blockMs?: number;
  /** The service's text for the timeline and the close frame. */
  readonly note?: string;
}

export type LogoutFailure = 'not-online' | 'superseded' | 'presence-unavailable';

/** One change of a user's presence: an entry of the timeline. If the user went online or offline, also an entry of the feed. */
export interface PresenceChange {
  readonly userId: number;
  /** Wall-clock ms: for `offline` the logout time. */
  readonly at: number;
  /**
   * `online`, `offline`: a period began or ended. `connected`: one more socket joined the period. `disconnected`: a socket
   * closed. `replaced`: a newer connection took a node's socket over. `released`: a node ended its hold, and another node still
   * holds the user.
   */
  readonly event: 'online' | 'offline' | 'connected' | 'disconnected' | 'replaced' | 'released';
  readonly cause: string;
  /** The service's text for a logout or kick. */
  readonly note?: string;
  readonly node: string;
  readonly epoch: number;
  readonly period: number;
}

/** A change with the cursor from which a reader continues. */
export type StoredChange = PresenceChange & { readonly cursor: string };

/** Cursor before the first entry. */
export const FEED_START = '0-0';

/** Users that the service adds to a group, and users that it removes. Each user is named once in both lists together. */
export interface GroupRequest {
  readonly group: string;
  readonly add: readonly number[];
  readonly remove: readonly number[];
}

/** The outcome for one user of a {@link GroupRequest}. `full`: the user is in as many groups as allowed. */
export interface GroupResult {
  readonly userId: number;
  readonly status: 'member' | 'removed' | 'offline' | 'full';
}

/** Presence as the gateway and the HTTP routes see it. */
export interface Presence {
  /** Accepts or refuses a socket. An accepted login must be followed by its socket, or by {@link abandon}. */
  admit(request: AdmissionRequest): Promise<Result<AdmittedLogin, LoginRefusal>>;
  /** Gives back a login whose client left before the socket opened. */
  abandon(login: Pick<AdmittedLogin, 'userId' | 'connectionId'>): void;
  /** HTTP login (rule PR1): opens a period or joins the running one. */
  login(request: LoginRequest): Promise<Result<{ loginTime: number; resumed: boolean }, LoginRefusal>>;
  /** HTTP heartbeat: a proof of life for the user. */
  heartbeat(
    userId: number,
  ): Promise<Result<{ lastHeartbeat: number }, 'not-online' | 'presence-unavailable'>>;
  /**
   * Ends the period; sockets are closed 4000 (logout) or 4002 (kick). `superseded`: there is a newer connection than
   * the epoch that was named, and nothing was done. Of a user who is not online a block holds all the same.
   */
  logout(request: LogoutRequest): Promise<Result<{ logoutTime: number }, LogoutFailure>>;
  /** Whether this node holds the user's period, with or without a connection. Asks no store. */
  holdsHere(userId: number): boolean;
  /** When the user last went offline, from presence or from SQL; undefined if nothing is known. */
  lastLogout(userId: number): Promise<number | undefined>;
  /** Users online in the whole deployment, lingering included. May be up to 1 s old. */
  onlineCount(): number;
  /** All users online, or a page; `cursor` is opaque. */
  online(page: {
    readonly limit?: number;
    readonly cursor?: string;
  }): Promise<{ users: readonly UserPresence[]; cursor?: string }>;
  /** Presence of each id in the order asked; never-seen users are `undefined`. Rejects while the store is unreachable. */
  read(userIds: readonly number[]): Promise<readonly (UserPresence | undefined)[]>;
  /**
   * One user as by {@link read}; `settlement-unavailable` where only SQL could know the user, and does not answer.
   * Rejects while the store is unreachable.
   */
  find(userId: number): Promise<Result<UserPresence | undefined, 'settlement-unavailable'>>;
  /** When the block of the user ends, in ms of the wall clock; undefined: no block. Rejects while the store is unreachable. */
  blockedUntil(userId: number): Promise<number | undefined>;
  /** One result for each user, in the order asked. What was done before a failure stays done. */
  changeGroup(request: GroupRequest): Promise<Result<readonly GroupResult[], 'presence-unavailable'>>;
  /** Members by user id, and how many there are. Rejects while the store is unreachable. */
  group(page: {
    readonly group: string;
    readonly limit: number;
    readonly cursor: string | undefined;
  }): Promise<{
    readonly online: number;
    readonly userIds: readonly number[];
    readonly cursor: string | undefined;
  }>;
  /** Changes to online and offline of everybody after `cursor`; undefined if the cursor is expired (rule PR12). */
  feed(page: {
    readonly cursor: string;
    readonly limit: number;
  }): Promise<readonly StoredChange[] | undefined>;
  /** Changes of one user, newest first; undefined if the cursor has the wrong form. */
  timeline(
    userId: number,
    page: { readonly cursor: string | undefined; readonly limit: number },
  ): Promise<readonly StoredChange[] | undefined>;
  /** Whether the presence store can be reached; while not, nobody is logged out and nobody may log in. */
  readonly available: boolean;
}
