import type { Router } from '../../../src/cluster/router.ts';
import type { Config } from '../../../src/config/config.ts';
import type { ConnectionInfo } from '../../../src/connection/connection-info.ts';
import type { Credentials } from '../../../src/gateway/credentials.ts';
import { FailedCredentials } from '../../../src/gateway/failed-credentials.ts';
import { createOriginCheck } from '../../../src/gateway/origin.ts';
import { createHttpApp } from '../../../src/http/app.ts';
import type { HttpDeps } from '../../../src/http/deps.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { err, ok } from '../../../src/lib/result.ts';
import type { Log, LogFields } from '../../../src/logging/log.ts';
import { Counters, type Gauges } from '../../../src/metrics/counters.ts';
import type { LoginRefusal, LogoutRequest, Presence, UserPresence } from '../../../src/presence/api.ts';
import type { PushRequest } from '../../../src/protocol/delivery.ts';

export const SERVICE_KEY = 'service-key-of-the-tests';
export const VIEW_KEY = 'view-key-of-the-tests';
export const PEER = '198.51.100.7';

/** The smallest presence that follows the port. It records the calls. */
export class MemoryPresence implements Presence {
  available = true;
  refusal: LoginRefusal | undefined;
  /** Users who are not in the store cannot be looked up. */
  sqlDown = false;
  unreachable = false;
  /** Every call that carries a user id, in order. */
  readonly calls: { readonly call: string; readonly userId: number; readonly [field: string]: unknown }[] =
    [];
  readonly users = new Map<number, UserPresence>();
  readonly #clock: FakeClock;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  async admit(): Promise<never> {
    throw new Error('no sockets in these tests');
  }

  abandon(): void {}

  holdsHere(): never {
    throw new Error('no sockets in these tests');
  }

  async login(request: { readonly userId: number; readonly ip: string }): ReturnType<Presence['login']> {
    this.calls.push({ call: 'login', ...request });
    if (this.refusal !== undefined) return err(this.refusal);
    const now = this.#clock.now();
    const running = this.users.get(request.userId);
    const resumed = running?.status === 'online';
    const loginTime = resumed ? (running.loginTime ?? now) : now;
    this.users.set(request.userId, {
      userId: request.userId,
      username: undefined,
      status: 'online',
      loginTime,
      lastHeartbeat: now,
      logoutTime: undefined,
      ip: request.ip,
      connections: 0,
      epoch: loginTime,
      period: loginTime,
    });
    return ok({ loginTime, resumed });
  }

  feed(): Promise<never> {
    throw new Error('the feed is tested on a running gateway');
  }

  timeline(): Promise<never> {
    throw new Error('timelines are tested on a running gateway');
  }

  async heartbeat(userId: number): ReturnType<Presence['heartbeat']> {
    this.calls.push({ call: 'heartbeat', userId });
    const user = this.users.get(userId);
    if (user?.status !== 'online') return err('not-online');
    const lastHeartbeat = this.#clock.now();
    this.users.set(userId, { ...user, lastHeartbeat });
    return ok({ lastHeartbeat });
  }

  async logout(request: LogoutRequest): ReturnType<Presence['logout']> {
    this.calls.push({ call: 'logout', ...request });
    if (!this.available) return err('presence-unavailable');
    const user = this.users.get(request.userId);
    if (user?.status !== 'online') return err('not-online');
    const logoutTime = this.#clock.now();
    this.users.set(request.userId, { ...user, status: 'offline', logoutTime });
    return ok({ logoutTime });
  }

  async lastLogout(userId: number): Promise<number | undefined> {
    return this.users.get(userId)?.logoutTime;
  }

  onlineCount(): number {
    return [...this.users.values()].filter((user) => user.status === 'online').length;
  }

  async online(page: { readonly limit?: number; readonly cursor?: string }): ReturnType<Presence['online']> {
    if (this.unreachable) throw new Error('store unreachable');
    const all = [...this.users.values()].filter((user) => user.status === 'online');
    const from = Number(page.cursor ?? 0);
    const to = page.limit === undefined ? all.length : from + page.limit;
    return { users: all.slice(from, to), ...(to < all.length ? { cursor: String(to) } : {}) };
  }

  async find(userId: number): ReturnType<Presence['find']> {
    if (this.unreachable) throw new Error('store unreachable');
    const user = this.users.get(userId);
    return user === undefined && this.sqlDown ? err('settlement-unavailable') : ok(user);
  }

  async blockedUntil(): Promise<undefined> {
    if (this.unreachable) throw new Error('store unreachable');
  }

  changeGroup(): Promise<never> {
    throw new Error('groups are tested on a running gateway');
  }

  group(): Promise<never> {
    throw new Error('groups are tested on a running gateway');
  }

  async read(userIds: readonly number[]): ReturnType<Presence['read']> {
    if (this.unreachable) throw new Error('store unreachable');
    return userIds.map((userId) => this.users.get(userId));
  }
}

