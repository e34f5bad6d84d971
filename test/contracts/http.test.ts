import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/ports.ts';
import { type PresenceView, viewPresence } from '../support/presence-view.ts';
import { type Deployment, deploy, freshUser, type StoreKind } from '../support/stores.ts';

const PAIRS = [
  ['bun', 'embedded'],
  ['node', 'redis+postgres'],
] as const satisfies readonly (readonly ['bun' | 'node', StoreKind])[];

const ORIGIN = 'https://game.example';
const CHINESE = /[\u4e00-\u9fff]/;

describe.each(PAIRS)('HTTP on %s with %s', (runtime, kind) => {
  let deployment: Deployment;
  let view: PresenceView;
  beforeAll(async () => {
    deployment = await deploy({
      runtime,
      kind,
      env: { LINGXI_ALLOWED_ORIGINS: ORIGIN, LINGXI_MAX_BODY_BYTES: '4096' },
    });
    view = viewPresence(deployment);
  });
  afterAll(() => deployment?.stop());

  const outcome = async (answer: Promise<{ status: number; json: unknown }>) => {
    const { status, json } = await answer;
    return { status, code: (json as { code?: unknown } | undefined)?.code };
  };

  describe('statistics', () => {
    it('GET /ws/stats answers anyone with the count and seconds', async () => {
      const user = freshUser();
      await view.login(user);
      const answer = await deployment.gateway.call('GET', '/ws/stats');
      expect(answer.status).toBe(200);
      expect(Object.keys(answer.body).sort()).toEqual(['onlineCount', 'timestamp']);
      expect(Math.abs(Number(answer.body['timestamp']) - Date.now() / 1000)).toBeLessThan(5);
      await eventually(async () => {
        const { body } = await deployment.gateway.call('GET', '/ws/stats');
        expect(body['onlineCount']).toBeGreaterThanOrEqual(1);
      });
      await view.logout(user);
    });

    it('GET /ws/stats returns more with the service key', async () => {
      const answer = await deployment.gateway.service('GET', '/ws/stats');
      expect(answer.body).toMatchObject({
        onlineCount: expect.any(Number),
        timestamp: expect.any(Number),
      });
      expect(Object.keys(answer.body).length).toBeGreaterThan(3);
    });
  });

  describe('online', () => {
    it('accepts playerId as digits or as an integer, and ip with the service key only', async () => {
      const [first, second] = [freshUser(), freshUser()];
      const { gateway } = deployment;
      const body = { playerId: first, ip: '198.51.100.7' };
      await gateway.service('POST', '/api/online/login', body);
      expect((await view.player(first))['ip']).toBe('198.51.100.7');
      await gateway.call('POST', '/api/online/login', {
        token: gateway.token(second),
        body: { playerId: String(second), ip: '198.51.100.7' },
      });
      expect((await view.player(second))['ip']).toBe('127.0.0.1');
      const third = freshUser();
      await gateway.service('POST', '/api/online/login', { playerId: third, ip: '' });
      expect((await view.player(third))['ip']).toBe('127.0.0.1');
      for (const user of [first, second, third]) await view.logout(user);
    });

    it.each([
      [{}],
      [{ playerId: '' }],
      [{ playerId: 'abc' }],
      [{ playerId: -1 }],
      [{ playerId: '+1' }],
      [{ playerId: '01' }],
      [{ playerId: 1.5 }],
      [{ playerId: 9007199254740992 }],
      [{ playerId: '9007199254740993' }],
      [{ playerId: null }],
      [{ playerId: [1] }],
    ])('refuses the login %j with 400', async (body) => {
      const answer = await deployment.gateway.service('POST', '/api/online/login', body);
      expect(answer.status).toBe(400);
      expect(answer.body).toEqual({ error: expect.any(String), code: expect.any(String) });
    });

    it('lists the players online, all at once and in pages', async () => {
      const users = Array.from({ length: 5 }, freshUser);
      for (const user of users) await view.login(user);
      const ids = (json: unknown) =>
        (json as { players: readonly { playerId: string }[] }).players.map((player) => player.playerId);
      const all = await deployment.gateway.service('GET', '/api/online/players');
      expect(ids(all.json)).toEqual(expect.arrayContaining(users.map(String)));
      const [entry] = (all.body['players'] as readonly object[]).filter((player) =>
        JSON.stringify(player).includes(`"${users[0]}"`),
      );
      expect(entry).toEqual({
        playerId: String(users[0]),
        loginTime: expect.any(Number),
        lastHeartbeat: expect.any(Number),
        ip: expect.any(String),
      });
      const seen: string[] = [];
      let cursor: unknown;
      do {
        const more = cursor === undefined ? '' : `&cursor=${encodeURIComponent(String(cursor))}`;
        const page = await deployment.gateway.service('GET', `/api/online/players?limit=2${more}`);
        expect(ids(page.json).length).toBeLessThanOrEqual(2);
        seen.push(...ids(page.json));
        cursor = page.body['cursor'];
      } while (cursor !== undefined && cursor !== null && seen.length < 1_000);
      expect(new Set(seen).size).toBe(seen.length);
      expect(seen).toEqual(expect.arrayContaining(users.map(String)));
      for (const user of users) await view.logout(user);
    });

    it('returns one player to that user and to the service, and 404 for an unknown one', async () => {
      const { gateway } = deployment;
      const user = freshUser();
      await view.login(user);
      const own = await gateway.call('GET', `/api/online/player/${user}`, { token: gateway.token(user) });
      expect(own.body).toMatchObject({
        playerId: String(user),
        status: 'online',
        loginTime: expect.any(Number),
        lastHeartbeat: expect.any(Number),
        ip: '127.0.0.1',
        connections: 0,
      });
      expect(own.body).not.toHaveProperty('logoutTime');
      await view.logout(user);
      expect(await view.player(user)).toMatchObject({
        status: 'offline',
        logoutTime: expect.any(Number),
      });
      expect((await gateway.service('GET', `/api/online/player/${freshUser()}`)).status).toBe(404);
      expect((await gateway.service('GET', '/api/online/player/abc')).status).toBe(400);
    });

    it('returns the status of many users in the order of the request', async () => {
      const [online, never] = [freshUser(), freshUser()];
      await view.login(online);
      const { body } = await deployment.gateway.service('POST', '/api/online/status', {
        userIds: [never, online, never],
      });
      const results = body['results'] as readonly Record<string, unknown>[];
      expect(results.map((result) => Number(result['userId']))).toEqual([never, online, never]);
      expect(results.map((result) => result['status'])).toEqual(['offline', 'online', 'offline']);
      expect(results[1]).toHaveProperty('loginTime');
      await view.logout(online);
    });

    it('refuses the status of more than 1,000', async () => {
      const userIds = Array.from({ length: 1_001 }, (_, index) => index % 10);
      const answer = await deployment.gateway.service('POST', '/api/online/status', { userIds });
      expect(answer.status).toBe(400);
    });
  });

  describe('credentials', () => {
    const asUser = [
      ['POST', '/api/online/login', { playerId: 900 }],
      ['POST', '/api/online/heartbeat', { playerId: 900 }],
      ['POST', '/api/online/logout', { playerId: 900 }],
      ['GET', '/api/online/player/900', undefined],
    ] as const;
    const serviceOnly = [
      ['GET', '/api/online/players', undefined],
      ['POST', '/api/online/status', { userIds: [1] }],
      ['POST', '/api/messages', { to: { userId: 1 }, type: 'n', data: 1 }],
      ['GET', '/api/users/1/connections', undefined],
      ['POST', '/api/users/1/disconnect', {}],
    ] as const;

    it.each([...asUser, ...serviceOnly])('%s %s needs a credential', async (method, path, body) => {
      const { gateway } = deployment;
      expect(await outcome(gateway.call(method, path, { body }))).toEqual({
        status: 401,
        code: 'unauthorized',
      });
      expect((await gateway.call(method, path, { body, token: 'bad' })).status).toBe(401);
      const expired = gateway.token(900, { expiresInS: -5 });
      expect(await outcome(gateway.call(method, path, { body, token: expired }))).toEqual({
        status: 401,
        code: 'invalid-token',
      });
    });

    it.each([...asUser, ...serviceOnly])(
      "%s %s refuses another user's token with 403",
      async (method, path, body) => {
        const { gateway } = deployment;
        const answer = await outcome(gateway.call(method, path, { body, token: gateway.token(901) }));
        expect(answer.status).toBe(403);
        expect(['forbidden', 'user-mismatch']).toContain(answer.code);
      },
    );

    it('refuses a service key that is almost correct', async () => {
      const { gateway } = deployment;
      const key = gateway.apiKey.slice(0, -1);
      expect((await gateway.call('GET', '/api/online/players', { token: key })).status).toBe(401);
      expect((await gateway.call('GET', '/api/online/players', { token: `${key}xx` })).status).toBe(401);
    });
  });

  describe('bodies', () => {
    it.each(['', 'not json', '{"playerId":1', '[1', 'null', '"text"', '42'])(
      'refuses %j with 400',
      async (body) => {
        const answer = await deployment.gateway.service('POST', '/api/online/login', body);
        expect(answer.status).toBe(400);
        expect(answer.body).toEqual({ error: expect.any(String), code: expect.any(String) });
      },
    );

    it('refuses a body beyond the limit with 413', async () => {
      const body = { playerId: 1, ip: 'x'.repeat(5_000) };
      expect(await outcome(deployment.gateway.service('POST', '/api/online/login', body))).toEqual({
        status: 413,
        code: 'payload-too-large',
      });
    });

    it('answers in Chinese if Accept-Language prefers zh', async () => {
      const answer = await deployment.gateway.call('GET', '/api/online/players', {
        headers: { 'accept-language': 'zh-CN,zh;q=0.9' },
      });
      expect(String(answer.body['error'])).toMatch(CHINESE);
    });

    it.each<readonly [string, string, unknown, string, RegExp]>([
      ['GET', '/api/online/events?cursor=x', undefined, 'The query is wrong. Parameter: cursor', /：cursor$/],
      ['GET', '/api/users/x/timeline', undefined, 'Parameter: id', /参数：id$/],
      [
        ...([
          'GET',
          '/api/groups/%20',
          undefined,
          'Parameter: group (1 to 64 of A-Z a-z 0-9 _ . : -)',
        ] as const),
        /参数：group（1 到 64 个字符：A-Z a-z 0-9 _ \. : -）$/,
      ],
      [
        'POST',
        '/api/groups/g',
        { add: [1], remove: [1] },
        'Field: remove[0] (also in add)',
        /（同时在 add 中）$/,
      ],
      ['POST', '/api/online/status', { userIds: [], ids: [] }, 'Field: ids (unknown)', /字段：ids（未知）$/],
      ['POST', '/api/online/login', '[]', 'Field: (body)', /字段：（整个请求体）$/],
      ['POST', '/api/messages', [7], 'Field: [0].(message)', /字段：\[0\]\.（整条消息）$/],
      ['POST', '/api/online/login', '['.repeat(200), '(nested deeper than 128)', /（嵌套超过 128 层）$/],
    ])('%s %s %j: the error says where the fault is, in either language', async (...request) => {
      const [method, path, body, english, chinese] = request;
      const { gateway } = deployment;
      const ask = (language: string) =>
        gateway.call(method, path, {
          body,
          token: gateway.apiKey,
          headers: { 'accept-language': language },
        });
      const [en, zh] = [await ask('en'), await ask('zh')];
      expect([en.status, zh.status]).toEqual([400, 400]);
      expect(String(en.body['error']).slice(-english.length)).toBe(english);
      expect(String(zh.body['error'])).toMatch(chinese);
    });

    it('a wrong Last-Event-ID is not called a body', async () => {
      const { gateway } = deployment;
      const answer = await gateway.call('GET', '/api/online/events', {
        token: gateway.apiKey,
        headers: { accept: 'text/event-stream', 'last-event-id': 'x' },
      });
      expect(answer.body).toEqual({
        error: 'A header of the request is wrong. Header: Last-Event-ID',
        code: 'invalid-body',
      });
    });

    it('answers an unknown address with 404 and an error body', async () => {
      expect(await outcome(deployment.gateway.service('GET', '/api/nothing'))).toEqual({
        status: 404,
        code: 'not-found',
      });
    });
  });
});
