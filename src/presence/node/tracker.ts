import type { ClientConnection } from '../../connection/client-connection.ts';
import type { ManagerObserver } from '../../connection/manager-options.ts';
import type { Result } from '../../lib/result.ts';
import { inBackground } from '../../logging/internal-error.ts';
import type { CloseCause } from '../../protocol/close-codes.ts';
import type { GroupNotice } from '../../protocol/groups.ts';
import type {
  AdmissionRequest,
  AdmittedLogin,
  GroupRequest,
  HeldUser,
  LoginRefusal,
  LoginRequest,
  LogoutFailure,
  LogoutRequest,
  Presence,
  StoredChange,
  UserPresence,
} from '../api.ts';
import type { UserRecord } from '../store/port.ts';
import { ChangedHolds } from './changed-holds.ts';
import type { GroupReceivers } from './group-members.ts';
import { Groups } from './groups.ts';
import { countLingering, heldGroups, heldUser, heldUsers, momentOf } from './held-users.ts';
import { Holds } from './holds.ts';
import { PeriodEntry } from './join-or-open.ts';
import { Lease } from './lease.ts';
import { Logins } from './login.ts';
import { LoginCalls } from './login-calls.ts';
import { Logouts } from './logout.ts';
import { OnlineUsers } from './online-users.ts';
import type { PresenceOptions } from './options.ts';
import { Readings } from './read.ts';
import { Recovery } from './recovery.ts';
import { Restore } from './restore.ts';
import { Sync } from './sync.ts';

/**
 * Presence on this node. It observes connections, claims users in the store, lets them linger, and ends their periods. All
 * calls that leave the process start here, never on the message path.
 */
export class PresenceTracker implements Presence, ManagerObserver {
  readonly #options: PresenceOptions;
  readonly #changed: ChangedHolds;
  readonly #holds: Holds;
  readonly #online: OnlineUsers;
  readonly #lease: Lease;
  readonly #logins: Logins;
  readonly #logouts: Logouts;
  readonly #sync: Sync;
  readonly #readings: Readings;
  readonly #groups: Groups;

