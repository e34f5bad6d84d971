import { HeartbeatMonitor } from '../heartbeat/monitor.ts';
import { ObservedTime } from '../heartbeat/observed-time.ts';
import type { Clock } from '../lib/clock.ts';
import { guardedClock, systemClock } from '../lib/clock.ts';
import { logInternalError } from '../logging/internal-error.ts';
import { type Log, silentLog } from '../logging/log.ts';
import { Counters } from '../metrics/counters.ts';
import type { CloseCause } from '../protocol/close-codes.ts';
import type { Delivery } from '../protocol/delivery.ts';
import { EnvelopeEncoder, jsonText } from '../protocol/envelope.ts';
import { isIssuedAfter } from '../protocol/revoked.ts';
import { Acknowledgements, type AckWait } from './acknowledgements.ts';
import { ClientConnection } from './client-connection.ts';
import type { ConnectionHost } from './connection-host.ts';
import type { ConnectionInfo, Registration } from './connection-info.ts';
import { ConnectionReports } from './connection-reports.ts';
import { ConnectionTable } from './connection-table.ts';
import { Dispatcher, type DispatchReport, type LiveTargets } from './dispatcher.ts';
import { Listeners, type ManagerEvents } from './events.ts';
import { Inbound, type MessageHandler } from './inbound.ts';
import { connectionLimits, type ManagerObserver, type ManagerOptions } from './manager-options.ts';
import {
  countDelivery,
  countMissed,
  deliver,
  type Outgoing,
  type OutgoingOptions,
  outgoing,
} from './outgoing.ts';
import { PacedWork } from './paced-work.ts';
import type { Socket } from './socket.ts';

const USER_LISTED = (): boolean => true;
const NOTHING_ASKED: OutgoingOptions = {};
const NOBODY = { userIds: [], timeoutMs: 0 };

/** A drain looks at this many connections to find one without a queue. */
const MAX_PASSED_OVER = 16;

/**
 * Owns the connections of this process: which users are connected, their heartbeats, and the messages to them. It is synchronous
 * and knows no store and no network. It runs on any {@link Socket} and any {@link Clock}.
 */
export class ConnectionManager {
  readonly time: ObservedTime;
  readonly monitor: HeartbeatMonitor;
  readonly counters: Counters;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #policy: 'replace' | 'multi';
  readonly #observer: ManagerObserver | undefined;
  readonly #table = new ConnectionTable();
  readonly #listeners: Listeners<ManagerEvents>;
  readonly #inbound: Inbound;
  readonly #dispatcher: Dispatcher;
  readonly #acknowledgements: Acknowledgements;
  readonly #reports: ConnectionReports;
  readonly #host: ConnectionHost;
  #serial = 0;

