import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/ports.ts';
import {
  enter,
  leaveAll,
  marksOf,
  restoredAfter,
  type StorePair,
  settledPeriod,
  startPair,
  type Visitor,
  waitForReadiness,
} from '../support/store-pair.ts';
import { freshUser } from '../support/stores.ts';

const TIMEOUT_MS = 4_000;
/** By then a node has claimed its holds again, which also repairs overwritten keys. */
const HEALED_MS = 10_000;

const fresh = (count: number): readonly number[] => Array.from({ length: count }, freshUser);

describe('a foreign program writes to our keys', () => {
  let pair: StorePair;
  let visitors: readonly Visitor[];
  /** The users whose records were overwritten. The reconciler finds their former periods. */
  const reopened: number[] = [];
  beforeAll(async () => {
    pair = await startPair({ timeoutMs: TIMEOUT_MS });
    visitors = [...(await enter(pair.bun, fresh(10))), ...(await enter(pair.node, fresh(10)))];
  });
  afterAll(async () => {
    leaveAll(visitors ?? []);
    await pair?.stop();
  });

  const cli = (...args: string[]) => pair.redis.cli(...args);
  const nodeNames = async () => (await cli('HKEYS', 'lingxi:nodes')).split('\n');

  /** A warning of this key since these marks: an earlier test may have written to the same key. */
  const expectTold = (key: string, marks: readonly number[]) =>
    eventually(
      () => {
        const told = pair.both.flatMap((node, index) => node.logged('foreign-value', marks[index]));
        expect(told.filter((line) => line['key'] === key)[0], `no warning of ${key}`).toMatchObject({
          level: 'warn',
        });
      },
      { timeoutMs: 10_000 },
    );

  /** Both nodes serve, every online user is shown as online, and a login and a logout work completely. */
  async function expectInOrder(timeoutMs = HEALED_MS): Promise<void> {
    await restoredAfter(pair.redis, visitors, timeoutMs);
    await waitForReadiness(pair, 200);
    for (const node of pair.both) {
      const user = freshUser();
      expect((await node.login(user)).status).toBe(200);
      const { status, body } = await node.logout(user);
      expect(status).toBe(200);
      expect(await settledPeriod(pair, user)).toMatchObject({
        reason: 'logout',
        logoutAt: body['logoutTime'],
      });
    }
    for (const { user, client, welcome } of visitors) {
      expect(client.socket.readyState).toBe(client.socket.OPEN);
      const rows = await pair.periods(user);
      expect(rows.at(-1), `newest period of ${user}`).toMatchObject({
        period: welcome.period,
        settledAt: null,
      });
    }
  }

  it('[PR1] [PR13] player:online:<id> and server:online:players as strings: all users are shown as online again', async () => {
    const marks = await marksOf(pair);
    await cli('SET', 'server:online:players', 'foreign');
    const user = freshUser();
    const key = `player:online:${user}`;
    await cli('SET', key, 'foreign');
    const [visitor] = await enter(pair.bun, [user]);
    expect(await cli('HGET', key, 'status')).toBe('online');
    await expectTold(key, marks);
    await cli('SET', key, 'foreign');
    await eventually(async () => expect(await cli('HGET', key, 'status')).toBe('online'), {
      timeoutMs: HEALED_MS,
    });
    await cli('SET', key, 'foreign');
    expect((await pair.node.logout(user)).status).toBe(200);
    expect(await cli('HGET', key, 'status')).toBe('offline');
    await settledPeriod(pair, user);
    expect((await visitor?.client.closed)?.code).toBe(4000);
    await restoredAfter(pair.redis, visitors, HEALED_MS);
    await expectTold('server:online:players', marks);
    await cli('DEL', 'server:online:players');
    await expectInOrder();
  });

  it('[PR13] lingxi:u:<id> overwritten: the user stays online, and others are not affected', async () => {
    const writes: readonly ((key: string) => readonly (readonly string[])[])[] = [
      (key) => [['SET', key, 'foreign']],
      (key) => [['HDEL', key, 'per', 'login']],
      (key) => [
        ['HSET', key, 'per', 'x', 'login', '', 'epoch', '1e999', 'rec', 'x', 'proof', '-', 'till', 'nan'],
        ['HSET', key, 'last', 'x|y', 'un', 'x', 'block', 'x', 'tk', ';x;', 'h:nobody', 'x'],
      ],
      (key) => [['HSET', key, 'h:nobody', '|||', 'last', '', 'foreign', '1']],
    ];
    const online = await enter(pair.node, fresh(writes.length));
    const offline = fresh(writes.length);
    const marks = await marksOf(pair);
    for (const [index, write] of writes.entries()) {
      for (const user of [online[index]?.user, offline[index]]) {
        for (const command of write(`lingxi:u:${user}`)) await cli(...command);
      }
    }
    await restoredAfter(pair.redis, online, HEALED_MS);
    for (const { user } of online) {
      await eventually(async () => {
        expect(await pair.bun.player(user), `user ${user}`).toMatchObject({
          status: 'online',
          connections: 1,
        });
      });
      await expectTold(`lingxi:u:${user}`, marks);
    }
    const users = [...online.map(({ user }) => user), ...offline];
    for (const user of users) {
      expect((await pair.bun.login(user)).status, `login of ${user}`).toBe(200);
      expect((await pair.bun.logout(user)).status, `logout of ${user}`).toBe(200);
    }
    reopened.push(...users);
    for (const { client } of online) expect((await client.closed).code).toBe(4000);
    await expectInOrder();
  });

  it('[ST1] [ST7] foreign entries among the duties: kept as dead letters or dropped with a warning; the others settle', async () => {
    const marks = await marksOf(pair);
    await cli('XADD', 'lingxi:duties', '*', 'foreign', '1');
    await cli('XADD', 'lingxi:duties', '*', 'd', 'x|1.5||nan|-|whim|');
    await cli('XADD', 'lingxi:duties', '*', 'd', '7|1|1|99999999999999999999|1|logout|n');
    await expectInOrder();
    await eventually(async () => expect(await cli('XLEN', 'lingxi:duties')).toBe('0'), { timeoutMs: 12_000 });
    await eventually(() => {
      const told = pair.both.flatMap((node, index) => [
        ...node.logged('foreign-value', marks[index]).filter(({ key }) => key === 'lingxi:duties'),
        ...node.logged('settlement-set-aside', marks[index]),
      ]);
      expect(told).toHaveLength(3);
    });
    expect(await pair.periods(7)).not.toContainEqual(expect.objectContaining({ period: 1 }));
  });

  it('[PR11] [PR13] each key of the protocol as a string: repaired, nobody logged out', async () => {
    const [name = ''] = await nodeNames();
    const keys = [
      ...['world', 'nodes', 'dead', 'duties', 'feed', 'online', 'aside'],
      ...[`n:${name}`, `lost:${name}`, `t:${visitors[0]?.user}`, `tl:${visitors[0]?.user}`],
    ].map((key) => `lingxi:${key}`);
    const failures: string[] = [];
    for (const key of keys) {
      const marks = await marksOf(pair);
      await cli('SET', key, 'foreign');
      try {
        await expectInOrder();
        if (!/:tl?:/.test(key) && !key.endsWith(':aside')) await expectTold(key, marks);
      } catch (error) {
        failures.push(`${key}: ${error instanceof Error ? error.message.slice(0, 200) : String(error)}`);
        await cli('DEL', key);
        await expectInOrder(10_000).catch(() => undefined);
      }
    }
    expect(failures).toEqual([]);
  });

  it('[PR8] [PR13] garbage in the world and among the nodes: repaired, nobody logged out', async () => {
    const marks = await marksOf(pair);
    await cli('HSET', 'lingxi:world', 'clock', 'x', 'reading', '', 'high', 'x', 'start', 'x');
    await expectInOrder();
    await expectTold('lingxi:world', marks);
    for (const name of await nodeNames()) await cli('HSET', 'lingxi:nodes', name, 'x');
    await cli('HSET', 'lingxi:nodes', 'stranger', '|||');
    await cli('HSET', 'lingxi:dead', 'stranger', 'x');
    await expectInOrder();
    await expectTold('lingxi:nodes', marks);
  });

  it('[ST4] a period without a record is settled within 17 s', async () => {
    expect(reopened).not.toEqual([]);
    for (const user of reopened) {
      await eventually(
        async () => {
          const rows = await pair.periods(user);
          expect(rows.length).toBeGreaterThanOrEqual(1);
          expect(rows.filter(({ settledAt }) => settledAt === null)).toEqual([]);
        },
        { timeoutMs: 30_000, intervalMs: 100 },
      );
    }
  });
});
