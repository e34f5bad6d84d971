import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { StoredChange } from '../../src/presence/api.ts';
import type { PresenceStore } from '../../src/presence/store/port.ts';
import { claimOf, grownUp, login, nothingLeft, redisSubject, state } from '../support/presence-subject.ts';
import type { RedisServer } from '../support/services.ts';

/** Redis 7 takes 4,736 bytes for a stream with one entry. */
const MOST_BYTES_OF_ONE_ENTRY = 256;
const MOST_BYTES_OF_100_ENTRIES = 8_192;
const DAY_MS = 86_400_000;
let users = 0;

describe("a user's timeline in Redis", () => {
  let store: PresenceStore;
  let redis: RedisServer;
  let stop: () => Promise<void>;
  let user: number;
  let rev = 1;
  beforeAll(async () => {
    const subject = await redisSubject();
    if (subject.redis === undefined) throw new Error('no Redis');
    ({ redis } = subject);
    stop = () => subject.stop();
    store = await subject.open({ policy: 'multi', maxConnectionsPerUser: 1_000 });
    await grownUp(store);
  });
  afterAll(() => stop?.());
  beforeEach(() => {
    users += 1;
    user = users;
  });

  const connect = () => login(store, claimOf(user, { mode: 'socket', rev: ++rev }));
  const connectTimes = async (times: number): Promise<void> => {
    for (let time = 0; time < times; time += 1) await connect();
  };
  const page = async (limit: number, cursor?: string): Promise<readonly StoredChange[]> =>
    (await store.timeline(user, { cursor, limit })) ?? [];
  const bytes = async (key: string): Promise<number> => Number(await redis.cli('MEMORY', 'USAGE', key));
  const anOldEntry = (id: string, at: number): Promise<string> =>
    redis.cli(
      ...['XADD', `lingxi:t:${user}`, id, 'a', `${at}`, 't', 'online', 'c', 'login'],
      ...['n', 'old-node', 'e', `${at}`],
    );

  it('[PR12] takes at most 256 bytes with one entry, and at most 8 KB with 100', async () => {
    await connect();
    expect(await bytes(`lingxi:tl:${user}`)).toBeLessThanOrEqual(MOST_BYTES_OF_ONE_ENTRY);
    await connectTimes(120);
    expect(await redis.cli('LLEN', `lingxi:tl:${user}`)).toBe('100');
    expect(await bytes(`lingxi:tl:${user}`)).toBeLessThanOrEqual(MOST_BYTES_OF_100_ENTRIES);
    expect(await page(1_000)).toHaveLength(100);
  });

  it('[PR12] is read page by page, newest first, without a gap or a repetition while entries are added', async () => {
    await connectTimes(20);
    const before = (await page(100)).map(({ cursor }) => cursor);
    const paged: string[] = [];
    for (let part = await page(3); part.length > 0; part = await page(3, paged.at(-1))) {
      paged.push(...part.map(({ cursor }) => cursor));
      await connect();
    }
    expect(paged).toEqual(before);
    expect(new Set(paged).size).toBe(20);
    const times = (await page(100)).map(({ at }) => at);
    expect(times).toEqual([...times].sort((left, right) => right - left));
  });

  it('[PR12] has the times, the epoch and the node of each change', async () => {
    const { loginTime, epoch } = await connect();
    await state(store, nothingLeft(user, ++rev, { untilMs: 0 }));
    const [ended, begun] = await page(10);
    const same = { userId: user, node: 'node-a', epoch };
    expect(begun).toMatchObject({ ...same, event: 'online', cause: 'login', at: loginTime });
    expect(ended).toMatchObject({ ...same, event: 'offline', cause: 'timeout' });
    expect(ended?.at).toBeGreaterThanOrEqual(loginTime);
  });

  it('shows the entries of an earlier version after those of this version, on one walk through the pages', async () => {
    const yesterday = Date.now() - DAY_MS;
    for (const id of [`${yesterday}-0`, `${yesterday}-1`, `${yesterday + 1}-0`])
      await anOldEntry(id, yesterday);
    await connectTimes(3);
    const whole = await page(100);
    expect(whole.map(({ node }) => node)).toEqual([...Array(3).fill('node-a'), ...Array(3).fill('old-node')]);
    for (const size of [1, 2, 4]) {
      const paged: StoredChange[] = [];
      for (let part = await page(size); part.length > 0; part = await page(size, paged.at(-1)?.cursor))
        paged.push(...part);
      expect(paged).toEqual(whole);
    }
    expect(await redis.cli('XLEN', `lingxi:t:${user}`)).toBe('3');
  });

  it('contains the entries of nodes of an earlier version during a rolling deploy', async () => {
    await connect();
    const [own] = await page(1);
    const at = Number(own?.cursor.split('-')[0]);
    await anOldEntry(`${at - 1}-0`, at - 1);
    await anOldEntry(`${at}-5`, at);
    await anOldEntry(`${at + 1}-0`, at + 1);
    const order = ['old-node', 'node-a', 'old-node', 'old-node'];
    expect((await page(10)).map(({ node }) => node)).toEqual(order);
    const paged: string[] = [];
    let cursor: string | undefined;
    for (let part = await page(1); part.length > 0; part = await page(1, cursor)) {
      paged.push(...part.map(({ node }) => node));
      cursor = part.at(-1)?.cursor;
    }
    expect(paged).toEqual(order);
  });

  it.each(['t', 'tl'])('[PR13] is read and written if lingxi:%s:<id> has another type', async (kind) => {
    await redis.cli('SET', `lingxi:${kind}:${user}`, 'foreign');
    expect(await page(10)).toEqual([]);
    await connect();
    expect(await page(10)).toMatchObject([{ event: 'online' }]);
  });

  it('[PR13] ignores entries of a foreign program', async () => {
    await connect();
    const key = `lingxi:tl:${user}`;
    for (const text of ['', 'x', '|||||', '1|2|online|login|n|0', `${2 ** 53}|0|online|login|n|0`])
      await redis.cli('LPUSH', key, text);
    await connect();
    expect((await page(10)).map(({ event }) => event)).toEqual(['connected', 'online']);
  });

  it('[PR12] the ids rise even if the newest entry is later than the clock', async () => {
    const later = Date.now() + DAY_MS;
    await redis.cli('LPUSH', `lingxi:tl:${user}`, `${later}|0|offline|logout|n|0`);
    await connectTimes(2);
    const ids = (await page(10)).map(({ cursor }) => Number(cursor.split('-')[0]));
    expect(ids).toEqual([later + 2, later + 1, later]);
  });

  it('the record of a user has no empty field', async () => {
    await connect();
    const flat = (await redis.cli('HGETALL', `lingxi:u:${user}`)).split('\n');
    const values = flat.filter((_, index) => index % 2 === 1);
    expect(values.filter((value) => value === '' || value === '0')).toEqual([]);
  });
});
