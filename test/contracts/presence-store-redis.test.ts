import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Claim, PresenceStore, RenewAnswer } from '../../src/presence/store/port.ts';
import { eventually } from '../support/ports.ts';
import {
  claimOf,
  grownUp,
  login,
  nothingLeft,
  openRedisStore,
  type PresenceSubject,
  redisSubject,
  type SubjectOptions,
  state,
} from '../support/presence-subject.ts';
import type { RedisServer } from '../support/services.ts';

let users = 1000;
let nodes = 0;
const freshUser = (): number => ++users;
const freshNode = (): string => `node-${++nodes}`;
const socketOf = (userId: number, rev: number, changed: Partial<Claim> = {}) =>
  claimOf(userId, { mode: 'socket', rev, ...changed });
const logout = (userId: number, epoch = 0) => ({ userId, reason: 'logout', epoch, proofAgeMs: -1 }) as const;
const renew = (store: PresenceStore, acknowledged: RenewAnswer['losses'] = []): Promise<RenewAnswer> =>
  store.renew({ highestEpoch: 0, restored: true, acknowledged });

/** Throws if the machine was too slow: the answer holds for 100 ms. */
async function refusedAt3900(a: PresenceStore, b: PresenceStore): Promise<number> {
  const user = freshUser();
  await login(a, socketOf(user, 1));
  const began = performance.now();
  await state(a, claimOf(user, { mode: 'state', rev: 2, socketMs: 6100, httpMs: 0 }));
  const answer = await state(b, socketOf(user, 1));
  if (performance.now() - began > 90) throw new Error('the machine was too slow for the last 100 ms');
  expect(answer).toEqual({ kind: 'refused', code: 'session-exists' });
  return user;
}