  constructor(options: ManagerOptions = {}) {
    this.#log = options.log ?? silentLog;
    this.#clock = guardedClock(options.clock ?? systemClock(), (error) =>
      logInternalError(this.#log, { where: 'timer', error }),
    );
    this.counters = options.counters ?? new Counters();
    this.time = options.time ?? new ObservedTime(this.#clock);
    this.monitor = new HeartbeatMonitor(this.#clock, this.time, {
      share: options.massTimeoutShare ?? 0,
      held: (count) => void (this.counters.massTimeoutsHeld += count),
      burst: (held, users) => this.#massTimeout(held, users),
    });
    this.#policy = options.policy ?? 'replace';
    this.#observer = options.observer;
    this.#acknowledgements = new Acknowledgements(this.#clock);
    this.#listeners = new Listeners((error) => logInternalError(this.#log, { where: 'listener', error }));
    this.#inbound = new Inbound({
      listeners: this.#listeners,
      store: options.inbound,
      counters: this.counters,
      failed: (error) => logInternalError(this.#log, { where: 'listener', error }),
    });
    this.#dispatcher = new Dispatcher({
      clock: this.#clock,
      capacity: options.dispatchQueue ?? 256,
      connectionsOf: (userId) => this.#table.of(userId),
      newestSerial: () => this.#serial,
    });
    this.#reports = new ConnectionReports({
      log: this.#log,
      counters: this.counters,
      observer: this.#observer,
      monitor: this.monitor,
      table: this.#table,
      listeners: this.#listeners,
      inbound: this.#inbound,
      acknowledgements: this.#acknowledgements,
    });
    this.#host = this.#createHost(options);
  }

  /** Starts watching heartbeats. */
  start(): void {
    this.monitor.start();
  }

  /**
   * Subscribes to one event; returns the function that unsubscribes. If a listener fails, also an async one, nothing else fails.
   */
  on<Name extends keyof ManagerEvents>(
    name: Name,
    listener: (event: ManagerEvents[Name]) => unknown,
  ): () => void {
    return this.#listeners.on(name, listener);
  }

  /**
   * Gives client messages of this type to `handler` instead of the stream `lingxi:inbound`. Returns the function that removes the
   * handler. If the handler throws or rejects, the manager logs that and goes on. Throws if the type already has a handler, or is
   * `ping`.
   */
  handle(type: string, handler: MessageHandler): () => void {
    return this.#inbound.handle(type, handler);
  }

  /**
   * Registers a socket of a client without `lingxi.v1` as a connection of the user. Under `replace` it closes the user's older
   * connections with 4001. The caller passes the socket's events to the returned connection.
   */
  registerClient(userId: number, username: string, socket: Socket): ClientConnection {
    const epoch = Math.max(this.#clock.now(), (this.#table.newestEpoch(userId) ?? 0) + 1);
    const connectionId = `${userId}-${epoch}`;
    return this.register(
      { userId, username, connectionId, epoch, period: epoch, resumed: false, ip: '', protocol: 'seed' },
      socket,
    );
  }

  /**
   * As {@link registerClient}, with the results of an admission. If the user has a newer connection here, this one is closed with
   * 4001.
   */
  register(registration: Registration, socket: Socket): ClientConnection {
    this.#serial += 1;
    const connection = new ClientConnection(this.#host, { registration, serial: this.#serial, socket });
    const others = this.#policy === 'replace' ? [...this.#table.of(registration.userId)] : [];
    this.#table.add(connection);
    this.monitor.watch(connection);
    this.monitor.expiries.watch(connection, connection.tokenExpiresAt);
    this.#observer?.registered(connection);
    for (const other of others) {
      if (other.registration.epoch < registration.epoch) other.close('replaced');
      else connection.close('replaced');
    }
    if (!connection.isOpen) return connection;
    connection.welcome();
    connection.announced = true;
    this.#listeners.emit('connected', { connection });
    return connection;
  }

  /** Ends a connection whose socket its owner closes. Does nothing if the connection has already ended. */
  unregisterClient(connection: ClientConnection): void {
    connection.close('client-closed');
  }

  /**
   * Sends a message to the user's connections here. Never blocks, and never throws for an absent user (rule DL1). It sends every
   * type unchanged: `lingxi.v1` clients would take one of {@link PROTOCOL_TYPES} for a frame of the protocol.
   */
  sendToUser(userId: number, type: string, data: unknown): Delivery {
    const delivery = this.deliverTo(userId, this.prepare(type, data));
    countDelivery(this.counters, delivery);
    return delivery;
  }

  /** Encodes a message once for any number of receivers. Throws a TypeError if `data` has no JSON form. */
  prepare(type: string, data: unknown, options: OutgoingOptions = NOTHING_ASKED): Outgoing {
    return this.prepareText(type, jsonText(data), options);
  }

  /** As {@link prepare}, with `data` as JSON text, which is sent unchanged. */
  prepareText(type: string, dataText: string, options: OutgoingOptions = NOTHING_ASKED): Outgoing {
    const { ack = false, key, priority = 'normal', expiresAt = Number.POSITIVE_INFINITY } = options;
    return outgoing(
      new EnvelopeEncoder(type, dataText, Math.floor(this.#clock.now() / 1000)),
      { type, key, priority, expiresAt },
      ack ? this.#acknowledgements.nextId() : undefined,
    );
  }

  /**
   * As {@link sendToUser} with a prepared message. Counts nothing: the caller decides the outcome and counts it by
   * `countDelivery`.
   */
  deliverTo(userId: number, message: Outgoing): Delivery {
    if (this.#dispatcher.depth > 0) this.#dispatcher.catchUp(userId);
    return deliver(message, { userId, connections: this.#table.of(userId) }, this.#clock);
  }

  /** Sends a message to everyone connected here. Undefined if the dispatch queue is full: nobody gets the message. */
  broadcast(type: string, data: unknown): Promise<DispatchReport> | undefined {
    return this.broadcastPrepared(this.prepare(type, data));
  }

  broadcastPrepared(message: Outgoing): Promise<DispatchReport> | undefined {
    const dispatched = this.#dispatcher.submit({
      targets: this.#table.userIds(),
      isTarget: USER_LISTED,
      deliver: (userId, connections) => {
        const delivery = deliver(message, { userId, connections }, this.#clock);
        countDelivery(this.counters, delivery);
        return delivery;
      },
      wantResults: false,
    });
    if (dispatched === undefined) countMissed(this.counters, this.#table.userCount);
    return dispatched;
  }

  /**
   * Sends a message to a list of users, in slices. The caller counts as with {@link deliverTo}. Undefined if the dispatch queue
   * is full.
   */
  sendToUsers(userIds: ReadonlySet<number>, message: Outgoing): Promise<DispatchReport> | undefined {
    return this.#dispatcher.submit({
      targets: userIds,
      isTarget: (userId) => userIds.has(userId),
      deliver: (userId, connections) => deliver(message, { userId, connections }, this.#clock),
      wantResults: true,
    });
  }

  /**
   * Sends a message to members of groups, in slices. Counts the outcomes here, as a broadcast does. `admits` decides, when a
   * user's turn comes, whether the user may get it. Undefined if the dispatch queue is full.
   */
  sendToMembers(
    members: LiveTargets,
    message: Outgoing,
    by: { readonly admits: (userId: number) => boolean; readonly absent: (userId: number) => void },
  ): Promise<DispatchReport> | undefined {
    const dispatched = this.#dispatcher.submit({
      targets: members,
      isTarget: (userId) => members.has(userId),
      deliver: (userId, connections) => {
        const delivery: Delivery = by.admits(userId)
          ? deliver(message, { userId, connections }, this.#clock)
          : { userId, status: 'dropped', connections: 0, reason: 'rate' };
        countDelivery(this.counters, delivery);
        return delivery;
      },
      wantResults: false,
      absent: by.absent,
    });
    if (dispatched === undefined) countMissed(this.counters, members.atMost);
    return dispatched;
  }

  /** Whether this many more users can be asked for an acknowledgement. */
  canAsk(users: number): boolean {
    return this.#acknowledgements.hasRoomFor(users);
  }

  /** Waits until these users have acknowledged the message. If it requests no acknowledgement, there is no wait. */
  acknowledged(
    message: Outgoing,
    expected: { readonly userIds: readonly number[]; readonly timeoutMs: number },
  ): AckWait {
    return this.#acknowledgements.wait(message.id ?? '', message.id === undefined ? NOBODY : expected);
  }

  /** Users with a connection here. */
  onlineCount(): number {
    return this.#table.userCount;
  }

  isUserOnline(userId: number): boolean {
    return this.#table.of(userId).length > 0;
  }

  get connectionCount(): number {
    return this.#table.connectionCount;
  }

  get dispatchQueueDepth(): number {
    return this.#dispatcher.depth;
  }

  /** Largest number of messages to many users that may wait at the same time. */
  get dispatchQueueCapacity(): number {
    return this.#dispatcher.capacity;
  }

  /** Largest number of messages that may wait behind the socket of one connection. */
  get sendQueueCapacity(): number {
    return this.#host.limits.sendQueue.messages;
  }

  queuedMessages(): number {
    let queued = 0;
    for (const connection of this.#table.all()) queued += connection.queued;
    return queued;
  }

  connectionsOf(userId: number): readonly ClientConnection[] {
    return this.#table.of(userId);
  }

  ofUser(userId: number): readonly ConnectionInfo[] {
    return this.#table.of(userId).map((connection) => connection.info());
  }

  /** Closes the user's connections up to `epoch` (absent: all). The close frame has `reason` (absent: the cause). */
  closeUser(
    userId: number,
    cause: CloseCause,
    { epoch = Number.POSITIVE_INFINITY, reason }: { readonly epoch?: number; readonly reason?: string } = {},
  ): void {
    for (const connection of [...this.#table.of(userId)]) {
      if (connection.registration.epoch <= epoch) connection.close(cause, 0, reason);
    }
  }

  /**
   * Closes with 4003 the user's connections whose tokens were issued at `revokedAt` (wall-clock ms) or earlier, or have no time
   * of issue. Returns their number.
   */
  closeRevoked(userId: number, revokedAt: number): number {
    let closed = 0;
    for (const connection of [...this.#table.of(userId)]) {
      if (isIssuedAfter(connection.tokenIssuedAt, revokedAt)) continue;
      connection.close('token-revoked');
      closed += 1;
    }
    return closed;
  }

  /** Closes everything with 1012 and stops the heartbeat. `reconnectAfterMs` gives each connection the time to come back. */
  close(reconnectAfterMs?: () => number): void {
    this.monitor.stop();
    this.disconnectAll(reconnectAfterMs);
  }

  /** Closes every connection with 1012. The manager keeps running. */
  disconnectAll(reconnectAfterMs: () => number = () => 0): void {
    for (const connection of [...this.#table.all()]) connection.close('shutdown', reconnectAfterMs());
  }

  /**
   * Closes one connection with 1012, the oldest first. Returns false if there is none. If messages wait behind the socket, the
   * connection gets more time to send them.
   */
  disconnectNext(reconnectAfterMs = 0): boolean {
    let next: ClientConnection | undefined;
    let looked = 0;
    for (const connection of this.#table.all()) {
      const isFree = connection.queued === 0;
      if (isFree || next === undefined) next = connection;
      looked += 1;
      if (isFree || looked === MAX_PASSED_OVER) break;
    }
    next?.close('shutdown', reconnectAfterMs);
    return next !== undefined;
  }

  #createHost(options: ManagerOptions): ConnectionHost {
    const limits = connectionLimits(options);
    const closings = new PacedWork(this.#clock);
    return {
      clock: this.#clock,
      time: this.time,
      limits,
      node: options.node ?? 'local',
      paced: (work) => closings.run(work),
      rewatch: (connection) => this.monitor.watch(connection),
      tokenRenewed: (connection) => this.monitor.expiries.watch(connection, connection.tokenExpiresAt),
      happened: (connection, event) => this.#reports.happened(connection, event),
    };
  }

  #massTimeout(held: number, users: number): void {
    this.#log.error(
      { event: 'mass-timeout-held', held, users },
      'too many users would time out within one second: held for one more timeout; look at the network before them',
    );
  }
}
