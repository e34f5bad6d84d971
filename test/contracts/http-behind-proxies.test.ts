import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/ports.ts';
import { askRaw, openHttp, requestText } from '../support/raw-http.ts';
import { handshake, openRaw } from '../support/raw-socket.ts';
import { type Deployment, deploy, freshUser } from '../support/stores.ts';

const KEEP_ALIVE_MS = 7_500;
/** Bun's timers run in steps of 4 s. The server adds one step, so that no limit is too short. */
const LATEST_END_MS = KEEP_ALIVE_MS + 8_000;
/** For a busy machine. */
const LATE_MS = 4_000;
/** The feed sends a comment every 5 s. */
const AT_ONCE_MS = 4_500;

describe.concurrent.each(['bun', 'node'] as const)('HTTP behind proxies on %s', (runtime) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy({
      runtime,
      kind: 'embedded',
      env: {
        NODE_ENV: 'production',
        LINGXI_UNKNOWN_USERS: 'create',
        LINGXI_KEEPALIVE_TIMEOUT_MS: String(KEEP_ALIVE_MS),
      },
    });
  });
  afterAll(() => deployment?.stop());

  const port = () => deployment.gateway.port();
  const service = () => ({ Authorization: `Bearer ${deployment.gateway.apiKey}` });

  describe.sequential('health checks', () => {
    it.each([
      ['HTTP/1.0 without Host, as HAProxy asks', 'GET /healthz HTTP/1.0\r\n\r\n'],
      ['HTTP/1.0 with a Host', 'GET /healthz HTTP/1.0\r\nHost: game.example\r\n\r\n'],
      ['HTTP/1.0 with an empty Host', 'GET /healthz HTTP/1.0\r\nHost: \r\n\r\n'],
      ['an empty Host', 'GET /healthz HTTP/1.1\r\nHost: \r\n\r\n'],
      ['a long IPv6 address', 'GET /healthz HTTP/1.1\r\nHost: [0:0:0:0:0:0:0:1]:4101\r\n\r\n'],
      ['an empty port', 'GET /healthz HTTP/1.1\r\nHost: x:\r\n\r\n'],
      ['a trailing dot', 'GET /healthz HTTP/1.1\r\nHost: Game.Example.:443\r\n\r\n'],
      ['a name with an underscore', 'GET /healthz HTTP/1.1\r\nHost: game_1:3000\r\n\r\n'],
      ['a query', 'GET /healthz?probe=1 HTTP/1.0\r\n\r\n'],
    ])('with %s get 200', async (_name, request) => {
      const answer = await askRaw(port(), request);
      expect([answer.status, answer.body]).toEqual([200, '{"status":"ok"}']);
    });

    it.each([
      ['no Host in HTTP/1.1', 'GET /healthz HTTP/1.1\r\n\r\n'],
      ['a Host with a path', 'GET /healthz HTTP/1.1\r\nHost: game.example/x\r\n\r\n'],
      ['a Host with a user', 'GET /healthz HTTP/1.1\r\nHost: me@game.example\r\n\r\n'],
      ['a Host with a space', 'GET /healthz HTTP/1.1\r\nHost: game example\r\n\r\n'],
      ['two Hosts', 'GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
    ])('with %s get 400', async (_name, request) => {
      expect((await askRaw(port(), request)).status).toBe(400);
    });

    it('reads the body of a request without a Host', async () => {
      const body = JSON.stringify({ playerId: freshUser() });
      const { Authorization } = service();
      const head = `POST /api/online/login HTTP/1.0\r\nAuthorization: ${Authorization}\r\nContent-Length: ${body.length}`;
      expect((await askRaw(port(), `${head}\r\n\r\n${body}`)).status).toBe(200);
    });
  });

  describe.sequential('an idle connection', () => {
    it('stays open for LINGXI_KEEPALIVE_TIMEOUT_MS after an answer, then the server ends it', async () => {
      const requests = [
        requestText('GET', '/healthz'),
        // The time limit of a request must not apply to the idle connection after it.
        requestText('POST', '/api/online/login', {
          headers: service(),
          body: JSON.stringify({ playerId: freshUser() }),
        }),
      ];
      const idle = requests.map(async (request) => {
        // Taken before the answer, because this process may read the answer late.
        const since = performance.now();
        const http = openHttp(port(), request);
        const [answer] = await http.settled(1);
        expect(answer?.status).toBe(200);
        return (await http.ended).at - since;
      });
      for (const lasted of await Promise.all(idle)) {
        expect(lasted).toBeGreaterThan(KEEP_ALIVE_MS - 100);
        expect(lasted).toBeLessThan(LATEST_END_MS + LATE_MS);
      }
    });
  });

  describe.sequential('the same origin', () => {
    const upgrade = async (origin: string, host: string) => {
      const raw = openRaw(
        port(),
        handshake('/ws', deployment.gateway.token(freshUser()), { Origin: origin, Host: host }),
      );
      const { status } = await raw.head;
      raw.destroy();
      return status;
    };

    it.each([
      ['https://game.example', 'game.example:443'],
      ['https://game.example', 'game.example'],
      ['http://game.example', 'game.example:80'],
      ['https://[::1]', '[::1]:443'],
      ['https://[::1]', '[0:0:0:0:0:0:0:1]'],
      ['https://game.example', 'game.example.'],
      ['https://game.example.', 'Game.Example:443'],
      ['https://game.example:8443', 'game.example.:8443'],
    ])('%s has the same origin as Host %s', async (origin, host) => {
      expect(await upgrade(origin, host)).toBe(101);
    });

    it.each([
      ['https://game.example', 'game.example:8443'],
      ['https://game.example:8443', 'game.example'],
      ['https://evil.example', 'game.example:443'],
      ['https://game.example.evil.example', 'game.example'],
      ['null', 'null'],
      ['https://game.example', ''],
    ])('%s has another origin than Host %j', async (origin, host) => {
      expect([400, 403]).toContain(await upgrade(origin, host));
    });
  });

  it.sequential('the feed begins at once, and no proxy buffers it', async () => {
    const started = performance.now();
    const headers = { ...service(), Accept: 'text/event-stream' };
    const raw = openHttp(port(), requestText('GET', '/api/online/events', { headers }));
    const { status, text } = await raw.head;
    expect(status).toBe(200);
    expect(text.toLowerCase()).toContain('x-accel-buffering: no');
    await eventually(() => expect(raw.received().toString('latin1')).toContain(':\n\n'));
    expect(performance.now() - started).toBeLessThan(AT_ONCE_MS);
    raw.destroy();
  });

  describe.sequential('pages', () => {
    const paths = ['/api/online/events', '/api/users/1/timeline'] as const;

    it.each(paths)('%s accepts a limit of 1 to 1,000', async (path) => {
      const { gateway } = deployment;
      for (const limit of ['1', '1000'])
        expect((await gateway.service('GET', `${path}?limit=${limit}`)).status).toBe(200);
      for (const limit of ['0', '1001', '9999', '10000', '-1', '1.5', 'x', '']) {
        const answer = await gateway.service('GET', `${path}?limit=${limit}`);
        expect([limit, answer.status, answer.body['code']]).toEqual([limit, 400, 'invalid-body']);
        expect(answer.body['error']).toContain('limit');
      }
    });

    it.each(['zzz', '1', '-', '0-', '1-x', '%00', 'x'.repeat(200)])(
      'the feed refuses the cursor %s, which the server never returned',
      async (cursor) => {
        for (const headers of [{}, { accept: 'text/event-stream' }]) {
          const path = `/api/online/events?cursor=${cursor}`;
          const answer = await deployment.gateway.call('GET', path, { service: true, headers });
          expect([answer.status, answer.body['code']]).toEqual([400, 'invalid-body']);
        }
      },
    );

    it('the feed reports that a cursor of another store has expired', async () => {
      for (const cursor of ['5-1', '1795512989765-0', 'game-1:mwui2n13d6f087-3']) {
        const answer = await deployment.gateway.service('GET', `/api/online/events?cursor=${cursor}`);
        expect([answer.status, answer.body['code']]).toEqual([410, 'cursor-expired']);
      }
    });
  });
});
