import type { Config } from '../../src/config/config.ts';
import { ConnectionManager } from '../../src/connection/connection-manager.ts';
import { createSettlement, type Settlement } from '../../src/create-settlement.ts';
import { Revocations } from '../../src/gateway/revocations.ts';
import { ObservedTime } from '../../src/heartbeat/observed-time.ts';
import { sleep } from '../../src/lib/clock.ts';
import type { Log, LogFields } from '../../src/logging/log.ts';
import { Counters } from '../../src/metrics/counters.ts';
import { LossNotices } from '../../src/presence/node/loss-notices.ts';
import { PresenceTracker } from '../../src/presence/node/tracker.ts';
import { responsiveForMs } from '../../src/presence/rules/session-policy.ts';
import type { UserStore } from '../../src/settlement/user-store.ts';
import type { BrokenPorts, MonitorPort } from './broken-ports.ts';
import type { RedisHost } from './network.ts';
import { Random } from './random.ts';
import { NodeClock, type Scheduler } from './scheduler.ts';
import type { SimulatedBus } from './simulated-bus.ts';
import { revocationsOver } from './simulated-revocations.ts';
import { type SimulatedSql, SqlLink } from './simulated-sql.ts';
import { Spells } from './spells.ts';
import type { StoreLine } from './store-line.ts';

export interface Rules {
  /** The history revokes tokens. */
  readonly revokes?: boolean;
  readonly policy: 'replace' | 'reject' | 'multi';
  readonly loginResetsTime: boolean;
  readonly lastSeenTtlMs: number;
}

export const HEARTBEAT_TIMEOUT_MS = 10_000;
export const HTTP_TIMEOUT_MS = 15_000;
const PING_INTERVAL_MS = 3000;
/** How long a socket stays responsive after its newest proof of life (rule PR4). */
export const RESPONSIVE_FOR_MS = responsiveForMs({ pingIntervalMs: PING_INTERVAL_MS });
/** The time before the deadline of a socket when it stops being responsive. */
export const RESPONSIVE_LEFT_MS = HEARTBEAT_TIMEOUT_MS - RESPONSIVE_FOR_MS;
export const MAX_CONNECTIONS = 3;
export const MAX_GROUPS = 3;
const DRAIN_TIMEOUT_MS = 5000;
const RECOVERY_MS = 4000;
const REVOCATIONS_RETENTION_MS = 7_776_000_000;

export interface NodeWorld {
  readonly scheduler: Scheduler;
  readonly host: RedisHost;
  readonly bus: SimulatedBus;
  readonly sql: SimulatedSql;
  readonly rules: Rules;
  readonly trace: (text: () => string) => void;
  /** What a mutant breaks. The product itself breaks nothing. */
  readonly broken: BrokenPorts;
}

/** One process of the product as `create-gateway.ts` builds it, on simulated stores and its own clock. */
export class SimulatedNode {
  readonly name: string;
  readonly clock: NodeClock;
  readonly link: StoreLine;
  readonly tracker: PresenceTracker;
  readonly manager: ConnectionManager;
  readonly settlement: Settlement;
  readonly revocations: Revocations | undefined;
  readonly sql: UserStore;
  readonly broken: BrokenPorts;
  /** When it was last frozen or cut off. Pauses that are too short for a recovery do not count. */
  troubledFrom = Number.NEGATIVE_INFINITY;
  troubledUntil = Number.NEGATIVE_INFINITY;
  /** When it was frozen or cut off, and when it was frozen. */
  readonly troubles = new Spells();
  readonly frozen = new Spells();
  /** When calls on its connection to Redis were late, lost or doubled. */
  readonly badLine = new Spells();
  /** Whether it accepts connections. */
  accepts = false;
  stopped = false;
  readonly startedAt: number;
  /** The simulated time at which its process ended. */
  diedAt: number | undefined;
  readonly #scheduler: Scheduler;
  #ids = 0;