describe('the presence store in Redis', () => {
  let subject: PresenceSubject;
  let redis: RedisServer;
  const open = (options: SubjectOptions = {}): Promise<PresenceStore> =>
    subject.open({ node: freshNode(), ...options });
  const hash = async (user: number): Promise<Record<string, string>> => {
    const lines = (await redis.cli('HGETALL', `player:online:${user}`)).split('\n');
    return Object.fromEntries(
      lines.flatMap((name, at) => (at % 2 === 0 ? [[name, lines[at + 1] ?? '']] : [])),
    );
  };
  const inSet = async (user: number) =>
    (await redis.cli('SISMEMBER', 'server:online:players', `${user}`)) === '1';
  beforeAll(async () => {
    subject = await redisSubject();
    if (subject.redis === undefined) throw new Error('no Redis');
    redis = subject.redis;
    await grownUp(await open());
  });
  afterAll(() => subject?.stop());

  describe('the keys that other programs read (contract section 5)', () => {
    let store: PresenceStore;
    let user: number;
    beforeEach(async () => {
      store = await open();
      user = freshUser();
    });
    const TTL_TOLERANCE_MS = 5000;
    const ttl = async () => Number(await redis.cli('PTTL', `player:online:${user}`));

    it('are exactly these while a user is online', async () => {
      const { loginTime } = await login(store, socketOf(user, 1));
      const entry = await hash(user);
      expect(entry).toEqual({
        ...{
          playerId: `${user}`,
          loginTime: `${loginTime}`,
          lastHeartbeat: expect.stringMatching(/^\d{13}$/),
        },
        ...{ ip: '192.0.2.1', status: 'online' },
      });
      expect(await inSet(user)).toBe(true);
      expect(Math.abs((await ttl()) - 60_000)).toBeLessThan(TTL_TOLERANCE_MS);
    });

    it('accept a name with half a character, which Redis cannot store as text', async () => {
      const other = freshUser();
      const answers = await store.claim([socketOf(user, 1, { username: 'a\ud83d' }), socketOf(other, 2)]);
      expect(answers.map(({ kind }) => kind)).toEqual(['opened', 'opened']);
      expect(await redis.cli('HGET', `lingxi:u:${user}`, 'name')).toBe('a\ufffd');
    });

    it('show no user whose period is not recorded', async () => {
      await state(store, socketOf(user, 1));
      expect(await redis.cli('EXISTS', `player:online:${user}`)).toBe('0');
      expect(await inSet(user)).toBe(false);
    });

    it('change to offline and leave the set in one step, with the logout time', async () => {
      await login(store, socketOf(user, 1));
      const [answer] = await store.end([logout(user)]);
      if (answer?.kind !== 'ended') throw new Error(answer?.kind);
      expect(await hash(user)).toMatchObject({ status: 'offline', logoutTime: `${answer.end.logoutTime}` });
      expect(await inSet(user)).toBe(false);
      expect(Math.abs((await ttl()) - 86_400_000)).toBeLessThan(TTL_TOLERANCE_MS);
      await login(store, socketOf(user, 2));
      expect(await hash(user)).not.toHaveProperty('logoutTime');
    });

    it('are deleted at logout if the last-seen time is 0', async () => {
      const forgetful = await open({ lastSeenTtlMs: 0 });
      await login(forgetful, socketOf(user, 1));
      await forgetful.end([logout(user)]);
      expect(await redis.cli('EXISTS', `player:online:${user}`)).toBe('0');
    });

    it('are renewed by a claim, and written completely if they are missing', async () => {
      await login(store, socketOf(user, 1, { proofAgeMs: 3000 }));
      const before = await hash(user);
      await redis.cli('PEXPIRE', `player:online:${user}`, '9000');
      await state(store, claimOf(user, { mode: 'state', rev: 2 }));
      expect(await ttl()).toBeGreaterThan(50_000);
      const renewed = await hash(user);
      expect(Number(renewed['lastHeartbeat'])).toBeGreaterThan(Number(before['lastHeartbeat']));
      await redis.cli('DEL', `player:online:${user}`);
      await state(store, claimOf(user, { mode: 'state', rev: 3 }));
      expect(await hash(user)).toEqual({ ...renewed, lastHeartbeat: expect.any(String) });
      expect(await ttl()).toBeGreaterThan(50_000);
    });

    it.each([
      ['a statement', async () => void (await state(store, claimOf(user, { mode: 'state', rev: 2 })))],
      ['a joining login', async () => void (await login(store, socketOf(user, 2)))],
    ])('are repaired completely by %s if another type was there', async (_name, act) => {
      await login(store, socketOf(user, 1));
      const before = await hash(user);
      await redis.cli('DEL', `player:online:${user}`);
      await redis.cli('SET', `player:online:${user}`, 'of another program');
      await act();
      expect(Object.keys(await hash(user)).sort()).toEqual(Object.keys(before).sort());
      expect(await ttl()).toBeGreaterThan(50_000);
    });

    it('are repaired by a login and by a logout too', async () => {
      await redis.cli('RPUSH', `player:online:${user}`, 'of another program');
      await login(store, socketOf(user, 1));
      expect((await hash(user))['status']).toBe('online');
      await redis.cli('DEL', `player:online:${user}`);
      await redis.cli('SADD', `player:online:${user}`, 'of another program');
      expect((await store.end([logout(user)]))[0]?.kind).toBe('ended');
      expect((await hash(user))['status']).toBe('offline');
    });

    it('a key of another type in the place of the set stops no renewal, logout or settlement', async () => {
      await login(store, socketOf(user, 1));
      await redis.cli('RENAME', 'server:online:players', 'aside');
      await redis.cli('SET', 'server:online:players', 'of another program');
      expect((await renew(store)).restore).toBe(false);
      expect((await store.end([logout(user)]))[0]?.kind).toBe('ended');
      expect((await store.takeDuties(1000)).filter(({ userId }) => userId === user)).toHaveLength(1);
      await login(store, socketOf(user, 2));
      expect(await inSet(user)).toBe(true);
    });

    it('leave no record behind for a withdrawn opening, and one with an expiry if the user had one before', async () => {
      const answer = await state(store, socketOf(user, 1));
      const withdraw = async (period: number) => store.withdraw([{ userId: user, period }]);
      await withdraw(answer.kind === 'opened' ? answer.period : 0);
      expect(await redis.cli('EXISTS', `lingxi:u:${user}`)).toBe('0');
      await login(store, socketOf(user, 2));
      await store.end([logout(user)]);
      await store.ackDuties((await store.takeDuties(1000)).filter(({ userId }) => userId === user));
      expect(Number(await redis.cli('PTTL', `lingxi:u:${user}`))).toBeGreaterThan(0);
      const again = await state(store, socketOf(user, 3));
      expect(await redis.cli('PTTL', `lingxi:u:${user}`)).toBe('-1');
      await withdraw(again.kind === 'opened' ? again.period : 0);
      expect(Number(await redis.cli('PTTL', `lingxi:u:${user}`))).toBeGreaterThan(0);
    });
  });

  describe('several nodes', () => {
    it('[PR4] replace takes the hold of the other node, which gets the loss until it acknowledges it; its claims are void', async () => {
      const [a, b] = [await open(), await open()];
      const user = freshUser();
      const first = await login(a, socketOf(user, 7));
      const second = await login(b, socketOf(user, 1));
      expect(second).toMatchObject({ kind: 'joined', period: first.period, loginTime: first.loginTime });
      expect(second.epoch).toBeGreaterThan(first.epoch);
      for (let look = 0; look < 2; look += 1)
        expect((await renew(a)).losses).toEqual([{ userId: user, rev: 7, reason: 'replaced' }]);
      expect(await state(a, nothingLeft(user, 7))).toEqual({ kind: 'lost' });
      expect(await state(a, nothingLeft(user, 6))).toEqual({ kind: 'lost' });
      expect(await state(a, nothingLeft(user, 8))).toEqual({ kind: 'gone' });
      const { losses } = await renew(a);
      expect((await renew(a, losses)).losses).toEqual([]);
      expect((await b.read([user]))[0]).toMatchObject({ status: 'online', sockets: 1, epoch: second.epoch });
      expect(await state(b, nothingLeft(user, 2))).toMatchObject({ kind: 'ended' });
    });

    it('[PR4] an acknowledgement of an older loss does not hide a newer one', async () => {
      const [a, b] = [await open(), await open()];
      const user = freshUser();
      await login(a, socketOf(user, 1));
      await login(b, socketOf(user, 1));
      const { losses } = await renew(a);
      await login(a, socketOf(user, 5));
      await login(b, socketOf(user, 2, {}));
      expect((await renew(a, losses)).losses).toEqual([{ userId: user, rev: 5, reason: 'replaced' }]);
    });

    it('[PR1] a take-over keeps the HTTP proof: the user is online until it expires', async () => {
      const [a, b] = [await open(), await open()];
      const user = freshUser();
      await login(a, claimOf(user, { mode: 'http', rev: 1 }));
      await login(b, socketOf(user, 1));
      expect(await state(b, nothingLeft(user, 2))).toEqual({ kind: 'released' });
      expect((await b.read([user]))[0]?.status).toBe('online');
      const last = await state(a, nothingLeft(user, 2));
      expect(last.kind).toBe('ended');
    });

    it('[PR4] reject refuses while a living node has a live socket, and takes nothing from it', async () => {
      const [a, b] = [await open({ policy: 'reject' }), await open({ policy: 'reject' })];
      const user = freshUser();
      await login(a, socketOf(user, 1));
      expect(await state(b, socketOf(user, 1))).toEqual({ kind: 'refused', code: 'session-exists' });
      await state(a, nothingLeft(user, 2, { socketMs: 9000 }));
      expect(await state(b, socketOf(user, 2))).toMatchObject({ kind: 'joined' });
      expect((await renew(a)).losses).toEqual([]);
    });

    it("[PR4] reject accepts the newcomer if the other node's socket is silent, and takes that node's hold", async () => {
      const [a, b] = [await open({ policy: 'reject' }), await open({ policy: 'reject' })];
      // 3.9 s, then 4.1 s, after its newest proof of life. A proof by HTTP does not count for the socket.
      const user = await eventually(() => refusedAt3900(a, b));
      await state(a, claimOf(user, { mode: 'state', rev: 3, socketMs: 5900, httpMs: 14_900 }));
      expect(await state(b, socketOf(user, 2))).toMatchObject({ kind: 'joined' });
      expect((await renew(a)).losses).toEqual([{ userId: user, rev: 3, reason: 'replaced' }]);
      expect((await b.read([user]))[0]?.sockets).toBe(1);
    });

    it('[PR4] replace counts take-overs of responsive sockets on other nodes, but not of silent ones', async () => {
      const [a, b] = [await open(), await open()];
      const dance = async (user: number, socketMs: number): Promise<readonly string[]> => {
        const kinds: string[] = [];
        let rev = 1;
        await login(a, socketOf(user, rev));
        while (kinds.length < 12) {
          for (const [from, to] of [
            [a, b],
            [b, a],
          ] as const) {
            rev += 2;
            await state(from, claimOf(user, { mode: 'state', rev: rev - 1, socketMs, httpMs: 14_900 }));
            kinds.push((await state(to, socketOf(user, rev))).kind);
          }
        }
        return kinds;
      };
      expect(new Set(await dance(freshUser(), 5900))).toEqual(new Set(['joined']));
      expect((await dance(freshUser(), 9000)).slice(0, 6)).toEqual([
        ...Array.from({ length: 5 }, () => 'joined'),
        'refused',
      ]);
    });

    it('[PR4] multi counts the sockets of all nodes, and the last one to close ends the period', async () => {
      const multi = { policy: 'multi', maxConnectionsPerUser: 3 } as const;
      const [a, b] = [await open(multi), await open(multi)];
      const user = freshUser();
      await login(a, socketOf(user, 1));
      await login(a, socketOf(user, 2, { rivals: 1, sockets: 2 }));
      await login(b, socketOf(user, 1));
      expect(await state(b, socketOf(user, 2, { rivals: 1, sockets: 2 }))).toMatchObject({
        code: 'session-exists',
      });
      expect((await a.read([user]))[0]).toMatchObject({ sockets: 3, socketsElsewhere: 1 });
      expect((await b.read([user]))[0]).toMatchObject({ sockets: 3, socketsElsewhere: 2 });
      expect(await state(a, nothingLeft(user, 3))).toEqual({ kind: 'released' });
      expect(await state(b, nothingLeft(user, 3))).toMatchObject({ kind: 'ended' });
    });

    it('[PR6] a logout on any node reaches all nodes, and does not make later claims void', async () => {
      const [a, b, c] = [await open({ policy: 'multi' }), await open({ policy: 'multi' }), await open()];
      const user = freshUser();
      await login(a, socketOf(user, 1));
      await login(b, socketOf(user, 1));
      expect((await c.end([logout(user)]))[0]?.kind).toBe('ended');
      for (const store of [a, b])
        expect((await renew(store)).losses).toEqual([{ userId: user, rev: 1, reason: 'logout' }]);
      expect(await login(a, socketOf(user, 2))).toMatchObject({ kind: 'opened' });
      expect((await a.takeDuties(1000)).filter(({ userId }) => userId === user)).toHaveLength(1);
    });

    it('a node waits for a period that another node is opening', async () => {
      const [a, b] = [await open(), await open()];
      const user = freshUser();
      const first = await state(a, socketOf(user, 1));
      expect(await state(b, socketOf(user, 1))).toEqual({ kind: 'young' });
      await a.record([{ userId: user, period: first.kind === 'opened' ? first.period : 0 }]);
      expect(await state(b, socketOf(user, 1))).toMatchObject({ kind: 'joined' });
    });

    it('the store gives another node a duty that its node took and did not settle', async () => {
      const [a, b] = [await open(), await open()];
      const user = freshUser();
      await login(a, socketOf(user, 1));
      await a.end([logout(user)]);
      const [taken] = (await a.takeDuties(1000)).filter(({ userId }) => userId === user);
      const mine = async () => (await b.takeDuties(1000)).filter(({ userId }) => userId === user);
      expect(await mine()).toEqual([]);
      await eventually(async () => expect(await mine()).toEqual([taken]), {
        timeoutMs: 15_000,
        intervalMs: 250,
      });
    });

    it('without a lease nothing happens', async () => {
      const stranger = await openRedisStore(redis, { node: freshNode() });
      const user = freshUser();
      try {
        expect(await state(stranger, socketOf(user, 1))).toEqual({ kind: 'no-lease' });
        expect(await stranger.end([logout(user)])).toEqual([{ kind: 'no-lease' }]);
        expect(await stranger.record([{ userId: user, period: 1 }])).toEqual([false]);
        expect(await stranger.reap(10)).toEqual({ ended: [], orphans: 0 });
        const first = await stranger.renew({ highestEpoch: 0, restored: false, acknowledged: [] });
        expect(first.restore).toBe(true);
        expect((await renew(stranger)).restore).toBe(false);
        expect(await state(stranger, socketOf(user, 1))).toMatchObject({ kind: 'opened' });
      } finally {
        await stranger.close();
      }
    });
  });
});
