import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PresenceStore, RenewAnswer } from '../../src/presence/store/port.ts';
import { claimOf, grownUp, login, type PresenceSubject, redisSubject } from '../support/presence-subject.ts';
import type { RedisServer } from '../support/services.ts';

const WORLD = 'lingxi:world';
const FIELDS = ['start', 'clock', 'reading', 'high', 'gen'];

describe('[PR11] [PR13] another program writes into the fields of the world', () => {
  let subject: PresenceSubject;
  let redis: RedisServer;
  let store: PresenceStore;
  const renew = (): Promise<RenewAnswer> =>
    store.renew({ highestEpoch: 0, restored: true, acknowledged: [] });
  beforeAll(async () => {
    subject = await redisSubject();
    if (subject.redis === undefined) throw new Error('no Redis');
    redis = subject.redis;
    store = await subject.open({ node: 'a' });
    await renew();
  });
  afterAll(() => subject?.stop());

  it.each([
    ['clock', 'x'],
    ['clock', 'nan'],
    ['clock', 'inf'],
    ['reading', '-1'],
    ['start', 'inf'],
    // The world cannot have begun in the future.
    ['start', '9007199254740991'],
    ['high', 'nan'],
    ['gen', 'nan'],
  ])('%s becomes %s: the next renewal names the key once, and repairs the field', async (field, value) => {
    await redis.cli('HSET', WORLD, field, value);
    expect((await renew()).foreign).toEqual([WORLD]);
    expect((await renew()).foreign).toEqual([]);
    const numbers = (await redis.cli('HMGET', WORLD, ...FIELDS)).split('\n');
    expect(numbers).toEqual(FIELDS.map(() => expect.stringMatching(/^\d{1,16}$/)));
    expect(Number(numbers[0])).toBeLessThanOrEqual(Number(numbers[1]));
  });

  it('afterwards users log in', async () => {
    await grownUp(store);
    await login(store, claimOf(7, { mode: 'socket', rev: 1 }));
  });
});
