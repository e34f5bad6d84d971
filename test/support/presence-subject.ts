import { ObservedTime } from '../../src/heartbeat/observed-time.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { WorldRules } from '../../src/presence/rules/session-policy.ts';
import { MemoryPresenceStore } from '../../src/presence/store/memory/store.ts';
import type { Claim, ClaimAnswer, PresenceStore } from '../../src/presence/store/port.ts';
import { loadScripts } from '../../src/presence/store/redis/scripts.ts';
import { RedisPresenceStore } from '../../src/presence/store/redis/store.ts';
import { RedisLink } from '../../src/redis/link.ts';
import { eventually } from './ports.ts';
import { type RedisServer, startRedis } from './services.ts';

const DAY_MS = 86_400_000;

/** The parameters of a store in a test, with their defaults. */
export interface SubjectOptions extends Partial<WorldRules> {
  readonly node?: string;
  /** Only for Redis: the named node is dead after this silence. */
  readonly deadAfterMs?: number;
}

/** One side of the store pair. */
export interface PresenceSubject {
  readonly name: 'memory' | 'redis';
  readonly redis: RedisServer | undefined;
  /** A store for a separate node. In Redis all nodes share the same world; in memory each has its own. */
  open(options?: SubjectOptions): Promise<PresenceStore>;
  stop(): Promise<void>;
}

/** The name of the store, and the function that creates it. */
export type SubjectCase = readonly [name: string, open: () => PresenceSubject | Promise<PresenceSubject>];

export function memorySubject(): PresenceSubject {
  return {
    name: 'memory',
    redis: undefined,
    async open(options = {}) {
      const clock = systemClock();
      const store = new MemoryPresenceStore({
        ...{ clock, time: new ObservedTime(clock), node: options.node ?? 'node-a', feedLength: 1000 },
        ...rulesOf(options),
      });
      await takeLease(store);
      return store;
    },
    stop: () => Promise.resolve(),
  };
}

export async function redisSubject(): Promise<PresenceSubject> {
  const redis = await startRedis();
  const opened: PresenceStore[] = [];
  return {
    name: 'redis',
    redis,
    async open(options = {}) {
      const store = await openRedisStore(redis, options);
      opened.push(store);
      await takeLease(store);
      return store;
    },
    async stop() {
      await Promise.all(opened.map((store) => store.close()));
      await redis.stop();
    },
  };
}

/** A store that has no lease yet. */
export async function openRedisStore(
  redis: RedisServer,
  options: SubjectOptions = {},
): Promise<PresenceStore> {
  const link = new RedisLink({ url: redis.url, timeoutMs: 2000, scripts: loadScripts() });
  await link.connect();
  return new RedisPresenceStore({
    ...{ link, node: options.node ?? 'node-a', prefix: '' },
    ...{ feedLength: 1000, timelineTtlMs: 3_600_000 },
    ...{ deadAfterMs: options.deadAfterMs ?? 3_600_000, now: () => Date.now() },
    ...rulesOf(options),
  });
}

/** Renews until the store knows the node and the node has nothing to restore. */
export async function takeLease(store: PresenceStore): Promise<void> {
  await store.renew({ highestEpoch: 0, restored: true, acknowledged: [] });
}

/** Waits until the store accepts logins: a new Redis waits 2 s for nodes to restore. */
export async function grownUp(store: PresenceStore): Promise<void> {
  await eventually(async () => {
    // Logins are accepted slightly before lingers end.
    const [answer] = await store.claim([nothingLeft(1, -1)]);
    if (answer?.kind === 'young' || answer?.kind === 'no-lease') throw new Error(answer.kind);
  });
}

/** A claim with the values of a user who has just connected, plus the given changes. */
export function claimOf(userId: number, changed: Partial<Claim> & Pick<Claim, 'mode' | 'rev'>): Claim {
  const socket = changed.mode === 'socket' || changed.mode === 'state' || changed.mode === 'restate';
  return {
    ...{
      userId,
      sockets: socket ? 1 : 0,
      rivals: 0,
      socketMs: socket ? 10_000 : 0,
      httpMs: socket ? 0 : 15_000,
    },
    ...{ proofAgeMs: 0, untilMs: socket ? 10_000 : 15_000, epoch: 0, floor: 0, period: 0, loginTime: 0 },
    ...{ username: `玩家${userId}`, ip: '192.0.2.1', cause: '', proofMark: `${changed.rev}` },
    ...{ tokenGroups: '', serviceGroups: '' },
    ...changed,
  };
}

/** A claim that nothing is left. */
export function nothingLeft(userId: number, rev: number, changed: Partial<Claim> = {}): Claim {
  return claimOf(userId, { mode: 'state', rev, sockets: 0, socketMs: 0, httpMs: 0, ...changed });
}

/** The only answer to one claim. */
export async function state(store: PresenceStore, claim: Claim): Promise<ClaimAnswer> {
  const [answer] = await store.claim([claim]);
  if (answer === undefined) throw new Error('no answer');
  return answer;
}

/** Opens and records a period; returns it. */
export async function login(
  store: PresenceStore,
  claim: Claim,
): Promise<Extract<ClaimAnswer, { kind: 'opened' | 'joined' }>> {
  const answer = await state(store, claim);
  if (answer.kind !== 'opened' && answer.kind !== 'joined') throw new Error(`answered ${answer.kind}`);
  if (answer.kind === 'opened') {
    const recorded = await store.record([{ userId: claim.userId, period: answer.period }]);
    if (recorded[0] !== true) throw new Error('not recorded');
  }
  return answer;
}

function rulesOf(options: SubjectOptions): WorldRules {
  return {
    policy: options.policy ?? 'replace',
    maxConnectionsPerUser: options.maxConnectionsPerUser ?? 3,
    maxGroupsPerUser: options.maxGroupsPerUser ?? 3,
    lastSeenTtlMs: options.lastSeenTtlMs ?? DAY_MS,
    // Claims in a test have 10 s by default: a socket is responsive if it proved life within 4 s.
    responsiveLeftMs: options.responsiveLeftMs ?? 6000,
  };
}
