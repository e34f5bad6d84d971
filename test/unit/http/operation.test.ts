import { describe, expect, it } from 'vitest';
import type { HttpDeps } from '../../../src/http/deps.ts';
import { err } from '../../../src/lib/result.ts';
import { createHarness } from './support.ts';

describe('statistics, health and metrics', () => {
  it('shows anyone the number of users online, and the service the figures of the node', async () => {
    const { ask, clock, counters } = createHarness();
    counters.heartbeats = 11;
    const timestamp = Math.floor(clock.now() / 1000);
    expect((await ask('/ws/stats')).body).toEqual({ onlineCount: 0, timestamp });
    expect((await ask('/ws/stats', { as: 'Bearer stale' })).body).toEqual({ onlineCount: 0, timestamp });
    expect((await ask('/ws/stats', { as: 'service' })).body).toMatchObject({
      onlineCount: 0,
      timestamp,
      connections: 5,
      queues: { dispatch: 3, send: 2 },
      drops: { 'queue-full': 0 },
      heartbeats: 11,
      pendingSettlements: 4,
    });
  });

  it('[DR1] is not ready while draining or while presence is unavailable', async () => {
    const { ask, state, presence } = createHarness();
    expect((await ask('/readyz')).status).toBe(200);
    presence.available = false;
    const away = await ask('/readyz');
    expect([away.status, away.body['status'], away.body['code']]).toEqual([
      503,
      'unavailable',
      'presence-unavailable',
    ]);
    state.draining = true;
    expect((await ask('/readyz')).body['code']).toBe('draining');
    for (const path of ['/healthz', '/health']) expect((await ask(path)).body).toEqual({ status: 'ok' });
  });

  it('[DR1] stays ready but degraded if only the database is away', async () => {
    const { ask, presence } = createHarness({}, { settlementAvailable: () => false });
    const answer = await ask('/readyz');
    expect([answer.status, answer.body['status'], answer.body['code']]).toEqual([
      200,
      'degraded',
      'settlement-unavailable',
    ]);
    presence.available = false;
    const worse = await ask('/readyz');
    expect([worse.status, worse.body['code']]).toEqual([503, 'presence-unavailable']);
  });

  it('shows metrics to the service, and in development to anyone', async () => {
    const page = await createHarness().ask('/metrics', { as: 'service' });
    expect(page.headers.get('content-type')).toContain('text/plain');
    expect(page.text).toContain('lingxi_users_online 7');
    expect((await createHarness({ environment: 'development' }).ask('/metrics')).status).toBe(200);
  });
});

describe('the nodes', () => {
  const nodes = (answering: HttpDeps['nodes']) => createHarness({}, { nodes: answering });

  it('are listed for the service only, and not while their store is away', async () => {
    const harness = createHarness();
    expect((await harness.ask('/api/nodes')).status).toBe(401);
    expect((await harness.ask('/api/nodes', { as: 42 })).status).toBe(403);
    expect((await harness.ask('/api/nodes', { as: 'service' })).body).toEqual({ nodes: [] });
    const away = nodes({
      list: () => Promise.reject(new Error('unreachable')),
      drain: () => Promise.reject(new Error('unreachable')),
    });
    for (const [path, options] of [
      ['/api/nodes', {}],
      ['/api/drain', { body: { node: 'b' } }],
    ] as const) {
      const answer = await away.ask(path, { as: 'service', ...options });
      expect([path, answer.status, answer.body['code']]).toEqual([path, 503, 'presence-unavailable']);
    }
  });

  it.each([
    ['not-found', 404],
    ['node-ambiguous', 409],
    ['node-silent', 504],
  ] as const)(
    '[DR1] are not reported as drained if the answer is %s, and the request is audited',
    async (code, status) => {
      const { ask, logged } = nodes({
        list: () => Promise.resolve([]),
        drain: () => Promise.resolve(err(code)),
      });
      const answer = await ask('/api/drain', { as: 'service', body: { node: 'b' } });
      expect([answer.status, answer.body['code']]).toEqual([status, code]);
      expect(logged).toContainEqual(
        expect.objectContaining({ event: 'audit', action: 'drain', node: 'b', code }),
      );
    },
  );

  it.each([{ node: '' }, { node: 7 }, { node: 'x'.repeat(257) }])(
    '[DR1] are not drained by the body %j',
    async (body) => {
      const { ask, state } = createHarness();
      const answer = await ask('/api/drain', { as: 'service', body });
      expect([answer.status, answer.body['code'], state.draining]).toEqual([400, 'invalid-body', false]);
    },
  );
});

describe('addresses and methods', () => {
  it('answers 404 and 405 as every other error', async () => {
    const { ask } = createHarness();
    for (const path of [
      '/nothing',
      '/api/nothing',
      '/',
      '/ws/',
      '/api/online/player/',
      '/dev/token?userId=1',
    ]) {
      const answer = await ask(path);
      expect([path, answer.status, answer.body['code']]).toEqual([path, 404, 'not-found']);
    }
    const method = await ask('/api/online/login', { as: 'service' });
    expect([method.status, method.body['code']]).toEqual([405, 'method-not-allowed']);
    expect(method.headers.get('allow')).toBe('POST');
    const post = await ask('/api/online/player/42', { body: {} });
    expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    expect((await ask('/healthz', { method: 'HEAD' })).status).toBe(200);
    const plain = await ask('/ws');
    expect([plain.status, plain.body['code'], plain.headers.get('upgrade')]).toEqual([
      426,
      'upgrade-required',
      'websocket',
    ]);
  });

  it('forbids sniffing and storing of every answer', async () => {
    const { ask } = createHarness();
    for (const path of ['/ws/stats', '/nothing', '/api/online/players', '/docs']) {
      const { headers } = await ask(path);
      expect([headers.get('x-content-type-options'), headers.get('cache-control')]).toEqual([
        'nosniff',
        'no-store',
      ]);
    }
  });
});

