import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Drain } from './cluster/drain.ts';
import type { Config } from './config/config.ts';
import { shownConfig } from './config/shown-config.ts';
import { ConnectionManager } from './connection/connection-manager.ts';
import { type GatewayCall } from './create-config.ts';
import { createDashboard } from './create-dashboard.ts';
import { createIdentification, type Identification } from './create-identification.ts';
import { createInboundWriter, createMessaging, type Messaging } from './create-messaging.ts';
import { createOperations, type Operations } from './create-operations.ts';
import { type OpenedPresenceStore } from './create-presence.ts';
import { createSettlement, type Settlement } from './create-settlement.ts';
import { Admission } from './gateway/admission.ts';
import { allowedConnections, descriptorLimit } from './gateway/descriptor-limit.ts';
import { type DescriptorWatch, watchDescriptors } from './gateway/descriptor-watch.ts';
import { type GatewayServer, type ServerOptions, shownHost } from './gateway/gateway-server.ts';
import { InBandRefusals } from './gateway/in-band-refusals.ts';
import { preferredLanguage } from './gateway/language.ts';
import { createOriginCheck } from './gateway/origin.ts';
import type { Revocation } from './gateway/revocations.ts';
import type { ObservedTime } from './heartbeat/observed-time.ts';
import { createHttpApp, type HttpApp } from './http/app.ts';
import { type Clock, sleep } from './lib/clock.ts';
import { ok, type Result } from './lib/result.ts';
import { logInternalError } from './logging/internal-error.ts';
import type { Log } from './logging/log.ts';
import type { Counters } from './metrics/counters.ts';
import type { DashboardData } from './overview/dashboard-data.ts';
import type { Presence } from './presence/api.ts';
import { PresenceTracker } from './presence/node/tracker.ts';
import { newId, newTicket } from './random-ids.ts';
import type { UserStore } from './settlement/user-store.ts';
import type { StopList } from './stop-list.ts';

const digest = (text: string): string => createHash('sha256').update(text).digest('base64url');

/**
 * The reconnects of closed clients are spread over this share of the heartbeat timeout. The drain closes them at an even pace, so
 * a small spread is enough. With a longer delay, a client might be logged out meanwhile.
 */
const RECONNECT_SPREAD_SHARE = 0.1;
/** The settlements must be written within this share of the time after the last close. The rest is for stopping the modules. */
const FLUSH_SHARE = 0.5;
/** The modules get this time to stop, even if the drain timeout is shorter. */
const MIN_STOP_MS = 1_000;
/** Sockets get this time to send their close frames. */
const CLOSE_GRACE_MS = 300;
const VERSION = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

/** A running gateway. */
export interface Gateway {
  readonly version: string;
  /** This incarnation: the node's name and a part that is new at each start. */
  readonly node: string;
  readonly port: number;
  /** The URLs at which it listens. */
  readonly urls: readonly string[];
  /** The connections of this process, for an application that embeds the gateway. */
  readonly manager: ConnectionManager;
  /** Who is online in the whole deployment, and what happened to a user. Both reject while the store is unreachable. */
  readonly presence: Pick<Presence, 'read' | 'timeline'>;
  /** Logs and counts an unhandled rejection. It is a bug, but ends nothing (ADR 0011). */
  rejected(error: unknown): void;
  /**
   * Drains and stops (rule DR1). It continues to serve for the shutdown delay. Then it accepts no new connections, closes the
   * others with `goodbye` and 1012 at an even pace, and writes the settlements.
   */
  stop(): Promise<void>;
}

/** Everything that is open before the modules are joined. */
export interface Parts {
  readonly config: Config;
  readonly origins: GatewayCall['origins'];
  readonly log: Log;
  readonly clock: Clock;
  readonly node: string;
  readonly counters: Counters;
  readonly time: ObservedTime;
  readonly users: UserStore;
  readonly presence: OpenedPresenceStore;
  readonly running: StopList;
  /** The listening side on the present runtime. */
  readonly createServer: (options: ServerOptions) => GatewayServer;
  readonly kill: (() => void) | undefined;
}