/** Tokens are `user-<id>`. */
const credentials: Credentials = {
  async verifyUser(token) {
    const match = /^user-(\d+)$/.exec(token);
    return match === null
      ? err('invalid-token')
      : ok({ userId: Number(match[1]), username: `玩家${match[1]}` });
  },
  isServiceKey: (presented) => presented === SERVICE_KEY,
  isViewKey: (presented) => presented === VIEW_KEY,
  signUser: ({ userId }) => `user-${userId}`,
};

export const gauges: Gauges = {
  usersOnline: () => 7,
  usersLingering: () => 6,
  loginsWaiting: () => 8,
  connections: () => 5,
  dispatchQueueDepth: () => 3,
  dispatchQueueCapacity: () => 256,
  queuedMessages: () => 2,
  sendQueueCapacity: () => 64,
  pushStreamLength: () => 0,
  settlementsPending: () => 4,
  settlementOldestAgeMs: () => 1500,
  settlementsSetAside: () => 8,
  settlementAvailable: () => true,
  orphans: () => 1,
};

const baseConfig: Config = {
  port: 0,
  host: '127.0.0.1',
  environment: 'test',
  profile: 'none',
  runtime: 'auto',
  jwtSecrets: ['x'.repeat(32)],
  jwtPublicKey: undefined,
  jwtJwksUrl: undefined,
  jwtIssuer: undefined,
  jwtAudience: undefined,
  apiKeys: [SERVICE_KEY],
  viewKeys: [VIEW_KEY],
  redisUrl: undefined,
  databaseUrl: undefined,
  dataDir: './data',
  redisTimeoutMs: 1000,
  sqlPool: 10,
  sqlTimeoutMs: 2000,
  migrate: 'auto',
  nodeName: 'test',
  heartbeatTimeoutMs: 10_000,
  httpTimeoutMs: 15_000,
  heartbeatMode: 'auto',
  pingIntervalMs: 3000,
  massTimeoutShare: 0.2,
  readTimeoutMs: 60_000,
  writeTimeoutMs: 10_000,
  keepAliveTimeoutMs: 75_000,
  dispatchQueue: 256,
  sendQueue: 64,
  sendQueueBytes: 1_048_576,
  overflow: 'drop-newest',
  pushRatePerUser: 0,
  sessionPolicy: 'replace',
  maxConnectionsPerUser: 5,
  maxGroupsPerUser: 50,
  maxConnections: 1000,
  maxConnectionsPerIp: 0,
  maxMessageBytes: 65_536,
  maxMessagesPerSecond: 50,
  maxBodyBytes: 65_536,
  loginsPerMinute: 60,
  allowedOrigins: 'same-origin',
  trustedProxies: [],
  usersTable: 'users',
  usersIdColumn: 'id',
  usersTimeColumn: 'last_spirit_gain_time',
  unknownUsers: 'create',
  loginResetsTime: true,
  legacyOpenApi: false,
  queryToken: false,
  lastSeenTtlS: 2_592_000,
  periodsRetentionDays: 90,
  revocationsRetentionDays: 90,
  feedLength: 100_000,
  pushChannel: 'lingxi:push',
  pushStreamLength: 1_000_000,
  inboundLength: 100_000,
  shutdownDelayMs: 0,
  drainTimeoutMs: 30_000,
  logLevel: 'info',
  language: 'en',
};

