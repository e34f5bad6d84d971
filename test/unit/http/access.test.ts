import { describe, expect, it } from 'vitest';
import { createHarness, PEER } from './support.ts';

const SERVICE_ROUTES = [
  ['GET', '/api/online/players'],
  ['POST', '/api/online/status'],
  ['POST', '/api/messages'],
  ['GET', '/api/users/42/connections'],
  ['POST', '/api/users/42/disconnect'],
  ['GET', '/metrics'],
] as const;

const USER_ROUTES = [
  ['POST', '/api/online/login'],
  ['POST', '/api/online/heartbeat'],
  ['POST', '/api/online/logout'],
  ['GET', '/api/online/player/42'],
] as const;

describe('credentials', () => {
  it.each([...SERVICE_ROUTES, ...USER_ROUTES])(
    '%s %s needs one, before it checks the body',
    async (method, path) => {
      const { ask } = createHarness();
      const raw = method === 'POST' ? { raw: 'not json' } : {};
      const none = await ask(path, { method, ...raw });
      expect([none.status, none.body['code']]).toEqual([401, 'unauthorized']);
      expect(none.headers.get('www-authenticate')).toBe('Bearer');
      for (const as of ['Bearer nonsense', 'Basic abc', 'Bearer a b', `Bearer ${'x'.repeat(10_000)}`]) {
        const invalid = await ask(path, { method, as, ...raw });
        expect([invalid.status, invalid.body['code']]).toEqual([401, 'invalid-token']);
      }
    },
  );

  it.each(SERVICE_ROUTES)("%s %s refuses a user's token", async (method, path) => {
    const { ask } = createHarness();
    const answer = await ask(path, { method, as: 42, ...(method === 'POST' ? { raw: 'not json' } : {}) });
    expect([answer.status, answer.body['code']]).toEqual([403, 'forbidden']);
  });

  it.each(USER_ROUTES)("%s %s refuses another user's token", async (method, path) => {
    const { ask, presence } = createHarness();
    const body = method === 'POST' ? { body: { playerId: 42 } } : {};
    const answer = await ask(path, { method, as: 7, ...body });
    expect([answer.status, answer.body['code']]).toEqual([403, 'user-mismatch']);
    expect(presence.calls).toEqual([]);
  });

  it('the service acts for anyone and leaves an audit line', async () => {
    const { ask, clock, logged, connections } = createHarness();
    connections.push({
      connectionId: 'c1',
      userId: 42,
      username: '玩家42',
      epoch: 9,
      since: 5,
      ip: '203.0.113.9',
      protocol: 'seed',
      state: 'active',
      queue: 0,
      queueBytes: 0,
    });
    await ask('/api/online/login', { as: 'service', body: { playerId: 42 } });
    const shown = await ask('/api/users/42/connections', { as: 'service' });
    expect(shown.body).toMatchObject({
      userId: 42,
      connections: [{ connectionId: 'c1', node: 'test-1', epoch: '9', address: '203.0.113.9', since: 5 }],
    });
    const body = { reason: 'cheating', blockMs: 60_000 };
    const kicked = await ask('/api/users/42/disconnect', { as: 'service', body });
    expect(kicked.status).toBe(200);
    expect(logged).toMatchObject([
      { event: 'audit', action: 'login', userId: 42 },
      { event: 'audit', action: 'disconnect', userId: 42, reason: 'cheating', blockMs: 60_000 },
    ]);
    const absent = await ask('/api/users/42/disconnect', { as: 'service', method: 'POST' });
    expect([absent.status, absent.body['code']]).toEqual([404, 'not-online']);
    const blocked = await ask('/api/users/42/disconnect', { as: 'service', body: { blockMs: 1000 } });
    expect([blocked.status, blocked.body]).toEqual([200, { userId: 42, blockedUntil: clock.now() + 1000 }]);
    const wrong = await ask('/api/users/42/disconnect', { as: 'service', body: { blockMs: -1 } });
    expect(wrong.body['error']).toContain('blockMs');
  });
});