describe('revocations', () => {
  it('[CR3] a revocation that the store did not confirm gets 503, and the audit line says so', async () => {
    const { ask, logged } = createHarness(
      {},
      { revocations: { revoke: () => Promise.resolve({ at: 5, isKept: false }) } },
    );
    const answer = await ask('/api/users/7/revoke', { as: 'service', method: 'POST' });
    expect([answer.status, answer.body['code']]).toEqual([503, 'revocation-unavailable']);
    expect(logged).toMatchObject([{ action: 'revoke', userId: 7, outcome: 'revocation-unavailable' }]);
  });

  it('[CR3] without presence the number of connections is not known', async () => {
    const { ask, presence, clock } = createHarness();
    presence.unreachable = true;
    const answer = await ask('/api/users/7/revoke', { as: 'service', method: 'POST' });
    expect([answer.status, answer.body]).toEqual([
      200,
      { userId: 7, revokedAt: clock.now(), connections: null },
    ]);
  });
});

describe('documentation', () => {
  it('describes every route with its credentials and errors as OpenAPI 3.1', async () => {
    const { ask } = createHarness({ environment: 'development' });
    const { body } = await ask('/openapi.json');
    const paths = body['paths'] as Record<string, Record<string, Record<string, unknown>>>;
    expect(body['openapi']).toBe('3.1.0');
    expect(Object.keys(paths).sort()).toEqual([
      '/',
      '/api/dashboard/config',
      '/api/dashboard/live',
      '/api/dashboard/users',
      '/api/dashboard/users/{id}',
      '/api/drain',
      '/api/groups/{group}',
      '/api/messages',
      '/api/nodes',
      '/api/online/events',
      '/api/online/heartbeat',
      '/api/online/login',
      '/api/online/logout',
      '/api/online/player/{playerId}',
      '/api/online/players',
      '/api/online/status',
      '/api/tickets',
      '/api/users/{id}/connections',
      '/api/users/{id}/disconnect',
      '/api/users/{id}/revoke',
      '/api/users/{id}/timeline',
      '/dashboard/',
      '/dev/timeline/{id}',
      '/dev/token',
      '/docs',
      '/health',
      '/healthz',
      '/metrics',
      '/openapi.json',
      '/readyz',
      '/simulator/',
      '/ws',
      '/ws/stats',
    ]);
    expect(Object.keys(paths['/ws']?.['get']?.['responses'] as object)).toContain('426');
    const login = paths['/api/online/login']?.['post'];
    expect(login?.['security']).toEqual([{ userToken: [] }, { serviceKey: [] }]);
    expect(Object.keys(login?.['responses'] as object)).toEqual(
      expect.arrayContaining(['200', '400', '401', '403', '413', '429', '503']),
    );
  });

  it('renders a page that loads its own script and nothing from another server', async () => {
    const { ask } = createHarness({ environment: 'development' });
    const page = await ask('/docs');
    expect(page.headers.get('content-type')).toContain('text/html');
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(page.text).toContain('/api/messages');
    expect(page.text.match(/<script[^>]*>/g)).toEqual(['<script type="module" src="./docs/docs.js">']);
    expect(page.text).not.toMatch(/https?:\/\/|\son\w+=/);
    expect(page.headers.get('content-security-policy')).not.toContain('unsafe');
  });
});

describe('GET /dev/token', () => {
  const local = { peer: '127.0.0.1', headers: { host: 'localhost:3000' } };

  it('gives a token to a local developer', async () => {
    const { ask, clock } = createHarness({ environment: 'development' });
    for (const [peer, host] of [
      ['127.0.0.1', 'localhost:3000'],
      ['::1', '[::1]:3000'],
      ['::ffff:127.0.0.1', '127.0.0.1'],
    ] as const) {
      const answer = await ask('/dev/token?userId=42&name=Ann', { peer, headers: { host } });
      expect([answer.status, answer.body]).toEqual([
        200,
        { token: 'user-42', userId: 42, expiresAt: clock.now() + 86_400_000 },
      ]);
    }
    expect((await ask('/dev/token?userId=x', local)).body['code']).toBe('invalid-user-id');
    expect((await ask('/dev/token', local)).status).toBe(400);
    expect((await ask('/dev/token?userId=1&name=%0a', local)).status).toBe(400);
  });

  it.each([
    ['a foreign peer', { ...local, peer: '198.51.100.7' }],
    ['a name that was rebound', { ...local, headers: { host: 'evil.example:3000' } }],
    ['a name that only begins so', { ...local, headers: { host: 'localhost.evil.example' } }],
    [
      'a proxy (X-Forwarded-For)',
      { ...local, headers: { ...local.headers, 'x-forwarded-for': '127.0.0.1' } },
    ],
    ['a proxy (Forwarded)', { ...local, headers: { ...local.headers, forwarded: 'for=127.0.0.1' } }],
    ['a proxy (Via)', { ...local, headers: { ...local.headers, via: '1.1 x' } }],
  ])('answers 404 to %s', async (_who, options) => {
    const { ask } = createHarness({ environment: 'development' });
    expect((await ask('/dev/token?userId=42', options)).status).toBe(404);
  });

  it('does not exist outside development', async () => {
    for (const environment of ['production', 'test'] as const)
      expect((await createHarness({ environment }).ask('/dev/token?userId=42', local)).status).toBe(404);
  });
});
