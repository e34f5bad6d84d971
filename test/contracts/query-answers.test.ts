import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';

describe.each(['bun', 'node'] as const)('answers to a wrong query, on %s', (runtime) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({ runtime, stores: 'embedded' });
  });
  afterAll(() => gateway?.stop());

  it.each([
    ['/api/online/players?limit=0', 'limit (a whole number from 1 to 1000)', 'limit（1 到 1000 的整数）'],
    ['/api/online/events?limit=1001', 'limit (a whole number from 1 to 1000)', 'limit（1 到 1000 的整数）'],
    ['/api/users/1/timeline?limit=x', 'limit (a whole number from 1 to 1000)', 'limit（1 到 1000 的整数）'],
    ['/api/groups/g?limit=1e3', 'limit (a whole number from 1 to 10000)', 'limit（1 到 10000 的整数）'],
    ['/api/dashboard/users?limit=201', 'limit (a whole number from 1 to 200)', 'limit（1 到 200 的整数）'],
    [
      '/api/dashboard/users?offset=-1',
      'offset (a whole number from 0 to 1000000)',
      'offset（0 到 1000000 的整数）',
    ],
    ['/api/dashboard/users?order=up', 'order (one of asc, desc)', 'order（可用的值：asc、desc）'],
  ])('%s: the sentence names the values that are allowed', async (path, english, chinese) => {
    const ask = (language: string) =>
      gateway.call('GET', path, { service: true, headers: { 'accept-language': language } });
    const [en, zh] = [await ask('en'), await ask('zh')];
    expect([en.status, en.body]).toEqual([
      400,
      { code: 'invalid-body', error: `The query is wrong. Parameter: ${english}` },
    ]);
    expect(zh.body['error']).toMatch(new RegExp(`参数：${chinese}$`));
  });

  it('an unknown parameter is ignored, on every endpoint that has parameters', async () => {
    for (const path of [
      '/api/online/players?limit=1',
      '/api/online/events?limit=1',
      '/api/users/1/timeline?limit=1',
      '/api/groups/g?limit=1',
      '/api/dashboard/users?limit=1',
    ]) {
      const { status } = await gateway.service('GET', `${path}&_=1767225600000`);
      expect([path, status]).toEqual([path, 200]);
    }
  });
});