export interface Ask {
  /** A user id for that user's token, `'service'`, `'viewer'`, or the header's own text. */
  readonly as?: number | string;
  readonly body?: unknown;
  /** Sent unchanged. */
  readonly raw?: string | ReadableStream;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly peer?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** An app on fakes of the other modules, and a short way to call it. */
export function createHarness(config: Partial<Config> = {}, deps: Partial<HttpDeps> = {}) {
  const clock = new FakeClock();
  const presence = new MemoryPresence(clock);
  const logged: LogFields[] = [];
  const pushed: PushRequest[] = [];
  const connections: ConnectionInfo[] = [];
  const router: Router = {
    async push(request) {
      pushed.push(request);
      if ('all' in request.to || 'groups' in request.to) return { counts: { written: 2 } };
      const userIds = 'userId' in request.to ? [request.to.userId] : request.to.userIds;
      const results = userIds.map((userId) => ({ userId, status: 'written' as const, connections: 1 }));
      return { results, counts: { written: results.length } };
    },
  };
  const note = (fields: LogFields): void => {
    logged.push(fields);
  };
  const log: Log = { debug: note, info: note, warn: note, error: note };
  const counters = new Counters();
  const state = { draining: false };
  const app = createHttpApp({
    presence,
    pushes: {
      push: (requests) => Promise.all(requests.map(async (request) => ok(await router.push(request)))),
    },
    dashboard: {
      live: () => undefined,
      users: ({ offset }) =>
        Promise.resolve({ at: clock.now(), total: 0, matched: 0, offset, users: [], gap: undefined }),
      user: (userId) => {
        const placed = connections.filter((info) => info.userId === userId);
        return Promise.resolve({
          connections: placed.map((info) => ({ ...info, node: 'test-1' })),
          groups: [],
          state: undefined,
          partial: undefined,
        });
      },
    },
    shownConfig: () => [],
    credentials,
    failedCredentials: new FailedCredentials(clock),
    counters,
    gauges,
    config: { ...baseConfig, ...config },
    clock,
    log,
    node: 'test-1',
    version: '0.0.0',
    processMetrics: false,
    kill: undefined,
    isDraining: () => state.draining,
    settlementAvailable: () => true,
    credentialsAvailable: () => true,
    tickets: { issue: () => Promise.resolve(ok({ ticket: 't', expiresAt: 1 })) },
    revocations: { revoke: () => Promise.resolve({ at: clock.now(), isKept: true }) },
    nodes: {
      list: () => Promise.resolve([]),
      drain: (_node, draining) => {
        state.draining = draining;
        return Promise.resolve(ok({ node: 'test-1', draining }));
      },
    },
    clientAddress: (peer) => peer,
    allowsOrigin: createOriginCheck(config.allowedOrigins ?? baseConfig.allowedOrigins),
    language: (accepted) => (accepted?.startsWith('zh') === true ? 'zh' : 'en'),
    ...deps,
  });
  const ask = async (path: string, options: Ask = {}): Promise<Answer> => {
    const response = await app.fetch(toRequest(path, options), options.peer ?? PEER);
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.startsWith('application/json') === true;
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: isJson && text !== '' ? JSON.parse(text) : {},
    };
  };
  return { app, ask, clock, presence, logged, pushed, connections, counters, state };
}

function toRequest(path: string, options: Ask): Request {
  const headers = new Headers(options.headers);
  if (options.as !== undefined) headers.set('authorization', authorization(options.as));
  const body = options.raw ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
  const method = options.method ?? (body === undefined ? 'GET' : 'POST');
  // As in the servers: the host of the URL is that of `Host`.
  return new Request(`http://${headers.get('host') ?? 'gateway.test'}${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body }),
    ...(body instanceof ReadableStream ? { duplex: 'half' } : {}),
  });
}

function authorization(as: number | string): string {
  if (as === 'service') return `Bearer ${SERVICE_KEY}`;
  if (as === 'viewer') return `Bearer ${VIEW_KEY}`;
  return typeof as === 'number' ? `Bearer user-${as}` : as;
}
