import { describe, expect, it } from 'vitest';
import { createHarness, PEER } from './support.ts';

describe('login, heartbeat and logout', () => {
  it('[PR1] log a user in, prove life and log out, with the id as a string and times in ms', async () => {
    const { ask, clock, counters } = createHarness();
    const loginTime = clock.now();
    const login = await ask('/api/online/login', { as: 42, body: { playerId: 42 } });
    expect(login.status).toBe(200);
    expect(login.body).toEqual({ message: expect.any(String), playerId: '42', loginTime });
    clock.advance(3000);
    const beat = await ask('/api/online/heartbeat', { as: 42, body: { playerId: '42' } });
    expect(beat.body).toEqual({
      message: expect.any(String),
      playerId: '42',
      lastHeartbeat: loginTime + 3000,
    });
    expect(counters.heartbeats).toBe(1);
    const logout = await ask('/api/online/logout', { as: 42, body: { playerId: '42' } });
    expect(logout.body).toEqual({
      message: expect.any(String),
      playerId: '42',
      logoutTime: loginTime + 3000,
    });
    const again = await ask('/api/online/logout', { as: 42, body: { playerId: '42' } });
    expect([again.status, again.body['code']]).toEqual([404, 'not-online']);
    const late = await ask('/api/online/heartbeat', { as: 42, body: { playerId: '42' } });
    expect([late.status, late.body['code']]).toEqual([404, 'not-online']);
  });

  it('answer in Chinese if the client prefers it', async () => {
    const { ask } = createHarness();
    const headers = { 'accept-language': 'zh-CN' };
    const login = await ask('/api/online/login', { as: 42, headers, body: { playerId: 42 } });
    expect(login.body['message']).toBe('登录成功');
    const missing = await ask('/api/online/heartbeat', { as: 43, headers, body: { playerId: 43 } });
    expect(missing.body).toEqual({ error: '玩家不在线。', code: 'not-online' });
  });

  it('[PR7] carry the epoch of a logout, as an integer or a decimal string', async () => {
    const { ask, presence } = createHarness();
    await ask('/api/online/logout', { as: 42, body: { playerId: 42, epoch: '17' } });
    await ask('/api/online/logout', { as: 42, body: { playerId: 42, epoch: 18 } });
    expect(presence.calls.map((call) => call['epoch'])).toEqual([17, 18]);
    for (const epoch of ['x', -1, 1.5, '0x1', {}]) {
      const answer = await ask('/api/online/logout', { as: 42, body: { playerId: 42, epoch } });
      expect([answer.status, answer.body['code']]).toEqual([400, 'invalid-body']);
    }
    expect(presence.calls).toHaveLength(2);
  });

  it.each([
    ['unknown-user', 400],
    ['blocked', 403],
    ['presence-unavailable', 503],
    ['settlement-unavailable', 503],
    ['settlement-refused', 409],
  ] as const)('refuse a login with %s and status %i', async (code, status) => {
    const { ask, presence } = createHarness();
    presence.refusal = code;
    const answer = await ask('/api/online/login', { as: 42, body: { playerId: 42 } });
    expect([answer.status, answer.body['code']]).toEqual([status, code]);
    expect(answer.headers.get('retry-after')).toBe(status === 503 ? '1' : null);
  });

  it('[PR1] [DR1] serve a login while draining, because it is no connection', async () => {
    const { ask, state } = createHarness();
    state.draining = true;
    expect((await ask('/api/online/login', { as: 42, body: { playerId: 42 } })).status).toBe(200);
  });

  it("use the body's ip from the service or the open API if it is not empty, else the address of the peer", async () => {
    const login = async (
      harness: ReturnType<typeof createHarness>,
      as: number | string,
      ip?: string | null,
    ) => {
      await harness.ask('/api/online/login', { as, body: { playerId: 42, ip } });
      return harness.presence.calls.at(-1)?.['ip'];
    };
    const closed = createHarness();
    expect(await login(closed, 42, '203.0.113.5')).toBe(PEER);
    expect(await login(closed, 'service', '203.0.113.5')).toBe('203.0.113.5');
    expect(await login(closed, 'service', '')).toBe(PEER);
    expect(await login(closed, 'service', null)).toBe(PEER);
    const open = createHarness({ legacyOpenApi: true });
    expect(await login(open, 'Bearer stale', '203.0.113.6')).toBe('203.0.113.6');
    expect(await login(open, '', '')).toBe(PEER);
  });
});