  constructor(name: string, world: NodeWorld, seed: { random: number; skewMs: number }) {
    const { scheduler, host, rules, trace, broken } = world;
    const random = new Random(seed.random);
    const clock = new NodeClock(scheduler, seed.skewMs);
    this.name = name;
    this.broken = broken;
    this.#scheduler = scheduler;
    this.startedAt = scheduler.now;
    this.clock = clock;
    const note = (fields: LogFields): void => trace(() => `${name} ${shown(fields)}`);
    const log: Log = { debug: () => undefined, info: note, warn: note, error: note };
    const line = { node: name, host, clock, scheduler, random };
    const connected = host.redis.connect(line, (lost) => notices.send(lost));
    this.link = connected.link;
    const bus = world.bus.of({ line: this.link, clock, random: new Random(seed.random + 1) });
    const notices = new LossNotices({ bus: broken.bus?.(bus) ?? bus, node: name, log });
    const store = broken.store?.(connected.store) ?? connected.store;
    const sql = new SqlLink(world.sql, { clock, scheduler, random });
    this.sql = broken.sql?.(sql, store) ?? sql;
    const counters = new Counters();
    const time = broken.time?.(clock) ?? new ObservedTime(clock);
    const config = { sqlTimeoutMs: 2000, heartbeatTimeoutMs: HEARTBEAT_TIMEOUT_MS, periodsRetentionDays: 90 };
    this.settlement = createSettlement({
      ...{ clock, log, counters, node: name, random: () => random.next() },
      ...{
        config: { ...config, databaseUrl: 'postgres:' } as Config,
        store: this.sql,
        duties: store,
      },
    });
    const { ledger } = this.settlement;
    const monitor: MonitorPort = {
      watch: (hold) => this.manager.monitor.watch(hold),
      unwatch: (hold) => this.manager.monitor.unwatch(hold),
    };
    this.tracker = new PresenceTracker({
      ...{ clock, time, log, counters, node: name, store, notices },
      ledger: broken.ledger?.(ledger) ?? ledger,
      monitor: broken.monitor?.(monitor) ?? monitor,
      ...{
        heartbeatTimeoutMs: HEARTBEAT_TIMEOUT_MS,
        httpTimeoutMs: HTTP_TIMEOUT_MS,
        pingIntervalMs: PING_INTERVAL_MS,
        sessionPolicy: rules.policy,
      },
      ...{ unknownUsers: 'create', loginResetsTime: rules.loginResetsTime, loginsPerMinute: 0 },
      renewToken: () => Promise.resolve(undefined),
      newId: () => `${name}-${++this.#ids}`,
    });
    this.manager = new ConnectionManager({
      ...{ clock, time, log, counters, node: name, observer: this.tracker },
      policy: rules.policy === 'replace' ? 'replace' : 'multi',
    });
    const revocations = rules.revokes === true ? revocationsOver(this.link) : undefined;
    this.revocations =
      revocations &&
      new Revocations({
        ...{ clock, log, retentionMs: REVOCATIONS_RETENTION_MS },
        store: broken.revocations?.(revocations) ?? revocations,
        revoked: ({ userId, at }) => this.manager.closeRevoked(userId, at),
      });
  }

  /** Whether it refuses a token of the user with that issue time. */
  refuses(userId: number, issuedAt: number | undefined): boolean {
    const { revocations } = this;
    return (
      revocations !== undefined && (!revocations.isLoaded || revocations.isRevoked({ userId, issuedAt }))
    );
  }

  get isUp(): boolean {
    return !this.clock.isDead && !this.stopped;
  }

  async start(): Promise<void> {
    await this.settlement.reconciler.start();
    await this.tracker.start();
    await this.revocations?.start();
    this.settlement.settler.start();
    this.manager.start();
    this.accepts = true;
  }

  /** Records that it is frozen or cut off from now on, for `ms`. */
  trouble(now: number, ms: number): void {
    if (now > this.troubledUntil + RECOVERY_MS) this.troubledFrom = now;
    this.troubledUntil = Math.max(this.troubledUntil, now + ms);
    this.troubles.add(now, now + ms);
  }

  kill(): void {
    this.diedAt ??= this.#scheduler.now;
    this.clock.kill();
    this.accepts = false;
  }

  /** SIGTERM: stops in the order of `create-gateway.ts`. */
  async stop(): Promise<void> {
    const { settler, reconciler } = this.settlement;
    this.accepts = false;
    this.manager.close(() => 0);
    await sleep(this.clock, 300);
    await Promise.race([settler.flush(DRAIN_TIMEOUT_MS), sleep(this.clock, DRAIN_TIMEOUT_MS)]);
    this.revocations?.stop();
    this.manager.monitor.stop();
    await this.tracker.stop();
    await settler.stop();
    await reconciler.stop();
    await this.sql.noteNodeAlive(this.name, this.clock.now()).catch(() => undefined);
    this.stopped = true;
    this.kill();
  }
}

function shown({ event, ...fields }: LogFields): string {
  const told = Object.entries(fields).map(([name, value]) => `${name}=${String(value)}`);
  return `${event} ${told.join(' ')}`;
}
