import type { ClientConnection } from '../../connection/client-connection.ts';
import type { ConnectionManager } from '../../connection/connection-manager.ts';
import type { ManagerObserver } from '../../connection/manager-options.ts';
import { sleep } from '../../lib/clock.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import { inBackground } from '../../logging/internal-error.ts';
import type { CloseCause } from '../../protocol/close-codes.ts';
import type {
  Dial,
  DialRefusal,
  DialRequest,
  LoginRequest,
  LogoutFailure,
  LogoutRequest,
  Presence,
  StoredChange,
  UserPresence,
} from '../api.ts';
import type { EndAnswer, UserRecord } from '../store/port.ts';
import type { UserHold } from './hold.ts';
import { NodePresence, type PresenceOptions } from './holds.ts';
import { LeaseKeeper } from './lease.ts';
import { Logins } from './login.ts';
import { Readings } from './read.ts';
import { Statements } from './sync.ts';

/** How often a logout is tried while the store restores, or a newer connection comes between its two steps. */
const MAX_END_ATTEMPTS = 30;
const END_RETRY_MS = 100;
/** Older than any: names a user of whom nothing is known, and ends nothing that begins meanwhile. */
const NO_EPOCH = 1;
/** How long the answer to a logout waits for SQL where the duty would not outlive the process. */
const SETTLEMENT_WAIT_MS = 500;

/**
 * This node's part in presence. It is told of connections as they come and end, claims users in the store, lets them
 * linger, and ends their periods. Everything that leaves the process happens here, never on the message path.
 */
export class PresenceTracker implements Presence, ManagerObserver {
  readonly #options: PresenceOptions;
  #node: NodePresence | undefined;
  #parts:
    | {
        readonly logins: Logins;
        readonly statements: Statements;
        readonly lease: LeaseKeeper;
        readonly readings: Readings;
      }
    | undefined;

  constructor(options: PresenceOptions) {
    this.#options = options;
  }

