import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RedisPresenceStore } from '../../src/presence/store/redis/store.ts';
import { RedisLink } from '../../src/redis/link.ts';
import { claimOf, login, nothingLeft, state, takeLease } from '../support/presence-subject.ts';
import { type RedisServer, startRedis } from '../support/services.ts';
import {
  bringBack,
  deadlines,
  dump,
  expireDue,
  keepCopy,
  replaced,
  type ScriptMutation,
  setTime,
  timedScripts,
  wipe,
} from '../support/timed-scripts.ts';

const NOW = 1_000_000_000_000;
const TTL_MS = 5000;

describe('the shipped scripts on simulated time', () => {
  let redis: RedisServer;
  let link: RedisLink;
  const links: RedisLink[] = [];

  beforeAll(async () => {
    redis = await startRedis();
    link = await openLink();
  });
  afterAll(async () => {
    await Promise.all(links.map((each) => each.close()));
    await redis?.stop();
  });
  beforeEach(async () => {
    await wipe(link);
    await setTime(link, NOW);
  });

  async function openLink(mutation?: ScriptMutation): Promise<RedisLink> {
    const opened = new RedisLink({ url: redis.url, timeoutMs: 5000, scripts: timedScripts(mutation) });
    await opened.connect();
    links.push(opened);
    return opened;
  }

  function storeOn(on: RedisLink): RedisPresenceStore {
    return new RedisPresenceStore({
      ...{ link: on, node: 'a', prefix: '', deadAfterMs: 11_000, feedLength: 1000, timelineTtlMs: 60_000 },
      ...{
        policy: 'replace',
        maxConnectionsPerUser: 3,
        maxGroupsPerUser: 3,
        lastSeenTtlMs: TTL_MS,
        responsiveLeftMs: 6000,
      },
      now: () => NOW,
    });
  }

  /** A world in which lingers may end. */
  async function grownStore(): Promise<RedisPresenceStore> {
    const store = storeOn(link);
    await takeLease(store);
    for (const passed of [1000, 2000, 2500]) {
      await setTime(link, NOW + passed);
      await takeLease(store);
    }
    return store;
  }

  it('[PR11] the young window ends by the time of the test alone', async () => {
    const store = storeOn(link);
    await takeLease(store);
    await setTime(link, NOW + 1000);
    await takeLease(store);
    await setTime(link, NOW + 1999);
    expect((await state(store, claimOf(1, { mode: 'socket', rev: 1 }))).kind).toBe('young');
    await setTime(link, NOW + 2000);
    expect(await state(store, claimOf(1, { mode: 'socket', rev: 2 }))).toMatchObject({
      ...{ kind: 'opened', period: NOW + 2000, loginTime: NOW + 2000 },
    });
  });

  it('a key has its simulated expiry, and expires by the time of the test alone', async () => {
    const store = await grownStore();
    await login(store, claimOf(1, { mode: 'socket', rev: 1 }));
    expect(Object.fromEntries(await deadlines(link))).toEqual({
      'lingxi:tl:1': NOW + 2500 + 60_000,
      'player:online:1': NOW + 2500 + 60_000,
    });
    await state(store, nothingLeft(1, 2, { untilMs: 0 }));
    expect((await deadlines(link)).get('player:online:1')).toBe(NOW + 2500 + TTL_MS);
    await setTime(link, NOW + 2500 + TTL_MS);
    expect(await expireDue(link)).toEqual([]);
    await setTime(link, NOW + 2500 + TTL_MS + 1);
    expect(await expireDue(link)).toEqual(['player:online:1']);
  });

  it('a copy restores everything, also a stream with its pending entries', async () => {
    const store = await grownStore();
    await login(store, claimOf(1, { mode: 'socket', rev: 1 }));
    await state(store, nothingLeft(1, 2, { untilMs: 0 }));
    expect(await store.takeDuties(10)).toHaveLength(1);
    const before = await dump(link);
    expect(before.get('lingxi:duties')?.inHand).toEqual([[expect.any(String), 'a']]);
    await keepCopy(link, 1);
    await wipe(link);
    expect((await dump(link)).size).toBe(0);
    await bringBack(link, 1);
    expect(await dump(link)).toEqual(before);
  });

  it('after a change of a script, the changed line runs', async () => {
    const broken = await openLink(replaced('prelude', 'local YOUNG_MS = 2000', 'local YOUNG_MS = 0'));
    const store = storeOn(broken);
    await takeLease(store);
    expect((await state(store, claimOf(1, { mode: 'socket', rev: 1 }))).kind).toBe('opened');
    expect(() => timedScripts(replaced('claim', 'no such line', ''))).toThrow('claim.lua');
  });
});
