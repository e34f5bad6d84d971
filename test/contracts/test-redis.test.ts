import { expect, it } from 'vitest';
import { startRedis } from '../support/redis.ts';

it('a command of a test rejects if Redis refuses it, and a restart ends once Redis has read its file', async () => {
  const redis = await startRedis({ persistence: true });
  try {
    await expect(redis.cli('ZADD', 'scores', 'nan', 'member')).rejects.toThrow('not a valid float');
    const fill = `for n = 1, 60000 do redis.call('SET', 'key' .. n, string.rep('x', 1000)) end`;
    await redis.cli('EVAL', fill, '0');
    await redis.kill();
    await redis.restart();
    expect(await redis.cli('DBSIZE')).toBe('60000');
  } finally {
    await redis.stop();
  }
});
