import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Claim, PresenceStore } from '../../src/presence/store/port.ts';
import { eventually, sleep } from '../support/ports.ts';
import {
  claimOf,
  grownUp,
  login,
  type PresenceSubject,
  redisSubject,
  type SubjectOptions,
  state,
  takeLease,
} from '../support/presence-subject.ts';
import type { RedisServer } from '../support/services.ts';

/** Much longer than a busy machine may stop this process between two calls. */
const DEAD_AFTER_MS = 2_500;
/** Proofs of life of users of a dead node end this long after the login. */
const SHORT_MS = 3_000;
const LONG_MS = 6_000;

let users = 1000;
let nodes = 0;
const freshUser = (): number => ++users;
const freshNode = (): string => `node-${++nodes}`;
const socketOf = (userId: number, rev: number, changed: Partial<Claim> = {}) =>
  claimOf(userId, { mode: 'socket', rev, ...changed });
const renew = (store: PresenceStore) => store.renew({ highestEpoch: 0, restored: true, acknowledged: [] });

describe('[PR8] dead nodes in Redis', () => {
  let subject: PresenceSubject;
  let redis: RedisServer;
  let peer: PresenceStore;
  const open = (options: SubjectOptions = {}): Promise<PresenceStore> =>
    subject.open({ node: freshNode(), deadAfterMs: DEAD_AFTER_MS, ...options });
  beforeAll(async () => {
    subject = await redisSubject();
    if (subject.redis === undefined) throw new Error('no Redis');
    redis = subject.redis;
    peer = await open();
    await grownUp(peer);
  });
  afterAll(() => subject?.stop());

  it('[PR8] a reap returns the time at which the next node is dead, and a reap at that time finds it', async () => {
    const [dead, user] = [await open(), freshUser()];
    await login(dead, socketOf(user, 1, { socketMs: 300, untilMs: 300 }));
    await renew(peer);
    const { nextDeathMs = 0 } = await peer.reap(500);
    expect(nextDeathMs).toBeGreaterThan(0);
    expect(nextDeathMs).toBeLessThanOrEqual(DEAD_AFTER_MS);
    expect((await peer.read([user]))[0]?.status).toBe('online');
    // In parts: Redis observes no more than some 2 s between two calls.
    const at = performance.now() + nextDeathMs;
    while (performance.now() < at) {
      await sleep(Math.min(500, at - performance.now()));
      await renew(peer);
    }
    expect((await peer.reap(500)).ended.map(({ userId }) => userId)).toContain(user);
  });

  it('[DL7] a node forgets how many frames it sent to a dead node', async () => {
    const [from, dead, living] = [freshNode(), freshNode(), freshNode()];
    const [sender, , other] = [
      await open({ node: from }),
      await open({ node: dead }),
      await open({ node: living }),
    ];
    const numbers = (): Promise<string> => redis.cli('HGETALL', `lingxi:sent:${from}`);
    await redis.cli('HSET', `lingxi:sent:${from}`, dead, '5', living, '6');
    await Promise.all([sender, other, peer].map(renew));
    const { nextDeathMs } = await sender.reap(500);
    expect(nextDeathMs).toBeGreaterThan(0);
    expect(await numbers()).toBe(`${dead}\n5\n${living}\n6`);
    await eventually(async () => {
      await Promise.all([sender, other, peer].map(renew));
      await sender.reap(500);
      expect(await numbers()).toBe(`${living}\n6`);
    });
  });

  it('[PR8] a dead node loses its lease at once, and each of its users once, at the deadline', async () => {
    const node = 'node-that-dies';
    const dead = await open({ node });
    const [gone, held, lingering] = [freshUser(), freshUser(), freshUser()];
    const short = { socketMs: SHORT_MS, untilMs: SHORT_MS };
    await login(dead, socketOf(gone, 1, short));
    await login(dead, socketOf(held, 1, short));
    await login(dead, socketOf(lingering, 1, { socketMs: LONG_MS, untilMs: LONG_MS }));
    await login(peer, claimOf(held, { mode: 'http', rev: 1 }));
    const { lastHeartbeat = 0 } = (await peer.read([gone]))[0] ?? {};
    const ended = new Map<number, { logoutTime: number; reason: string }>();
    let orphans = 0;
    const reap = async () => {
      await renew(peer);
      const reaped = await peer.reap(500);
      orphans = reaped.orphans;
      for (const end of reaped.ended) {
        expect(ended.has(end.userId)).toBe(false);
        ended.set(end.userId, end);
      }
    };
    await reap();
    expect(ended.has(gone)).toBe(false);
    await eventually(async () => {
      await reap();
      expect(ended.has(gone)).toBe(true);
    });
    expect(ended.has(lingering)).toBe(false);
    expect(orphans).toBeGreaterThanOrEqual(1);
    await eventually(async () => {
      await reap();
      expect(ended.has(lingering)).toBe(true);
    });
    expect(ended.get(gone)).toMatchObject({ reason: 'node-lost' });
    expect(Math.abs((ended.get(gone)?.logoutTime ?? 0) - lastHeartbeat - SHORT_MS)).toBeLessThanOrEqual(3);
    expect(ended.has(held)).toBe(false);
    expect((await peer.read([held]))[0]).toMatchObject({ status: 'online', sockets: 0 });
    expect(await redis.cli('EXISTS', `lingxi:n:${node}`, `lingxi:lost:${node}`)).toBe('0');
    expect(await redis.cli('HEXISTS', 'lingxi:dead', node)).toBe('0');
    expect(await state(dead, claimOf(gone, { mode: 'state', rev: 2 }))).toEqual({ kind: 'no-lease' });
    await takeLease(dead);
    expect(await state(dead, claimOf(gone, { mode: 'state', rev: 3 }))).toEqual({ kind: 'gone' });
  });
});