  constructor(options: PresenceOptions) {
    this.#options = options;
    // The only reference to a later part: a changed hold wakes Sync.
    const changed = new ChangedHolds(() => this.#sync.soon());
    const holds = new Holds(options, changed);
    const online = new OnlineUsers(options);
    const restore = new Restore(options, { holds, changed });
    const lease = new Lease(options, { holds, changed, online, restore });
    const calls = new LoginCalls(options, lease);
    const parts = { holds, changed, online, lease, calls };
    const entry = new PeriodEntry(options, parts);
    const recovery = new Recovery(options, { ...parts, entry });
    this.#changed = changed;
    this.#holds = holds;
    this.#online = online;
    this.#lease = lease;
    this.#logins = new Logins(options, { ...parts, entry });
    this.#logouts = new Logouts(options, parts);
    this.#sync = new Sync(options, { ...parts, recovery });
    this.#readings = new Readings(options, holds);
    this.#groups = new Groups(options, parts);
  }

  /** Takes the lease, and begins to renew it and to claim holds. */
  async start(): Promise<void> {
    await this.#lease.start();
    this.#sync.start();
  }

  /** Claims the last changes and stops. Users stay online: they linger on another node or until the next start. */
  async stop(): Promise<void> {
    await this.#sync.flush();
    this.#sync.stop();
    await this.#lease.stop();
  }

  get available(): boolean {
    return this.#lease.available || this.#lease.isRestoring;
  }

  /** Users of dead nodes whose periods have not been ended yet. */
  get orphans(): number {
    return this.#lease.orphans;
  }

  /** Users that this node holds, lingering included. */
  get heldUsers(): number {
    return this.#holds.size;
  }

  /** Users that this node holds without a socket and without a valid proof of life by HTTP. */
  get lingeringUsers(): number {
    return countLingering(this.#holds, this.#options);
  }

  onlineCount(): number {
    return this.#online.count;
  }

  /** Where users are, without asking SQL. Rejects while the store is unreachable. */
  locate(userIds: readonly number[]): Promise<readonly (UserRecord | undefined)[]> {
    return this.#readings.records(userIds);
  }

  /**
   * Epoch of the user's newest socket on this node, 0 if there is none. A socket that connected anew (rule PR9) has a newer
   * epoch than the one with which its connection was registered.
   */
  newestEpochHere(userId: number): number {
    const sockets = this.#holds.get(userId)?.sockets ?? [];
    return sockets.reduce((newest, { epoch }) => Math.max(newest, epoch), 0);
  }

  /** The users that this node holds. Reads memory only. */
  heldHere(): Iterable<HeldUser> {
    return heldUsers(this.#holds, this.#options);
  }

  /** One of these users. */
  userHere(userId: number): HeldUser | undefined {
    const hold = this.#holds.get(userId);
    return hold === undefined ? undefined : heldUser(hold, momentOf(this.#options));
  }

  /** The groups of a user that this node holds, as it knows them. */
  groupNamesHere(userId: number): readonly string[] {
    const hold = this.#holds.get(userId);
    return hold === undefined || hold.period === 0 ? [] : heldGroups(hold);
  }

  holdsHere(userId: number): boolean {
    return (this.#holds.get(userId)?.period ?? 0) > 0;
  }

  admit(request: AdmissionRequest): Promise<Result<AdmittedLogin, LoginRefusal>> {
    return this.#logins.admit(request);
  }

  abandon(login: Pick<AdmittedLogin, 'userId' | 'connectionId'>): void {
    this.#socketGone(login, 'abandoned');
  }

  login(request: LoginRequest): Promise<Result<{ loginTime: number; resumed: boolean }, LoginRefusal>> {
    return this.#logins.login(request);
  }

  heartbeat(
    userId: number,
  ): Promise<Result<{ lastHeartbeat: number }, 'not-online' | 'presence-unavailable'>> {
    return this.#logins.heartbeat(userId);
  }

  logout(request: LogoutRequest): Promise<Result<{ logoutTime: number }, LogoutFailure>> {
    return this.#logouts.logout(request);
  }

  lastLogout(userId: number): Promise<number | undefined> {
    return this.#readings.lastLogout(userId);
  }

  online(page: {
    readonly limit?: number;
    readonly cursor?: string;
  }): Promise<{ users: readonly UserPresence[]; cursor?: string }> {
    return this.#readings.online(page);
  }

  read(userIds: readonly number[]): Promise<readonly (UserPresence | undefined)[]> {
    return this.#readings.read(userIds);
  }

  find(userId: number): Promise<Result<UserPresence | undefined, 'settlement-unavailable'>> {
    return this.#readings.find(userId);
  }

  blockedUntil(userId: number): Promise<number | undefined> {
    return this.#readings.blockedUntil(userId);
  }

  changeGroup(request: GroupRequest): ReturnType<Presence['changeGroup']> {
    return this.#groups.change(request);
  }

  group(page: Parameters<Presence['group']>[0]): ReturnType<Presence['group']> {
    return this.#options.store.groupPage(page);
  }

  /** How many are in a group. Rejects while the store is unreachable. */
  async groupSize(group: string): Promise<number> {
    return (await this.#options.store.groupPage({ group, limit: 1, cursor: undefined })).online;
  }

  /** Another node changed the groups of a user that this one may hold. */
  groupChanged(notice: GroupNotice): void {
    this.#groups.hear(notice);
  }

  /** The users that this node holds and that are in any of the groups. */
  membersHere(groups: readonly string[], except: ReadonlySet<number>): GroupReceivers {
    return this.#holds.members.of(groups, except);
  }

  /** The groups that the service gave to a user, as this node knows them, in the form of `rules/groups.ts`. */
  groupsHere(userId: number): string {
    return this.#holds.get(userId)?.givenGroups ?? '';
  }

  /** The user's period that this node holds, 0 if there is none. */
  periodHere(userId: number): number {
    return this.#holds.get(userId)?.period ?? 0;
  }

  feed(page: {
    readonly cursor: string;
    readonly limit: number;
  }): Promise<readonly StoredChange[] | undefined> {
    return this.#options.store.feed(page);
  }

  timeline(
    userId: number,
    page: { readonly cursor: string | undefined; readonly limit: number },
  ): Promise<readonly StoredChange[] | undefined> {
    return this.#options.store.timeline(userId, page);
  }

  registered(connection: ClientConnection): void {
    const { userId, registration } = connection;
    const { connectionId, epoch, ip, protocol } = registration;
    this.#options.log.info({ event: 'connected', userId, connectionId, epoch, ip, protocol }, 'connected');
    const isExpected = this.#holds.get(userId)?.openSocket(connectionId, connection) ?? false;
    if (!isExpected) connection.close('replaced');
  }

  ended(connection: ClientConnection, cause: CloseCause): void {
    const { userId, registration } = connection;
    const { connectionId, epoch } = registration;
    if (cause === 'heartbeat-timeout')
      this.#options.log.info({ event: 'heartbeat-timeout', userId, connectionId, epoch }, 'no heartbeat');
    this.#options.log.info({ event: 'disconnected', userId, connectionId, epoch, cause }, 'disconnected');
    this.#socketGone({ userId, connectionId }, cause);
  }

  provenLate({ userId }: ClientConnection): void {
    const hold = this.#holds.get(userId);
    if (hold !== undefined && this.#options.store.renewalMs !== undefined) this.#changed.claimSoon(hold);
  }

  logoutRequested(connection: ClientConnection): void {
    const { userId, registration } = connection;
    const { connectionId } = registration;
    // A socket that connected anew (rule PR9) has a newer epoch than the one with which it was registered.
    const held = this.#holds.get(userId)?.sockets.find((socket) => socket.connectionId === connectionId);
    const epoch = Math.max(registration.epoch, held?.epoch ?? 0);
    const ended = this.#logouts
      .end({ userId, reason: 'logout', epoch })
      .finally(() => connection.close('logout'));
    inBackground(this.#options.log, ended);
  }

  tokenOffered(connection: ClientConnection, token: string): void {
    const { log, renewToken } = this.#options;
    const answered = renewToken(connection.userId, token).then((renewed) => {
      if (renewed === undefined) connection.refuse('token', 'invalid-token');
      else if (renewed === 'credentials-unavailable') connection.refuse('token', renewed);
      else {
        this.#groupsRenewed(connection, renewed.groups ?? '');
        connection.renewToken(renewed.expiresAt, renewed.issuedAt);
      }
    });
    inBackground(log, answered);
  }

  #groupsRenewed({ userId, registration }: ClientConnection, groups: string): void {
    const hold = this.#holds.get(userId);
    if (hold?.renewGroups(registration.connectionId, groups) === true) this.#changed.claimSoon(hold);
  }

  #socketGone(
    { userId, connectionId }: Pick<AdmittedLogin, 'userId' | 'connectionId'>,
    cause: CloseCause | 'abandoned',
  ): void {
    const hold = this.#holds.get(userId);
    if (hold === undefined || !hold.removeSocket(connectionId, cause)) return;
    this.#holds.watch(hold);
    this.#changed.claimSoon(hold);
  }
}