/** The joined modules of one gateway. {@link StopList} has the order in which they stop. */
export class Assembly {
  readonly #parts: Parts;
  readonly #settlement: Settlement;
  readonly #tracker: PresenceTracker;
  readonly #manager: ConnectionManager;
  readonly #identification: Identification;
  readonly #messaging: Messaging;
  readonly #admission: Admission;
  readonly #server: GatewayServer;
  readonly #descriptors: DescriptorWatch;
  readonly #operations: Operations;
  readonly #dashboard: DashboardData;
  #createdApp: HttpApp | undefined;
  readonly #drain: Drain;
  #stopped: Promise<void> | undefined;
  /** Whether SQL has the last sign of life of this node. */
  #isLifeNoted = true;

  constructor(parts: Parts) {
    const { config, clock, log, counters, users, presence } = parts;
    this.#parts = parts;
    const revoked = ({ userId, at }: Revocation): unknown => this.#manager.closeRevoked(userId, at);
    this.#identification = createIdentification({ ...parts, newTicket, revoked });
    parts.running.started('credentials', () => this.#identification.stop());
    this.#settlement = createSettlement({
      config,
      clock,
      log,
      counters,
      node: parts.node,
      store: users,
      duties: presence.store,
      random: Math.random,
    });
    this.#tracker = this.#createTracker();
    this.#manager = this.#createManager();
    this.#messaging = createMessaging({
      ...parts,
      newId,
      digest,
      opened: presence,
      manager: this.#manager,
      tracker: this.#tracker,
    });
    this.#admission = new Admission({
      ...this.#identification,
      config: { ...config, maxConnections: allowedConnections(descriptorLimit(), config.maxConnections) },
      presence: this.#tracker,
      clock,
      random: Math.random,
      log,
      counters,
    });
    this.#server = this.#createServer();
    this.#drain = this.#createDrain();
    this.#descriptors = watchDescriptors({ clock, log, server: this.#server });
    this.#operations = createOperations({
      node: parts.node,
      clock,
      log,
      messaging: this.#messaging,
      opened: presence,
      pushHere: (...push) => this.#messaging.router.pushHere(...push),
      tracker: this.#tracker,
      manager: this.#manager,
      settler: this.#settlement.settler,
      settlementAvailable: () => this.#settlement.health.available,
      loginsWaiting: () => this.#admission.loginsWaiting,
      isDraining: () => this.#drain.isDraining,
      drain: (draining, by) => void this.#setDraining(draining, by),
    });
    this.#dashboard = this.#createDashboard();
  }

  /** Rejects if the gateway cannot start: with a `ListenError` if it cannot listen at the address. */
  async start(): Promise<Result<Gateway, { message: string }>> {
    const { running, log, node, config, users, clock } = this.#parts;
    const { reconciler, settler, health, ledger } = this.#settlement;
    running.started('reconciler', () => reconciler.stop());
    await reconciler.start();
    running.started('presence', () => this.#tracker.stop());
    running.started('ledger', () => ledger.stop());
    // If a user does not come back, the settled logout has this time, not one up to 5 s older (rule ST5).
    running.started('last sign of life', () => {
      this.#isLifeNoted = false;
      const noted = (): void => void (this.#isLifeNoted = true);
      return users.noteNodeAlive(node, clock.now()).then(noted, () => {});
    });
    await this.#tracker.start();
    running.started('settler', () => settler.stop());
    settler.start();
    running.started('SQL health', () => health.stop());
    health.start();
    running.started('heartbeat', () => this.#manager.monitor.stop());
    this.#manager.start();
    running.started('operations', () => this.#operations.stop());
    this.#operations.start();
    await this.#identification.revocations.start();
    this.#listenToNodes();
    running.started('push stream', () => this.#messaging.stream?.stop());
    // Creates the routes now, so that the first request need not wait for it.
    const app = this.#app();
    running.started('feeds', () => app.endFeeds());
    const { port, addresses } = await this.#server.listen();
    running.started('server', () => this.#server.close());
    running.started('descriptor watch', () => this.#descriptors.stop());
    this.#descriptors.start();
    const urls = addresses.map((address) => `http://${shownHost(config.host, address)}:${port}`);
    return ok({
      version: VERSION,
      node,
      port,
      urls: [...new Set(urls)],
      manager: this.#manager,
      presence: this.#tracker,
      rejected: (error) => logInternalError(log, { where: 'background', error }),
      stop: () => (this.#stopped ??= this.#stop()),
    });
  }

  /** The node works without it, but then other nodes get no answers from this one. */
  #listenToNodes(): void {
    const { log } = this.#parts;
    this.#messaging.start().catch((error: unknown) => {
      if (this.#stopped === undefined)
        log.error({ event: 'internal-error', error }, 'other nodes cannot reach this one');
    });
  }

  async #stop(): Promise<void> {
    const { log, clock, config, running, presence } = this.#parts;
    const endAt = clock.monotonic() + config.shutdownDelayMs + config.drainTimeoutMs;
    // The node answers until its sockets are gone: it is not ready, and after the delay new connections get 503.
    await this.#setDraining(true);
    this.#manager.close();
    await sleep(clock, CLOSE_GRACE_MS);
    const leftMs = (): number => Math.max(0, endAt - clock.monotonic());
    const isSettled = await this.#settlement.settler.flush(leftMs() * FLUSH_SHARE);
    if (!isSettled)
      log.warn({ event: 'stopped' }, 'some settlements are left to the next start or to another node');
    // A store that does not answer must not keep the process alive beyond the drain timeout.
    const hasStopped = await running.stopWithin(clock, Math.max(MIN_STOP_MS, leftMs()));
    if (!isSettled || !this.#isLifeNoted) presence.keepUnsettled?.();
    log.info({ event: 'stopped' }, hasStopped ? 'stopped' : 'stopped, without an answer from the stores');
  }

  /** Resolves once the node is empty. */
  async #setDraining(draining: boolean, by?: string): Promise<void> {
    // A node that is stopping stays in the draining state.
    if (this.#stopped !== undefined && !draining) return;
    const wasDraining = this.#drain.isDraining;
    const connections = this.#manager.connectionCount;
    const emptied = draining ? this.#drain.start() : undefined;
    if (!draining) this.#drain.cancel();
    this.#messaging.stream?.pause(draining);
    if (draining !== wasDraining) {
      this.#parts.log.info(
        { event: 'draining', draining, connections, ...(by === undefined ? {} : { by }) },
        draining ? 'draining' : 'no longer draining',
      );
      this.#operations.nodes.announce();
    }
    await emptied;
  }

  #createTracker(): PresenceTracker {
    const { config, clock, time, log, node, counters, presence } = this.#parts;
    return new PresenceTracker({
      heartbeatTimeoutMs: config.heartbeatTimeoutMs,
      httpTimeoutMs: config.httpTimeoutMs,
      pingIntervalMs: config.pingIntervalMs,
      sessionPolicy: config.sessionPolicy,
      unknownUsers: config.unknownUsers,
      loginResetsTime: config.loginResetsTime,
      loginsPerMinute: config.loginsPerMinute,
      clock,
      time,
      // The manager has the ticker of all deadlines, and is created after its observer.
      monitor: {
        watch: (hold) => this.#manager.monitor.watch(hold),
        unwatch: (hold) => this.#manager.monitor.unwatch(hold),
      },
      log,
      counters,
      node,
      store: presence.store,
      notices: presence.peers?.notices,
      ledger: this.#settlement.ledger,
      newId,
      renewToken: this.#identification.renewToken,
    });
  }

  #createManager(): ConnectionManager {
    const { config, clock, time, log, counters, node } = this.#parts;
    return new ConnectionManager({
      inbound: createInboundWriter({ ...this.#parts, opened: this.#parts.presence }),
      heartbeatTimeoutMs: config.heartbeatTimeoutMs,
      heartbeatMode: config.heartbeatMode,
      pingIntervalMs: config.pingIntervalMs,
      readTimeoutMs: config.readTimeoutMs,
      writeTimeoutMs: config.writeTimeoutMs,
      maxMessagesPerSecond: config.maxMessagesPerSecond,
      dispatchQueue: config.dispatchQueue,
      massTimeoutShare: config.massTimeoutShare,
      clock,
      time,
      log,
      counters,
      node,
      observer: this.#tracker,
      policy: config.sessionPolicy === 'replace' ? 'replace' : 'multi',
      sendQueue: { messages: config.sendQueue, bytes: config.sendQueueBytes, policy: config.overflow },
    });
  }

  #createDrain(): Drain {
    const { config, clock } = this.#parts;
    const spreadMs = config.heartbeatTimeoutMs * RECONNECT_SPREAD_SHARE;
    return new Drain({
      shutdownDelayMs: config.shutdownDelayMs,
      drainTimeoutMs: config.drainTimeoutMs,
      clock,
      connections: () => this.#manager.connectionCount,
      closeOne: () => this.#manager.disconnectNext(Math.floor(Math.random() * spreadMs)),
      refuse: (refusing) => this.#admission.setDraining(refusing),
    });
  }

  #createDashboard(): DashboardData {
    const dashboard = createDashboard({
      ...this.#parts,
      version: VERSION,
      messaging: this.#messaging,
      operations: this.#operations,
      tracker: this.#tracker,
      manager: this.#manager,
      isDraining: () => this.#drain.isDraining,
    });
    this.#parts.running.started('dashboard', () => dashboard.stop());
    return dashboard;
  }

  #createServer(): GatewayServer {
    const { config, log, clock } = this.#parts;
    return this.#parts.createServer({
      host: config.host,
      port: config.port,
      maxMessageBytes: config.maxMessageBytes,
      maxConnections: config.maxConnections,
      maxBodyBytes: config.maxBodyBytes,
      keepAliveTimeoutMs: config.keepAliveTimeoutMs,
      readTimeoutMs: config.readTimeoutMs,
      writeTimeoutMs: config.writeTimeoutMs,
      language: config.language,
      admission: this.#admission,
      inBand: new InBandRefusals(clock),
      direct: () => (this.#drain.isDraining ? undefined : this.#app().direct),
      http: async (request, peer) => {
        const response = await this.#app().fetch(request, peer);
        // Otherwise a proxy would keep the connection and send its next request to a node that is about to stop.
        if (this.#drain.isDraining) response.headers.set('connection', 'close');
        return response;
      },
      opened: (registration, socket) =>
        this.#identification.checkAgain(this.#manager.register(registration, socket)),
      abandoned: (registration) => this.#tracker.abandon(registration),
      clock,
      log,
    });
  }

  #app(): HttpApp {
    const { config, clock, log, counters, node, kill } = this.#parts;
    this.#createdApp ??= createHttpApp({
      presence: this.#tracker,
      pushes: this.#messaging.pushes,
      dashboard: this.#dashboard,
      shownConfig: () => shownConfig(config, this.#parts.origins),
      ...this.#identification,
      counters,
      gauges: this.#operations.gauges,
      config,
      clock,
      log,
      node,
      version: VERSION,
      processMetrics: true,
      kill,
      isDraining: () => this.#drain.isDraining,
      nodes: this.#operations.nodes,
      settlementAvailable: () => this.#settlement.health.available,
      credentialsAvailable: () => this.#identification.credentials.available,
      allowsOrigin: createOriginCheck(config.allowedOrigins),
      language: (accepted) => preferredLanguage(accepted, config.language),
    });
    return this.#createdApp;
  }
}
