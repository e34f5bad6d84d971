import { describe, expect, it } from 'vitest';
import { RedisKeptAnswers } from '../../../src/cluster/redis-kept-answers.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { silentLog } from '../../../src/logging/log.ts';
import type { RedisLink } from '../../../src/redis/link.ts';

/** A Redis whose key has gone by the time of the GET, `times` times in a row. */
function open(times: number) {
  let left = times;
  let trips = 0;
  const pipeline = () => {
    let value = '';
    const commands = {
      set: (_name: string, text: string) => {
        value = text;
        return commands;
      },
      get: () => commands,
      pttl: () => commands,
      exec: () => {
        trips += 1;
        left -= 1;
        const isGone = left >= 0;
        return Promise.resolve([
          [null, isGone ? null : 'OK'],
          [null, isGone ? null : value],
          [null, isGone ? -2 : 300_000],
        ]);
      },
    };
    return commands;
  };
  const link = {
    prefix: '',
    client: { pipeline },
    guarded: <Value>(command: Promise<Value>) => command,
  } as unknown as RedisLink;
  const answers = new RedisKeptAnswers({ link, clock: new FakeClock(), log: silentLog, newId: () => 'id' });
  return { answers, trips: () => trips };
}

describe('the idempotency keys in Redis', () => {
  it('a key that expires while it is reserved is reserved again', async () => {
    const { answers, trips } = open(1);
    expect(await answers.reserve([{ key: 'k', fingerprint: 'f' }])).toEqual([{ kind: 'mine' }]);
    expect(trips()).toBe(2);
  });

  it('a key that always disappears is refused after a few trips', async () => {
    const { answers, trips } = open(Number.POSITIVE_INFINITY);
    await expect(answers.reserve([{ key: 'k', fingerprint: 'f' }])).rejects.toThrow('lingxi:once:k');
    expect(trips()).toBeLessThanOrEqual(3);
  });
});
