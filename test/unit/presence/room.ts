import type { Bus } from '../../../src/cluster/bus.ts';
import { ObservedTime } from '../../../src/heartbeat/observed-time.ts';
import { type ClientConnection, ConnectionManager, FakeClock } from '../../../src/index.ts';
import type { LogFields } from '../../../src/logging/log.ts';
import { Counters } from '../../../src/metrics/counters.ts';
import type { AdmittedLogin } from '../../../src/presence/api.ts';
import { LossNotices } from '../../../src/presence/node/loss-notices.ts';
import type { PresenceOptions } from '../../../src/presence/node/options.ts';
import { PresenceTracker } from '../../../src/presence/node/tracker.ts';
import { MemoryPresenceStore } from '../../../src/presence/store/memory/store.ts';
import type { ClientProtocol } from '../../../src/protocol/frames.ts';
import type { Duty, PeriodRow } from '../../../src/protocol/periods.ts';
import { FakeSocket } from '../../support/fake-socket.ts';
import { FragileStore } from './fragile-store.ts';
import { MemoryLedger } from './memory-ledger.ts';

export type RoomOptions = Partial<
  Pick<
    PresenceOptions,
    'sessionPolicy' | 'unknownUsers' | 'loginResetsTime' | 'loginsPerMinute' | 'renewToken'
  >
> & {
  readonly lastSeenTtlMs?: number;
  readonly renewalMs?: number;
  readonly adopt?: readonly PeriodRow[];
  readonly lastAliveAt?: number;
  /** The bus on which this node receives its losses. */
  readonly bus?: Bus;
  /** Default 0: the breaker of mass timeouts is off. */
  readonly massTimeoutShare?: number;
};

export interface Player {
  readonly socket: FakeSocket;
  readonly connection: ClientConnection;
  readonly accepted: AdmittedLogin;
}

/** The presence of one node, with the memory store and an in-memory SQL. Its clock moves only when the test moves it. */
export interface Room {
  readonly clock: FakeClock;
  readonly tracker: PresenceTracker;
  readonly manager: ConnectionManager;
  readonly store: FragileStore;
  readonly ledger: MemoryLedger;
  readonly logged: LogFields[];
  /** Lets time pass in small steps until `work` is done. */
  during<Value>(work: Promise<Value>, limitMs?: number): Promise<Value>;
  /** Logs in and opens the socket. Throws if the login is refused. */
  enter(userId: number, protocol?: ClientProtocol): Promise<Player>;
  admit(userId: number): ReturnType<PresenceTracker['admit']>;
  open(accepted: AdmittedLogin, protocol?: ClientProtocol): Player;
  status(userId: number): Promise<'online' | 'offline' | undefined>;
  /** Lets `ms` pass while the player pings each second. */
  play(player: Player, ms: number): Promise<void>;
}

export const NODE = 'test-node';

export async function openRoom(options: RoomOptions = {}): Promise<Room> {
  const clock = new FakeClock();
  const time = new ObservedTime(clock);
  const sessionPolicy = options.sessionPolicy ?? 'replace';
  const memory = new MemoryPresenceStore({
    ...{ clock, time, node: NODE, policy: sessionPolicy, maxConnectionsPerUser: 3, maxGroupsPerUser: 3 },
    responsiveLeftMs: 6000,
    lastSeenTtlMs: options.lastSeenTtlMs ?? 86_400_000,
    feedLength: 1000,
  });
  if (options.adopt !== undefined) {
    const lives = new Map(options.adopt.map(({ node }) => [node, options.lastAliveAt ?? clock.now()]));
    memory.adopt(options.adopt, { lingerMs: 10_000, lastAliveAt: lives });
  }
  const store = new FragileStore(memory);
  store.renewalMs = options.renewalMs;
  const ledger = new MemoryLedger(store, clock);
  const logged: LogFields[] = [];
  const note = (fields: LogFields): void => void logged.push(fields);
  const counters = new Counters();
  const log = { debug: note, info: note, warn: note, error: note };
  const { bus } = options;
  let ids = 0;
  const tracker = new PresenceTracker({
    ...{ clock, time, store, ledger, counters, node: NODE, sessionPolicy },
    monitor: {
      watch: (hold) => manager.monitor.watch(hold),
      unwatch: (hold) => manager.monitor.unwatch(hold),
    },
    log,
    notices: bus === undefined ? undefined : new LossNotices({ bus, node: NODE, log }),
    heartbeatTimeoutMs: 10_000,
    httpTimeoutMs: 15_000,
    pingIntervalMs: 3000,
    unknownUsers: options.unknownUsers ?? 'create',
    loginResetsTime: options.loginResetsTime ?? true,
    loginsPerMinute: options.loginsPerMinute ?? 0,
    renewToken: options.renewToken ?? (() => Promise.resolve(undefined)),
    newId: () => `id${++ids}`,
  });
  const manager: ConnectionManager = new ConnectionManager({
    ...{ clock, time, counters, observer: tracker, massTimeoutShare: options.massTimeoutShare ?? 0 },
    policy: sessionPolicy === 'multi' ? 'multi' : 'replace',
  });
  const during = async <Value>(work: Promise<Value>, limitMs = 20_000): Promise<Value> => {
    let done = false;
    const finished = work.finally(() => {
      done = true;
    });
    finished.catch(() => undefined);
    for (let ms = 0; !done; ms += 1) {
      if (ms > limitMs) throw new Error(`not done after ${limitMs} ms`);
      await clock.advanceAsync(1, 1);
    }
    return finished;
  };
  manager.start();
  await during(tracker.start());
  const admit: Room['admit'] = (userId) =>
    tracker.admit({ userId, username: `玩家${userId}`, ip: '192.0.2.1', protocol: 'seed' });
  const open: Room['open'] = (accepted, protocol = 'seed') => {
    const socket = new FakeSocket();
    const { userId, connectionId, epoch, period, resumed } = accepted;
    const registration = { userId, connectionId, epoch, period, resumed, ip: '192.0.2.1', protocol };
    const connection = manager.register({ ...registration, username: `玩家${userId}` }, socket);
    socket.attach(connection);
    return { socket, connection, accepted };
  };
  return {
    ...{ clock, tracker, manager, store, ledger, logged, during, admit, open },
    async enter(userId, protocol) {
      const accepted = await during(admit(userId));
      if (!accepted.ok) throw new Error(accepted.error);
      return open(accepted.value, protocol);
    },
    async status(userId) {
      return (await during(tracker.read([userId])))[0]?.status;
    },
    async play({ socket }, ms) {
      for (let left = ms; left > 0; left -= 1000) {
        await clock.advanceAsync(Math.min(1000, left), 25);
        socket.hear('{"type":"ping"}');
      }
    },
  };
}

/** The duty that settled the user's newest period. */
export function settlementOf({ ledger }: Room, userId: number): Duty | undefined {
  return ledger.settlements.findLast((duty) => duty.userId === userId);
}
