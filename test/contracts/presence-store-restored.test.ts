import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Claim, PresenceStore, RenewAnswer } from '../../src/presence/store/port.ts';
import { eventually } from '../support/ports.ts';
import { claimOf, grownUp, login, openRedisStore, state, takeLease } from '../support/presence-subject.ts';
import { type RedisServer, startRedis } from '../support/services.ts';

let users = 1000;
let nodes = 0;
const freshUser = (): number => ++users;
const freshNode = (): string => `node-${++nodes}`;
const socketOf = (userId: number, rev: number, changed: Partial<Claim> = {}) =>
  claimOf(userId, { mode: 'socket', rev, ...changed });
const logout = (userId: number) => ({ userId, reason: 'logout', epoch: 0, proofAgeMs: -1 }) as const;
const renew = (store: PresenceStore): Promise<RenewAnswer> =>
  store.renew({ highestEpoch: 0, restored: true, acknowledged: [] });

describe('[PR11] a Redis that was restarted or emptied', () => {
  let redis: RedisServer;
  const opened: PresenceStore[] = [];
  beforeAll(async () => {
    redis = await startRedis({ persistence: true });
  });
  afterAll(async () => {
    await Promise.all(opened.map((store) => store.close()));
    await redis?.stop();
  });
  const open = async (deadAfterMs = 3_600_000): Promise<PresenceStore> => {
    const store = await openRedisStore(redis, { node: freshNode(), deadAfterMs });
    opened.push(store);
    await takeLease(store);
    return store;
  };
  /** Makes a call without having restored anything, as a node that comes back does. */
  const asked = (store: PresenceStore): Promise<RenewAnswer> =>
    eventually(() => store.renew({ highestEpoch: 0, restored: false, acknowledged: [] }));

  it('asks each node to restore, accepts no login before that, and keeps period, login time and epoch', async () => {
    const store = await open();
    await grownUp(store);
    const [back, late] = [freshUser(), freshUser()];
    const before = await login(store, socketOf(back, 1));
    await redis.cli('FLUSHALL');
    expect((await asked(store)).restore).toBe(true);
    expect(await state(store, socketOf(late, 2))).toEqual({ kind: 'young' });
    expect((await store.end([logout(back)]))[0]).toEqual({ kind: 'young' });
    const { period, loginTime, epoch } = before;
    const restated = claimOf(back, { mode: 'restate', rev: 3, period, loginTime, epoch });
    expect(await state(store, restated)).toEqual({ kind: 'joined', period, loginTime, epoch });
    expect((await renew(store)).restore).toBe(false);
    expect((await store.read([back]))[0]).toMatchObject({ status: 'online', period, loginTime, epoch });
    expect(await redis.cli('SISMEMBER', 'server:online:players', `${back}`)).toBe('1');
    expect(await redis.cli('HGET', `player:online:${back}`, 'loginTime')).toBe(String(loginTime));
    await grownUp(store);
    expect(await state(store, socketOf(late, 4))).toMatchObject({ kind: 'opened' });
  });

  it('does not count a restore if its world was lost before the node reported it', async () => {
    const store = await open();
    await redis.cli('FLUSHALL');
    expect((await asked(store)).restore).toBe(true);
    await redis.cli('FLUSHALL');
    expect((await renew(store)).restore).toBe(true);
    expect((await renew(store)).restore).toBe(false);
  });

  it('opens nothing for a node that has not restored yet, even when other nodes may open', async () => {
    const [late, peer] = [await open(), await open()];
    await redis.cli('FLUSHALL');
    expect((await asked(late)).restore).toBe(true);
    await asked(peer);
    await takeLease(peer);
    await grownUp(peer);
    const user = freshUser();
    expect(await state(late, socketOf(user, 1))).toEqual({ kind: 'young' });
    expect((await renew(late)).restore).toBe(false);
    expect(await state(late, socketOf(user, 2))).toMatchObject({ kind: 'opened' });
  });

  it('a restart ends all leases; saved holds stay, and nodes that do not return are reaped', async () => {
    const [survivor, lost] = [await open(1500), await open()];
    await grownUp(survivor);
    const [kept, orphan] = [freshUser(), freshUser()];
    const before = await login(survivor, socketOf(kept, 1));
    await login(lost, socketOf(orphan, 1, { socketMs: 500, untilMs: 500 }));
    await lost.close();
    await redis.cli('SAVE').catch(() => undefined);
    await redis.cli('CONFIG', 'SET', 'appendfsync', 'always');
    await redis.cli('SET', 'fsync', 'now');
    await redis.restart();
    expect((await asked(survivor)).restore).toBe(true);
    expect(await state(survivor, socketOf(freshUser(), 2))).toEqual({ kind: 'young' });
    const { period, loginTime, epoch } = before;
    const restated = claimOf(kept, { mode: 'restate', rev: 3, period, loginTime, epoch });
    expect(await state(survivor, restated)).toMatchObject({ kind: 'joined', period, epoch });
    await renew(survivor);
    expect((await survivor.read([orphan]))[0]?.status).toBe('online');
    const ended: number[] = [];
    await eventually(
      async () => {
        await renew(survivor);
        ended.push(...(await survivor.reap(500)).ended.map(({ userId }) => userId));
        expect(ended).toContain(orphan);
      },
      { timeoutMs: 8000, intervalMs: 100 },
    );
    expect(ended).not.toContain(kept);
    expect((await survivor.read([orphan]))[0]?.status).toBe('offline');
    expect((await survivor.takeDuties(100)).filter(({ userId }) => userId === orphan)).toHaveLength(1);
  });
});
