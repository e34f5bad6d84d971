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
import type { ConnectionEvent, ConnectionHost } from './connection-host.ts';
import type { ConnectionInfo, Registration } from './connection-info.ts';
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

/** A drain looks at so many connections for one without a queue. */
const MAX_PASSED_OVER = 16;

/**
 * Owns the connections of this process: who is connected, their heartbeats, and the messages to them. Synchronous;
 * knows no store and no network. Runs on any {@link Socket} and any {@link Clock}.
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
      tripped: (held) => this.#massTimeoutHeld(held),
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
    this.#host = this.#createHost(options);
  }

  /** Starts watching heartbeats. */
  start(): void {
    this.monitor.start();
  }

  /** Subscribes to one event; answers how to unsubscribe. A listener, also an async one, that fails ends nothing. */
  on<Name extends keyof ManagerEvents>(
    name: Name,
    listener: (event: ManagerEvents[Name]) => unknown,
  ): () => void {
    return this.#listeners.on(name, listener);
  }

  /**
   * Gives client messages of this type to `handler`, and no longer to the stream `lingxi:inbound`. Answers how to take it
   * back. A handler that throws or rejects is logged and ends nothing. Throws where the type has a handler, or is `ping`.
   */
  handle(type: string, handler: MessageHandler): () => void {
    return this.#inbound.handle(type, handler);
  }

  /**
   * Registers a socket as a connection of the user, as a seed client. Under `replace` the user's older connections
   * are closed 4001. The socket's events belong to the connection that is returned.
   */
  registerClient(userId: number, username: string, socket: Socket): ClientConnection {
    const epoch = Math.max(this.#clock.now(), (this.#table.newestEpoch(userId) ?? 0) + 1);
    const connectionId = `${userId}-${epoch}`;
    return this.register(
      { userId, username, connectionId, epoch, period: epoch, resumed: false, ip: '', protocol: 'seed' },
      socket,
    );
  }

  /** As {@link registerClient}, with what an admission decided. A connection older than one that is here is closed 4001. */
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

  /** Ends a connection whose socket its owner closes; nothing happens where it has ended already. */
  unregisterClient(connection: ClientConnection): void {
    connection.close('client-closed');
  }

  /**
   * Hands a message to the user's connections here. Never blocks, never throws for an absent user (rule DL1). Any type
   * is sent as it is: one of {@link PROTOCOL_TYPES} would be taken for the protocol's own by `lingxi.v1` clients.
   */
  sendToUser(userId: number, type: string, data: unknown): Delivery {
    const delivery = this.deliverTo(userId, this.prepare(type, data));
    countDelivery(this.counters, delivery);
    return delivery;
  }

  /** Encodes a message once for any number of receivers. Throws a TypeError where `data` has no JSON form. */
  prepare(type: string, data: unknown, options: OutgoingOptions = NOTHING_ASKED): Outgoing {
    return this.prepareText(type, jsonText(data), options);
  }

  /** As {@link prepare}, with `data` as JSON text, which is sent as it is. */
  prepareText(type: string, dataText: string, options: OutgoingOptions = NOTHING_ASKED): Outgoing {
    const { ack = false, key, priority = 'normal', expiresAt = Number.POSITIVE_INFINITY } = options;
    return outgoing(
      new EnvelopeEncoder(type, dataText, Math.floor(this.#clock.now() / 1000)),
      { type, key, priority, expiresAt },
      ack ? this.#acknowledgements.nextId() : undefined,
    );
  }

  /** As {@link sendToUser} with a prepared message. Counts nothing: the caller has the last word, and counts it by `countDelivery`. */
  deliverTo(userId: number, message: Outgoing): Delivery {
    if (this.#dispatcher.depth > 0) this.#dispatcher.catchUp(userId);
    return deliver(message, { userId, connections: this.#table.of(userId) }, this.#clock);
  }

  /** A message to everyone connected here. Undefined where the dispatch queue is full: nobody gets it. */
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

  /** A message to a list of users, in slices; the caller counts as with {@link deliverTo}. Undefined where the dispatch queue is full. */
  sendToUsers(userIds: ReadonlySet<number>, message: Outgoing): Promise<DispatchReport> | undefined {
    return this.#dispatcher.submit({
      targets: userIds,
      isTarget: (userId) => userIds.has(userId),
      deliver: (userId, connections) => deliver(message, { userId, connections }, this.#clock),
      wantResults: true,
    });
  }

  /**
   * A message to members of groups, in slices; counted here, as a broadcast is. `admits` says who may get it now. Undefined
   * where the dispatch queue is full.
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

  /** Whether so many more users can be asked for an acknowledgement. */
  canAsk(users: number): boolean {
    return this.#acknowledgements.hasRoomFor(users);
  }

  /** Waits until these users have acknowledged a message that asks for it. Nobody is asked by another message. */
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

  /** Messages to many that may wait at a time. */
  get dispatchQueueCapacity(): number {
    return this.#dispatcher.capacity;
  }

  /** Messages that may wait behind the socket of one connection. */
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

  /** Closes the user's connections up to `epoch` (absent: all); `reason` stands in the close frame (absent: the cause). */
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
   * Closes with 4003 the user's connections whose tokens were not issued after `revokedAt` (wall-clock ms), or do not say
   * when. Returns how many.
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

  /** Closes everything with 1012; `reconnectAfterMs` tells each connection when to come back. Stops the heartbeat. */
  close(reconnectAfterMs?: () => number): void {
    this.monitor.stop();
    this.disconnectAll(reconnectAfterMs);
  }

  /** Closes every connection with 1012 and goes on. */
  disconnectAll(reconnectAfterMs: () => number = () => 0): void {
    for (const connection of [...this.#table.all()]) connection.close('shutdown', reconnectAfterMs());
  }

  /**
   * Closes one connection with 1012, and returns false if there is none. The oldest go first. If messages wait behind a
   * socket, that connection gets more time to take them.
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
      happened: (connection, event) => this.#happened(connection, event),
    };
  }

  #happened(connection: ClientConnection, event: ConnectionEvent): void {
    switch (event.kind) {
      case 'heartbeat':
        this.counters.heartbeats += 1;
        return;
      case 'proven-late':
        return this.#observer?.provenLate?.(connection);
      case 'timed-out':
        return this.counters.detectionLag.observe(event.lagMs / 1000);
      case 'malformed':
        return this.#malformed(connection);
      case 'message':
        return this.#inbound.take(connection, event);
      case 'logout-requested':
        return this.#observer === undefined
          ? connection.close('logout')
          : this.#observer.logoutRequested(connection);
      case 'token-offered':
        return this.#observer?.tokenOffered(connection, event.token);
      case 'acknowledged':
        return this.#acknowledgements.acknowledge(connection.userId, event.id);
      case 'dropped':
        return this.#dropped(connection, event);
      case 'replaced':
        this.counters.messagesReplaced += 1;
        return;
      case 'failed':
        return this.#failed(connection, event.error);
      case 'ended':
        return this.#ended(connection, event);
    }
  }

  #massTimeoutHeld(held: number): void {
    this.counters.massTimeoutsHeld += held;
    const users = this.#table.userCount;
    this.#log.error(
      { event: 'mass-timeout-held', held, users },
      'too many users would time out within one second: held for one more timeout; look at the network before them',
    );
  }

  #malformed(connection: ClientConnection): void {
    this.counters.malformedMessages += 1;
    const { userId, registration } = connection;
    this.#log.debug(
      { event: 'malformed-message', userId, connectionId: registration.connectionId },
      'ignored a message that is not {"type": string, …}',
    );
  }

  #failed({ userId, registration: { connectionId } }: ClientConnection, error: unknown): void {
    logInternalError(this.#log, { where: 'socket', error, fields: { userId, connectionId } });
  }

  #dropped(
    connection: ClientConnection,
    { count, reason, wasQueued }: Extract<ConnectionEvent, { readonly kind: 'dropped' }>,
  ): void {
    // Otherwise the answer to the sender is `dropped`, and counted as one.
    if (wasQueued) this.counters.messages.dropped += count;
    this.counters.dropped[reason] += count;
    const unlogged = connection.lossToLog(count);
    if (unlogged > 0) {
      const { userId, registration } = connection;
      const fields = { userId, connectionId: registration.connectionId, cause: reason, count: unlogged };
      this.#log.warn({ event: 'message-dropped', ...fields }, 'messages were dropped');
    }
    this.#listeners.emit('dropped', { connection, count, reason });
  }

  #ended(
    connection: ClientConnection,
    { cause, code, reason }: Extract<ConnectionEvent, { readonly kind: 'ended' }>,
  ): void {
    this.monitor.unwatch(connection);
    this.monitor.expiries.unwatch(connection);
    this.#table.remove(connection);
    try {
      this.#observer?.ended(connection, cause);
    } catch (error) {
      this.#failed(connection, error);
    }
    if (connection.announced) this.#listeners.emit('disconnected', { connection, cause, code, reason });
  }
}