describe('the profile seed', () => {
  it('answers a logout of a user known to be offline with the recorded time', async () => {
    const { ask, clock } = createHarness({ profile: 'seed', legacyOpenApi: true });
    await ask('/api/online/login', { body: { playerId: 42, ip: '' } });
    const first = await ask('/api/online/logout', { body: { playerId: 42 } });
    clock.advance(5000);
    const second = await ask('/api/online/logout', { body: { playerId: 42 } });
    expect(second.status).toBe(200);
    expect(second.body['logoutTime']).toBe(first.body['logoutTime']);
    expect((await ask('/api/online/logout', { body: { playerId: 43 } })).status).toBe(404);
  });

  it('opens the five endpoints of the Go server and no other, and ignores a stale token', async () => {
    const { ask } = createHarness({ legacyOpenApi: true });
    for (const as of ['', 'Bearer stale', 'Bearer user-7']) {
      expect((await ask('/api/online/login', { as, body: { playerId: 42 } })).status).toBe(200);
      expect((await ask('/api/online/heartbeat', { as, body: { playerId: 42 } })).status).toBe(200);
      expect((await ask('/api/online/players', { as })).status).toBe(200);
      expect((await ask('/api/online/player/42', { as })).status).toBe(200);
      expect((await ask('/api/online/logout', { as, body: { playerId: 42 } })).status).toBe(200);
    }
    expect((await ask('/api/online/status', { body: { userIds: [42] } })).status).toBe(401);
    expect((await ask('/api/messages', { body: {} })).status).toBe(401);
  });

  it('accepts a body of any content type, as a closing page sends it', async () => {
    const { ask } = createHarness({ legacyOpenApi: true });
    await ask('/api/online/login', { body: { playerId: 42 } });
    const headers = { 'content-type': 'text/plain;charset=UTF-8' };
    expect((await ask('/api/online/logout', { headers, body: { playerId: 42 } })).status).toBe(200);
  });
});

describe('reading presence', () => {
  it('lists all players, or page by page', async () => {
    const { ask, clock } = createHarness();
    for (const playerId of [1, 2, 3]) await ask('/api/online/login', { as: playerId, body: { playerId } });
    const entry = (playerId: string) => ({
      playerId,
      loginTime: clock.now(),
      lastHeartbeat: clock.now(),
      ip: PEER,
    });
    const all = await ask('/api/online/players', { as: 'service' });
    expect(all.body).toEqual({ players: [entry('1'), entry('2'), entry('3')] });
    const page = await ask('/api/online/players?limit=2', { as: 'service' });
    expect(page.body).toEqual({ players: [entry('1'), entry('2')], cursor: '2' });
    const rest = await ask('/api/online/players?limit=2&cursor=2', { as: 'service' });
    expect(rest.body).toEqual({ players: [entry('3')] });
    for (const query of ['limit=0', 'limit=-1', 'limit=1001', 'limit=x', 'cursor=', 'cursor=a%0d%0ab']) {
      expect((await ask(`/api/online/players?${query}`, { as: 'service' })).status).toBe(400);
    }
  });

  it('shows one user, and 404 for an unknown one', async () => {
    const { ask, clock } = createHarness();
    await ask('/api/online/login', { as: 42, body: { playerId: 42 } });
    const shown = await ask('/api/online/player/42', { as: 42 });
    expect(shown.body).toEqual({
      playerId: '42',
      username: 'Player 42',
      status: 'online',
      loginTime: clock.now(),
      lastHeartbeat: clock.now(),
      ip: PEER,
      connections: 0,
    });
    const never = await ask('/api/online/player/43', { as: 'service' });
    expect([never.status, never.body['code']]).toEqual([404, 'unknown-user']);
    expect((await ask('/api/online/player/042', { as: 'service' })).body['code']).toBe('invalid-user-id');
  });

  it('a user who may be known only to the database is not called unknown while it does not answer', async () => {
    const { ask, presence } = createHarness();
    await ask('/api/online/login', { as: 42, body: { playerId: 42 } });
    presence.sqlDown = true;
    expect((await ask('/api/online/player/42', { as: 'service' })).status).toBe(200);
    const away = await ask('/api/online/player/43', { as: 'service' });
    expect([away.status, away.body['code']]).toEqual([503, 'settlement-unavailable']);
  });

  it('returns the status of many users in the order of the request, unknown ones offline without times', async () => {
    const { ask, clock } = createHarness();
    await ask('/api/online/login', { as: 42, body: { playerId: 42 } });
    const answer = await ask('/api/online/status', { as: 'service', body: { userIds: [9, '42', 9] } });
    const online = { userId: 42, status: 'online', loginTime: clock.now(), lastHeartbeat: clock.now() };
    const never = { userId: 9, status: 'offline' };
    expect(answer.body).toEqual({ results: [never, online, never] });
    const many = Array.from({ length: 1001 }, (_, index) => index);
    const tooMany = await ask('/api/online/status', { as: 'service', body: { userIds: many } });
    expect([tooMany.status, tooMany.body['code']]).toEqual([400, 'invalid-body']);
  });

  it('[PR10] answers 503 while the store is unreachable', async () => {
    const { ask, presence, logged } = createHarness();
    presence.unreachable = true;
    for (const answer of [
      await ask('/api/online/players', { as: 'service' }),
      await ask('/api/online/player/42', { as: 42 }),
      await ask('/api/online/status', { as: 'service', body: { userIds: [1] } }),
    ]) {
      expect([answer.status, answer.body['code']]).toEqual([503, 'presence-unavailable']);
      expect(answer.headers.get('retry-after')).toBe('1');
    }
    expect(logged.every((fields) => fields.event === 'presence-unavailable')).toBe(true);
  });
});
