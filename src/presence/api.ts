import type { Result } from '../lib/result.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';
import type { ClientProtocol } from '../protocol/frames.ts';

/** A request to be online by a new socket. */
export interface AdmissionRequest {
  readonly userId: number;
  readonly username: string;
  readonly ip: string;
  readonly protocol: ClientProtocol;
  /** Groups of the token, as one text (rule GR1); absent or empty: none. */
  readonly groups?: string;
  /** Whether the client has gone away meanwhile: nobody is claimed for it any more. */
  readonly hasLeft?: () => boolean;
}

/** A request to be online by HTTP. */
export interface LoginRequest {
  readonly userId: number;
  /** What the user's token says; absent: nobody named the user. */
  readonly username?: string;
  readonly ip: string;
  /** Address of a caller without a credential. It may bring only so many users that SQL does not know. */
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

/** What is shown of a user. Times are wall-clock milliseconds. */
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

/** A user that one node holds, as that node knows the user. */
export interface HeldUser {
  readonly userId: number;
  /** Empty: no login has named the user here. */
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
  /** What the service says of it: shown in the timeline, and in the close frame. */
  readonly note?: string;
}

export type LogoutFailure = 'not-online' | 'superseded' | 'presence-unavailable';

/** One change of a user's presence: an entry of the timeline, and of the feed where the user went online or offline. */
export interface PresenceChange {
  readonly userId: number;
  /** Wall-clock ms: for `offline` the logout time. */
  readonly at: number;
  /**
   * `online`, `offline`: a period began or ended. `connected`: one more socket joined it. `disconnected`: a socket is
   * gone, the user lingers. `replaced`: a node lost its socket to a newer one. `released`: a node let go while another
   * still holds the user.
   */
  readonly event: 'online' | 'offline' | 'connected' | 'disconnected' | 'replaced' | 'released';
  readonly cause: string;
  /** What the service said of a logout or kick. */
  readonly note?: string;
  readonly node: string;
  readonly epoch: number;
  readonly period: number;
}

/** A change with the place to read on from. */
export type StoredChange = PresenceChange & { readonly cursor: string };

/** Cursor before the first entry. */
export const FEED_START = '0-0';

/** Users that the service puts into a group, and users that it takes out; each of them once in both lists together. */
export interface GroupRequest {
  readonly group: string;
  readonly add: readonly number[];
  readonly remove: readonly number[];
}

/** What one user of a {@link GroupRequest} is now; `full`: the user is in as many groups as allowed. */
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
  /** When the user last went offline, from presence or from SQL; undefined where nothing is known. */
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
  /** Changes to online and offline of everybody after `cursor`; undefined where the cursor is expired (rule PR12). */
  feed(page: {
    readonly cursor: string;
    readonly limit: number;
  }): Promise<readonly StoredChange[] | undefined>;
  /** Changes of one user, newest first; undefined where the cursor is none. */
  timeline(
    userId: number,
    page: { readonly cursor: string | undefined; readonly limit: number },
  ): Promise<readonly StoredChange[] | undefined>;
  /** Whether the presence store can be reached; while not, nobody is logged out and nobody may log in. */
  readonly available: boolean;
}
