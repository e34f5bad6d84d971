import { request } from 'node:http';
import { networkInterfaces } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { type PresenceView, viewPresence } from '../support/presence-view.ts';
import { freshUser } from '../support/stores.ts';

const ORIGIN = 'https://game.example';

describe.each(['bun', 'node'] as const)('service endpoints on %s', (runtime) => {
  let gateway: Gateway;
  let production: Gateway;
  let view: PresenceView;
  beforeAll(async () => {
    [gateway, production] = await Promise.all([
      startGateway({ runtime, stores: 'embedded', env: { LINGXI_ALLOWED_ORIGINS: ORIGIN } }),
      startGateway({ runtime, stores: 'embedded', env: { NODE_ENV: 'production' } }),
    ]);
    view = viewPresence({ gateway });
  });
  afterAll(() => Promise.all([gateway?.stop(), production?.stop()]));

  describe('messages', () => {
    const push = (body: unknown) => gateway.service('POST', '/api/messages', body);

    it('[DL1] returns the status of each receiver', async () => {
      const [connected, lingering, absent] = [freshUser(), freshUser(), freshUser()];
      const client = await view.seed(connected);
      await view.login(lingering);
      const { body } = await push({
        to: { userIds: [connected, lingering, absent] },
        type: 'gift',
        data: { n: 1 },
      });
      expect(body['results']).toEqual([
        { userId: connected, status: 'written', connections: 1 },
        { userId: lingering, status: 'offline', connections: 0, reason: 'no-connection' },
        expect.objectContaining({ userId: absent, status: 'offline', connections: 0 }),
      ]);
      expect(body['counts']).toMatchObject({ written: 1, offline: 2 });
      expect((await client.next('gift')).data).toEqual({ n: 1 });
      client.terminate();
    });

    it('reaches everybody with {all: true} and returns only counts', async () => {
      const clients = [await view.seed(freshUser()), await view.v1(freshUser())];
      const { body } = await push({ to: { all: true }, type: 'world', data: 'tick' });
      expect(body).not.toHaveProperty('results');
      expect((body['counts'] as Record<string, number>)['written']).toBeGreaterThanOrEqual(2);
      for (const client of clients) {
        expect((await client.next('world')).data).toBe('tick');
        client.terminate();
      }
    });

    it('answers a batch with an array in the same order', async () => {
      const user = freshUser();
      const client = await view.seed(user);
      const answer = await push([
        { to: { userId: user }, type: 'a', data: 1 },
        { to: { userId: freshUser() }, type: 'b', data: 2 },
      ]);
      const statuses = (answer.json as readonly { results: readonly { status: string }[] }[]).map(
        (entry) => entry.results[0]?.status,
      );
      expect(statuses).toEqual(['written', 'offline']);
      client.terminate();
    });

    it.each([
      ['no receiver', { type: 'n', data: 1 }],
      ['two kinds of receiver', { to: { userId: 1, all: true }, type: 'n', data: 1 }],
      ['no type', { to: { userId: 1 }, data: 1 }],
      ['a type that is no text', { to: { userId: 1 }, type: 1, data: 1 }],
      ['a bad id', { to: { userId: 'abc' }, type: 'n', data: 1 }],
      ['a bad id among others', { to: { userIds: [1, -1] }, type: 'n', data: 1 }],
      ['too long a wait', { to: { userId: 1 }, type: 'n', data: 1, ack: true, timeoutMs: 10_001 }],
      ['too many users', { to: { userIds: Array.from({ length: 10_001 }, () => 1) }, type: 'n', data: 1 }],
      ['too long a batch', Array.from({ length: 1_001 }, () => ({ to: { userId: 1 }, type: 'n', data: 1 }))],
    ])('refuses %s with 400', async (_name, body) => {
      const answer = await push(body);
      expect(answer.status).toBe(400);
      expect(answer.body).toEqual({ error: expect.any(String), code: expect.any(String) });
    });
  });

  describe('users', () => {
    it('lists the connections of a user', async () => {
      const user = freshUser();
      const client = await view.v1(user);
      const answer = await gateway.service('GET', `/api/users/${user}/connections`);
      expect(answer.status).toBe(200);
      const text = JSON.stringify(answer.json);
      for (const part of ['"node"', '"since"', '"epoch"', '"protocol":"lingxi.v1"', '127.0.0.1']) {
        expect(text).toContain(part);
      }
      client.terminate();
    });

    it('logs an audit line with the unchanged reason when the service disconnects a user', async () => {
      const user = freshUser();
      const client = await view.seed(user);
      const reason = 'cheating\n\u0007\u202e';
      await gateway.service('POST', `/api/users/${user}/disconnect`, { reason });
      expect(await client.closed).toMatchObject({ code: 4002, reason });
      const line = await gateway.waitForLog('audit', (entry) => JSON.stringify(entry).includes('disconnect'));
      expect(line['reason']).toBe(reason);
      expect(JSON.stringify(line)).not.toContain(gateway.apiKey);
    });
  });

  describe('operation', () => {
    it.each(['/healthz', '/health', '/readyz'])('GET %s answers every caller', async (path) => {
      const answer = await gateway.call('GET', path);
      expect(answer.status).toBe(200);
      expect(answer.body).toMatchObject({ status: 'ok' });
    });

    it('GET /metrics has all stable names', async () => {
      const { status, text, headers } = await gateway.call('GET', '/metrics');
      expect(status).toBe(200);
      expect(headers.get('content-type')).toMatch(/text\/plain/);
      const names = [
        'lingxi_users_online',
        'lingxi_connections',
        'lingxi_logins_total',
        'lingxi_logouts_total',
        'lingxi_heartbeats_total',
        'lingxi_dispatch_queue_depth',
        'lingxi_messages_total',
        'lingxi_messages_dropped_total',
        'lingxi_detection_lag_seconds',
        'lingxi_settlements_pending',
        'lingxi_settlement_oldest_age_seconds',
        'lingxi_ghosts',
        'lingxi_stall_credited_seconds_total',
      ];
      expect(names.filter((name) => !text.includes(`# TYPE ${name} `))).toEqual([]);
    });

    it('GET /metrics and /dev/token are closed in production', async () => {
      expect((await production.call('GET', '/metrics')).status).toBe(401);
      expect((await production.service('GET', '/metrics')).status).toBe(200);
      expect((await production.call('GET', '/dev/token?userId=1')).status).toBe(404);
    });

    it('GET /openapi.json describes the paths in OpenAPI 3.1, and /docs is a page', async () => {
      const { body } = await gateway.call('GET', '/openapi.json');
      expect(String(body['openapi'])).toMatch(/^3\.1/);
      const paths = Object.keys(body['paths'] as object);
      for (const path of ['/ws/stats', '/api/online/login', '/api/messages', '/healthz']) {
        expect(paths).toContain(path);
      }
      const docs = await gateway.call('GET', '/docs');
      expect(docs.status).toBe(200);
      expect(docs.headers.get('content-type')).toMatch(/text\/html/);
    });
  });

  describe('/dev/token', () => {
    const ask = (headers: Record<string, string>): Promise<{ status: number; text: string }> =>
      new Promise((resolve, reject) => {
        const options = { port: gateway.port(), host: '127.0.0.1', path: '/dev/token?userId=77', headers };
        request(options, (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (chunk: string) => {
            text += chunk;
          });
          response.once('end', () => resolve({ status: response.statusCode ?? 0, text }));
        })
          .once('error', reject)
          .end();
      });

    it.each(['localhost', '127.0.0.1', '[::1]'])('gives a token to Host %s', async (host) => {
      const { status, text } = await ask({ host: `${host}:${gateway.port()}` });
      expect(status).toBe(200);
      const token = /[\w-]+\.[\w-]+\.[\w-]+/.exec(text)?.[0] ?? '';
      const own = await gateway.call('POST', '/api/online/login', { token, body: { playerId: 77 } });
      expect(own.status).toBe(200);
    });

    it.each<[string, Record<string, string>]>([
      ['a foreign Host', { host: 'evil.example' }],
      ['a Host that ends like ours', { host: 'notlocalhost' }],
      ['Forwarded', { host: 'localhost', forwarded: 'for=198.51.100.1' }],
      ['X-Forwarded-For', { host: 'localhost', 'x-forwarded-for': '198.51.100.1' }],
      ['Via', { host: 'localhost', via: '1.1 proxy' }],
    ])('refuses %s', async (_name, headers) => {
      const { status, text } = await ask(headers);
      expect([403, 404]).toContain(status);
      expect(text).not.toMatch(/eyJ/);
    });
  });

  it('listens on both loopback addresses in development without HOST', async () => {
    const local = await startGateway({ runtime, stores: 'embedded', env: { HOST: undefined } });
    try {
      const families = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
      const hosts = ['127.0.0.1', ...(families.some((entry) => entry.address === '::1') ? ['[::1]'] : [])];
      for (const host of hosts) {
        expect((await fetch(`http://${host}:${local.port()}/healthz`)).status).toBe(200);
      }
    } finally {
      await local.stop();
    }
  });

  describe('CORS', () => {
    it('answers the preflight of a listed origin with 204', async () => {
      const answer = await gateway.call('OPTIONS', '/api/online/login', {
        headers: {
          origin: ORIGIN,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'authorization,content-type',
        },
      });
      expect(answer.status).toBe(204);
      expect(answer.headers.get('access-control-allow-origin')).toBe(ORIGIN);
      expect(answer.headers.get('access-control-allow-methods')).toMatch(/POST/);
      expect(answer.headers.get('access-control-allow-headers')?.toLowerCase()).toMatch(/authorization/);
    });

    it('names only the listed origin in answers', async () => {
      const allowed = async (origin: string) =>
        (
          await gateway.call('GET', '/api/online/players', { service: true, headers: { origin } })
        ).headers.get('access-control-allow-origin');
      expect(await allowed(ORIGIN)).toBe(ORIGIN);
      expect(await allowed('https://evil.example')).toBeNull();
      expect(await allowed('null')).toBeNull();
    });
  });
});