  /** Joins the tracker to the manager that it observes, takes the lease, and begins to renew it. */
  async start(manager: ConnectionManager): Promise<void> {
    const node = new NodePresence(this.#options, manager);
    const logins = new Logins(node);
    const statements = new Statements(node, logins);
    const lease = new LeaseKeeper(node, statements);
    node.flushSoon = () => statements.soon();
    node.leaseDoubtful = () => void lease.renew();
    // A renewal that is under way may have been answered before the loss.
    node.hearLosses = () => lease.renew().then(() => lease.renew());
    this.#node = node;
    this.#parts = { logins, statements, lease, readings: new Readings(node) };
    await lease.start();
    statements.start();
  }

  /** States what is left to state and stops. Users stay online: they linger, here or at the next start. */
  async stop(): Promise<void> {
    const { statements, lease } = this.#running();
    await statements.flush();
    statements.stop();
    await lease.stop();
  }

  get available(): boolean {
    return this.#node !== undefined && (this.#node.available || this.#node.isRestoring);
  }

  get ghosts(): number {
    return this.#node?.ghosts ?? 0;
  }

  /** Users that this node holds, lingering included. */
  get heldUsers(): number {
    return this.#node?.holds.size ?? 0;
  }

  /** Users whom this node holds without a socket. */
  get lingeringUsers(): number {
    let lingering = 0;
    for (const { period, sockets } of this.#node?.holds.values() ?? [])
      if (period > 0 && sockets.length === 0) lingering += 1;
    return lingering;
  }

  /** The store has taken something from this node: gives it up now. Never rejects. */
  hearLosses(): Promise<void> {
    return this.#node?.hearLosses() ?? Promise.resolve();
  }

  onlineCount(): number {
    return this.#node?.onlineCount ?? 0;
  }

  /** Where users are as presence knows it, without asking SQL; rejects while the store is unreachable. */
  locate(userIds: readonly number[]): Promise<readonly (UserRecord | undefined)[]> {
    return this.#running().readings.records(userIds);
  }

  /** Whether this node holds the user, with or without a socket. */
  isHeldHere(userId: number): boolean {
    return this.#node?.isHeld(userId) ?? false;
  }

  dial(request: DialRequest): Promise<Result<Dial, DialRefusal>> {
    return this.#running().logins.dial(request);
  }

  abandon(dial: Pick<Dial, 'userId' | 'connectionId'>): void {
    this.#socketGone(dial, 'abandoned');
  }

  login(request: LoginRequest): Promise<Result<{ loginTime: number; resumed: boolean }, DialRefusal>> {
    return this.#running().logins.login(request);
  }

  heartbeat(
    userId: number,
  ): Promise<Result<{ lastHeartbeat: number }, 'not-online' | 'presence-unavailable'>> {
    return this.#running().logins.heartbeat(userId);
  }

  async logout(request: LogoutRequest): Promise<Result<{ logoutTime: number }, LogoutFailure>> {
    const answer = await this.#end(request);
    if (answer === undefined || answer.kind === 'young' || answer.kind === 'no-lease')
      return err('presence-unavailable');
    // Without a named epoch it only means that another period, or many connections, began while this was tried.
    if (answer.kind === 'superseded')
      return err(request.epoch === undefined ? 'presence-unavailable' : 'superseded');
    if (answer.kind !== 'ended') return err('not-online');
    const { store, ledger } = this.#options;
    if (!store.keepsDuties) await ledger.settled(answer.end, SETTLEMENT_WAIT_MS);
    return ok({ logoutTime: answer.end.logoutTime });
  }

  lastLogout(userId: number): Promise<number | undefined> {
    return this.#running().readings.lastLogout(userId);
  }

  online(page: {
    readonly limit?: number;
    readonly cursor?: string;
  }): Promise<{ users: readonly UserPresence[]; cursor?: string }> {
    return this.#running().readings.online(page);
  }

  read(userIds: readonly number[]): Promise<readonly (UserPresence | undefined)[]> {
    return this.#running().readings.read(userIds);
  }

  find(userId: number): Promise<Result<UserPresence | undefined, 'settlement-unavailable'>> {
    return this.#running().readings.find(userId);
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
    const isExpected = this.#node?.holds.get(userId)?.openSocket(connectionId, connection) ?? false;
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
    const hold = this.#node?.holds.get(userId);
    if (hold !== undefined && this.#options.store.renewalMs !== undefined) this.#node?.markDirty(hold);
  }

  logoutRequested(connection: ClientConnection): void {
    const { userId, registration } = connection;
    const { connectionId } = registration;
    // A socket that was connected anew (rule PR9) has a newer epoch than it was registered with.
    const held = this.#node?.holds
      .get(userId)
      ?.sockets.find((socket) => socket.connectionId === connectionId);
    const epoch = Math.max(registration.epoch, held?.epoch ?? 0);
    const ended = this.#end({ userId, reason: 'logout', epoch }).finally(() => connection.close('logout'));
    inBackground(this.#options.log, ended);
  }

  tokenOffered(connection: ClientConnection, token: string): void {
    const { log, renewToken } = this.#options;
    const answered = renewToken(connection.userId, token).then((renewed) => {
      if (renewed === undefined) connection.refuse('token', 'invalid-token');
      else if (renewed === 'credentials-unavailable') connection.refuse('token', renewed);
      else connection.renewToken(renewed.expiresAt);
    });
    inBackground(log, answered);
  }

  /** Ends the user's period. Undefined where the store did not answer. */
  async #end(request: LogoutRequest): Promise<EndAnswer | undefined> {
    const node = this.#node;
    if (node === undefined || !node.available) return undefined;
    const hold = node.holdOf(request.userId);
    const turn = hold.lock();
    if (turn !== undefined) await turn;
    node.holds.set(request.userId, hold);
    try {
      const askedBefore = hold.endAsked;
      hold.askEnd({ reason: request.reason, note: request.note });
      const answer = await this.#endOnce(request, hold);
      const isKnown = answer.kind !== 'young' && answer.kind !== 'no-lease';
      hold.askEnd(isKnown ? undefined : askedBefore);
      if (answer.kind === 'ended') {
        node.periodEnded(answer.end);
        node.forget(hold, request.reason, request.note);
      } else if (answer.kind === 'not-online' && askedBefore !== undefined) {
        // It had happened: only its answer was lost.
        node.forget(hold, askedBefore.reason, askedBefore.note);
      }
      return answer;
    } catch {
      node.leaseDoubtful();
      return undefined;
    } finally {
      node.release(hold);
    }
  }

  /**
   * A logout without an epoch reads it first, and its retries carry the same one: a period that began meanwhile is not
   * meant. A newer connection of the period that was found does not save it (rule PR7).
   */
  async #endOnce(request: LogoutRequest, hold: UserHold): Promise<EndAnswer> {
    const { userId, reason, epoch, blockMs, note } = request;
    const { store, clock } = this.#options;
    const found = epoch === undefined ? await this.#newest(userId) : { epoch, period: undefined };
    let named = found.epoch;
    let answer: EndAnswer = { kind: 'not-online' };
    for (let attempt = 0; attempt < MAX_END_ATTEMPTS; attempt += 1) {
      const [first] = await store.end([
        {
          ...{ userId, reason, epoch: named, proofAgeMs: this.#proofAge(hold) },
          ...(blockMs === undefined ? {} : { blockMs }),
          ...(note === undefined ? {} : { note }),
        },
      ]);
      if (first !== undefined) answer = first;
      if (answer.kind === 'ended' || answer.kind === 'not-online') return answer;
      if (answer.kind === 'superseded') {
        // Nothing has happened yet, so this asks anew rather than again.
        const newest = epoch === undefined ? await this.#newest(userId) : undefined;
        if (newest?.period === undefined || newest.period !== found.period) return answer;
        named = newest.epoch;
      } else {
        this.#node?.leaseDoubtful();
        await sleep(clock, END_RETRY_MS);
      }
    }
    return answer;
  }

  async #newest(userId: number): Promise<{ readonly epoch: number; readonly period: number | undefined }> {
    const [record] = await this.#options.store.read([userId]);
    return { epoch: record?.epoch ?? NO_EPOCH, period: record?.period };
  }

  #proofAge(hold: UserHold): number {
    const age = this.#options.clock.monotonic() - hold.newestProof().monotonic;
    return Number.isFinite(age) ? Math.max(0, Math.round(age)) : -1;
  }

  #socketGone(
    { userId, connectionId }: Pick<Dial, 'userId' | 'connectionId'>,
    cause: CloseCause | 'abandoned',
  ): void {
    const hold = this.#node?.holds.get(userId);
    if (hold === undefined || !hold.removeSocket(connectionId, cause)) return;
    this.#node?.watch(hold);
    this.#node?.markDirty(hold);
  }

  #running(): {
    readonly logins: Logins;
    readonly statements: Statements;
    readonly lease: LeaseKeeper;
    readonly readings: Readings;
  } {
    if (this.#parts === undefined) throw new Error('the tracker has not started');
    return this.#parts;
  }
}