describe('rate limits', () => {
  it('a user gets 429, others and the service are not affected', async () => {
    const { ask, clock } = createHarness();
    const flood = async (as: number | string, times: number) => {
      let last = await ask('/api/online/player/42', { as });
      for (let count = 1; count < times; count += 1) last = await ask('/api/online/player/42', { as });
      return last;
    };
    const limited = await flood(42, 401);
    expect([limited.status, limited.body['code']]).toEqual([429, 'rate-limited']);
    expect(limited.headers.get('retry-after')).toBe('1');
    expect((await ask('/api/online/player/7', { as: 7 })).status).toBe(404);
    expect((await flood('service', 401)).status).toBe(404);
    clock.advance(1000);
    expect((await ask('/api/online/player/42', { as: 42 })).status).toBe(404);
  });

  it('an address without credentials is limited on every route', async () => {
    const { ask, clock } = createHarness();
    const paths = ['/ws/stats', '/nothing', '/healthz', '/api/online/player/42', '/docs'];
    for (let count = 0; count < 2000; count += 1) await ask(paths[count % paths.length] ?? '');
    for (const path of paths) expect([path, (await ask(path)).status]).toEqual([path, 429]);
    expect((await ask('/api/nothing', { method: 'OPTIONS' })).status).toBe(429);
    expect((await ask('/healthz', { as: 'service' })).status).toBe(200);
    expect((await ask('/ws/stats', { peer: '203.0.113.1' })).status).toBe(200);
    clock.advance(1000);
    expect((await ask('/healthz')).status).toBe(200);
  });

  it('IPv6 is counted by /64', async () => {
    const { ask } = createHarness();
    for (let count = 0; count < 2000; count += 1)
      await ask('/ws/stats', { peer: `2001:db8:0:1::${count.toString(16)}` });
    expect((await ask('/ws/stats', { peer: '2001:db8:0:1:ffff::1' })).status).toBe(429);
    expect((await ask('/ws/stats', { peer: '2001:db8:0:2::1' })).status).toBe(200);
  });

  it('wrong keys get 429 on every route that uses the key', async () => {
    const { ask } = createHarness();
    for (let count = 0; count < 100; count += 1)
      expect((await ask('/api/nodes', { as: `Bearer wrong${count}` })).status).toBe(401);
    for (const path of ['/api/nodes', '/api/online/player/42', '/ws/stats', '/metrics']) {
      const locked = await ask(path, { as: 'Bearer wrong' });
      expect([path, locked.status, locked.body['code']]).toEqual([path, 429, 'rate-limited']);
      expect(locked.headers.get('retry-after')).toBe('10');
    }
    expect((await ask('/healthz', { as: 'Bearer wrong' })).status).toBe(200);
    expect((await ask('/api/nodes', { as: 'Bearer wrong', peer: '203.0.113.1' })).status).toBe(401);
    expect((await ask('/api/nodes', { as: 'service' })).status).toBe(200);
    expect((await ask('/api/online/player/42', { as: 42 })).status).toBe(404);
  });

  it('a login over the limit of its user gets the time of the next one', async () => {
    const { ask, presence } = createHarness({ loginsPerMinute: 4 });
    presence.refusal = 'rate-limited';
    const answer = await ask('/api/online/login', { as: 42, body: { playerId: 42 } });
    expect([answer.status, answer.body['code'], answer.headers.get('retry-after')]).toEqual([
      429,
      'rate-limited',
      '15',
    ]);
  });

  it('the limit of created users applies only to callers without a credential', async () => {
    const { ask, presence } = createHarness({ legacyOpenApi: true });
    await ask('/api/online/login', { body: { playerId: 1, ip: '192.0.2.77' } });
    await ask('/api/online/login', { as: 'service', body: { playerId: 2 } });
    expect(presence.calls).toMatchObject([
      { userId: 1, ip: '192.0.2.77', creator: PEER },
      { userId: 2, ip: PEER },
    ]);
    expect(presence.calls[1]).not.toHaveProperty('creator');
  });

  it('the server closes the connection of a client that continues after a 429', async () => {
    const { ask, clock } = createHarness();
    for (let count = 0; count < 2000; count += 1) await ask('/nothing');
    const connection = async () => (await ask('/nothing')).headers.get('connection');
    expect([await connection(), await connection(), await connection()]).toEqual([null, 'close', 'close']);
    clock.advance(1);
    expect((await ask('/nothing')).status).toBe(404);
    expect(await connection()).toBeNull();
  });
});

describe('CORS on /api/*', () => {
  const origin = 'https://game.example';
  const preflight = { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST' } };

  it('answers a listed origin, and a preflight with 204', async () => {
    const { ask } = createHarness({ allowedOrigins: [origin] });
    const before = await ask('/api/online/login', preflight);
    expect(before.status).toBe(204);
    expect(before.headers.get('access-control-allow-origin')).toBe(origin);
    expect(before.headers.get('access-control-allow-headers')).toContain('Authorization');
    expect(before.headers.get('vary')).toBe('Origin');
    const answer = await ask('/api/online/login', { headers: { origin }, body: {} });
    expect(answer.status).toBe(401);
    expect(answer.headers.get('access-control-allow-origin')).toBe(origin);
  });

  it.each(['https://game.example.evil', 'https://evil-game.example', 'null', 'http://game.example'])(
    'sends no header to the foreign origin %s',
    async (foreign) => {
      const { ask } = createHarness({ allowedOrigins: [origin] });
      const before = await ask('/api/messages', { ...preflight, headers: { origin: foreign } });
      expect(before.status).toBe(204);
      const answer = await ask('/api/online/players', { as: 'service', headers: { origin: foreign } });
      expect(answer.status).toBe(200);
      for (const { headers } of [before, answer]) {
        expect(headers.get('vary')).toBe('Origin');
        expect([...headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
      }
    },
  );

  it('allows any origin with `*`, and no other origin by default', async () => {
    const any = createHarness({ allowedOrigins: 'any' });
    expect((await any.ask('/api/messages', preflight)).headers.get('access-control-allow-origin')).toBe('*');
    const same = createHarness({ allowedOrigins: 'same-origin' });
    expect(
      (await same.ask('/api/messages', preflight)).headers.get('access-control-allow-origin'),
    ).toBeNull();
    expect(
      (await any.ask('/ws/stats', { headers: { origin } })).headers.get('access-control-allow-origin'),
    ).toBeNull();
  });
});
