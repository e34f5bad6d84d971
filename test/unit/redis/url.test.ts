import { describe, expect, it } from 'vitest';
import { parseRedisUrl, shownRedisUrl } from '../../../src/redis/url.ts';

const nobody = { username: undefined, password: undefined };

describe('REDIS_URL', () => {
  it('names one server', () => {
    expect(parseRedisUrl('rediss://:pw@r:6380/2')).toEqual({
      ok: true,
      value: { kind: 'single', url: 'rediss://:pw@r:6380/2', database: 2 },
    });
    expect(parseRedisUrl('redis://[::1]')).toMatchObject({ ok: true, value: { database: 0 } });
  });

  it('names Sentinels, the master that they watch and a database', () => {
    const url =
      'redis+sentinel://me:p%40ss@a,b:26380,[::1]/game.master/3?sentinelPassword=x%2By&sentinelUsername=s';
    expect(parseRedisUrl(url)).toEqual({
      ok: true,
      value: {
        ...{
          kind: 'sentinel',
          tls: false,
          username: 'me',
          password: 'p@ss',
          master: 'game.master',
          database: 3,
        },
        hosts: [
          { host: 'a', port: 26_379 },
          { host: 'b', port: 26_380 },
          { host: '::1', port: 26_379 },
        ],
        sentinel: { username: 's', password: 'x+y' },
      },
    });
    expect(parseRedisUrl('rediss+sentinel://a/m')).toMatchObject({
      value: { tls: true, database: 0, sentinel: nobody, ...nobody },
    });
  });

  it('names servers of a Cluster', () => {
    expect(parseRedisUrl('redis+cluster://:p:w@a:7000,b')).toEqual({
      ok: true,
      value: {
        ...{ kind: 'cluster', tls: false, username: undefined, password: 'p:w' },
        hosts: [
          { host: 'a', port: 7000 },
          { host: 'b', port: 6379 },
        ],
      },
    });
    expect(parseRedisUrl('rediss+cluster://a/0')).toMatchObject({ ok: true, value: { tls: true } });
  });

  it.each([
    ['redis+sentinel://:hunter2@a,b', 'names no master after the Sentinels'],
    ['redis+sentinel://:hunter2@a/hunter2 x', 'names no master after the Sentinels'],
    ['redis+sentinel://:hunter2@a/m/hunter2', 'has no database number after the name of the master'],
    ['redis+sentinel://:hunter2@a/m/0/hunter2', 'has no database number after the name of the master'],
    [
      'redis+sentinel://a/m?password=hunter2',
      'has a query that is not known: only sentinelUsername and sentinelPassword are',
    ],
    ['redis+sentinel://:hunter2@/m', 'has no valid address as its host'],
    ['redis+cluster://:hunter2@a,,b', 'has no valid address as its host 2 of 3'],
    ['redis+cluster://:hunter2@a,b:hunter2', 'has no valid address as its host 2 of 2'],
    ['redis+cluster://:hunter2@a:65536', 'has no valid address as its host'],
    ['redis+cluster://:hunter2@a/1', 'names a database, but a Redis Cluster has none but 0'],
    ['redis+cluster://:hunter2@a?x=hunter2', 'has a query, which a Redis Cluster takes none of'],
    [
      'redis+cluster://:100%hunter2@a',
      'has a user name or password whose special characters are not percent-encoded',
    ],
    [`redis+cluster://${'a,'.repeat(32)}hunter2`, 'names more than 32 hosts'],
    ['redis://:hunter2@a,b', 'names more than one server'],
    ['redis://:hunter2@a/hunter2', 'has no database number after the host'],
    ['redis+ring://hunter2', 'is no Redis address'],
  ])('%s: it %s', (url, fault) => {
    const parsed = parseRedisUrl(url);
    const sentence = parsed.ok ? 'accepted' : parsed.error.message;
    expect(sentence).toMatch(/^REDIS_URL .*: write it as in redis(\+sentinel|\+cluster)?:\/\/\S+\.$/);
    expect(sentence).toContain(` ${fault}: `);
    expect(sentence).not.toContain('hunter2');
  });

  it.each([
    ['redis://:hunter2@r:6380/2?password=hunter2', 'redis://r:6380/2'],
    ['redis+sentinel://:hunter2@a,b:1/m?sentinelPassword=hunter2', 'redis+sentinel://a:26379,b:1/m/0'],
    ['rediss+cluster://me:hunter2@a,[::1]:7', 'rediss+cluster://a:6379,[::1]:7'],
    ['redis+cluster://hunter2:x', 'REDIS_URL'],
  ])('%s is shown as %s', (url, shown) => {
    expect(shownRedisUrl(url)).toBe(shown);
  });
});
