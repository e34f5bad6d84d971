import { createConnection } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { sleep } from '../support/ports.ts';
import { askRaw, openHttp, requestText } from '../support/raw-http.ts';
import { openUnread } from '../support/raw-socket.ts';
import { type Deployment, deploy, freshUser } from '../support/stores.ts';
import { startWitness, type Witness } from '../support/witness.ts';
import { connect } from '../support/ws-client.ts';

/** The limit of waiting requests of a connection, plus one that is refused. */
const MOST_ANSWERS = 17;
/** An idle machine stays under 20 ms, and two busy cores take half a second. A blocked loop can take 9 s. */
const WITNESS_LIMIT_MS = 3_000;
/** Far more than both ends keep in their buffers, but far less than the offered body. */
const MOST_UPLOADED_BYTES = 32 * 1_048_576;
const OFFERED_BYTES = 100 * 1_048_576;
/** The headers that `curl --http2` and Java's HttpClient send with every request in clear text. */
const OFFER = {
  Connection: 'Upgrade, HTTP2-Settings',
  Upgrade: 'h2c',
  'HTTP2-Settings': 'AAMAAABkAAQCAAAAAAIAAAAA',
} as const;

describe.each(['bun', 'node'] as const)('hostile HTTP on %s', (runtime) => {
  let deployment: Deployment;
  let witness: Witness;
  beforeAll(async () => {
    deployment = await deploy({
      runtime,
      kind: 'embedded',
      env: {
        LINGXI_LEGACY_OPEN_API: 'true',
        LINGXI_MAX_BODY_BYTES: '65536',
      },
    });
    witness = await startWitness(deployment.gateway);
  });
  afterAll(async () => {
    witness?.stop();
    await deployment?.stop();
  });
  afterEach(async () => {
    await witness.noticedNothing(Number.POSITIVE_INFINITY);
  });

  const port = () => deployment.gateway.port();
  const service = () => ({ Authorization: `Bearer ${deployment.gateway.apiKey}` });
  const push = (userId: number) => JSON.stringify({ to: { userId }, type: 'n', data: 1 });

  describe('a flood of requests', () => {
    const flood = (count: number) => requestText('GET', '/docs').repeat(count);

    it.each([500, 2_000])(
      'of %d at once gets at most 16 answers and delays no other client',
      async (count) => {
        witness.forget();
        const http = openHttp(port(), flood(count));
        await http.ended;
        await witness.noticedNothing(WITNESS_LIMIT_MS);
        const answers = http.answers();
        expect(answers.length).toBeLessThanOrEqual(MOST_ANSWERS);
        const last = answers.at(-1);
        expect([last?.status, last?.headers['connection']?.toLowerCase()]).toEqual([429, 'close']);
        expect(last?.headers['retry-after']).toMatch(/^\d+$/);
        expect(JSON.parse(last?.body ?? '')).toMatchObject({ code: 'rate-limited' });
      },
    );

    it('from sockets that never read delays no other client', async () => {
      witness.forget();
      const sockets = Array.from({ length: 5 }, () => {
        const http = openHttp(port(), flood(500));
        http.socket.pause();
        return http;
      });
      const more = setInterval(() => {
        for (const http of sockets) if (!http.socket.destroyed) http.write(flood(100));
      }, 50);
      await sleep(500);
      clearInterval(more);
      await witness.noticedNothing(WITNESS_LIMIT_MS);
      for (const http of sockets) http.destroy();
    });

    it('from forty clients that return as soon as they are answered delays no other client', async () => {
      witness.forget();
      const requests = requestText('GET', '/healthz', { headers: service() }).repeat(16);
      const until = performance.now() + 2_500;
      const comeAgain = async (): Promise<void> => {
        while (performance.now() < until) await exchange(port(), requests, 16);
      };
      await Promise.all(Array.from({ length: 40 }, comeAgain));
      await witness.noticedNothing(WITNESS_LIMIT_MS);
    });

    it('of 16 at once from each of a thousand connections delays no other client', async () => {
      // With the service key, no limit refuses these requests.
      const requests = requestText('GET', '/healthz', { headers: service() }).repeat(16);
      // These sockets never read, because the witness shares this process.
      const sockets = await Promise.all(Array.from({ length: 1_000 }, () => openUnread(port())));
      witness.forget();
      for (const socket of sockets) socket.write(requests);
      await witness.noticedNothing(WITNESS_LIMIT_MS);
      for (const socket of sockets) socket.destroy();
    });

    it('of 16 at once gets its answers in order', async () => {
      const paths = Array.from({ length: 16 }, (_, index) => (index % 2 === 0 ? '/healthz' : '/nothing'));
      const http = openHttp(port(), paths.map((path) => requestText('GET', path)).join(''));
      // What the test before it left to answer may come first.
      const answers = await http.settled(16, 20_000);
      expect(answers.map(({ status }) => status)).toEqual(
        paths.map((path) => (path === '/healthz' ? 200 : 404)),
      );
      http.destroy();
    });

    it('for the interface pages renders each page once', async () => {
      const cpu = async () => {
        const { text } = await deployment.gateway.call('GET', '/metrics');
        return Number(/^process_cpu_seconds_total ([\d.]+)/m.exec(text)?.[1]);
      };
      const costOf = async (path: string): Promise<number> => {
        const before = await cpu();
        for (let index = 0; index < 400; index += 1) await deployment.gateway.call('GET', path);
        return (await cpu()) - before;
      };
      for (const path of ['/docs', '/openapi.json']) await deployment.gateway.call('GET', path);
      const small = await costOf('/healthz');
      // Compared with the smallest answer, which needs the time of any request: the machine may be slow.
      expect(await costOf('/docs')).toBeLessThan(4 * small + 0.2);
    });
  });

  describe('attempts to bypass the limits', () => {
    it.each([
      ['a request that expects something', requestText('GET', '/healthz', { headers: { Expect: 'x' } })],
      ['a request for the path of sockets', requestText('GET', '/ws')],
      ['a page of metrics', requestText('GET', '/metrics')],
    ])('%s: 200 in one write get 16 answers, then 429 and the end', async (_name, request) => {
      witness.forget();
      const http = openHttp(port(), request.repeat(200));
      await http.ended;
      const answers =
        http
          .received()
          .toString('latin1')
          .match(/HTTP\/1\.1 \d{3}/g) ?? [];
      expect(answers.length).toBeLessThanOrEqual(MOST_ANSWERS);
      expect(answers.at(-1)).toBe('HTTP/1.1 429');
      await witness.noticedNothing(WITNESS_LIMIT_MS);
    });

    it('the server cuts off a body in pieces of one byte after a thousand pieces', async () => {
      witness.forget();
      const head = 'POST /api/online/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n';
      // This process sends all of them, and also times the pongs. So there are only a few, enough to show the cut.
      const bodies = Array.from({ length: 3 }, () => openHttp(port(), head + '1\r\n \r\n'.repeat(100_000)));
      for (const http of bodies) {
        await http.ended;
        expect(http.received().toString('latin1')).toMatch(/^(HTTP\/1\.1 413|$)/);
      }
      await witness.noticedNothing(WITNESS_LIMIT_MS);
    });

    it('the server keeps reading a body over the limit for a while, so that its sender sees the answer', async () => {
      for (const size of [70_000, 200_000]) {
        const { status } = await deployment.gateway.call('POST', '/api/messages', {
          service: true,
          body: `"${'x'.repeat(size)}"`,
        });
        expect(status).toBe(413);
      }
    });
  });

  describe('an unwanted upload', () => {
    it.each<[string, string, string, Record<string, string>]>([
      ['401', 'POST', '/api/messages', { 'Content-Length': String(OFFERED_BYTES) }],
      ['401, in chunks', 'POST', '/api/messages', { 'Transfer-Encoding': 'chunked' }],
      ['404', 'POST', '/nothing', { 'Content-Length': String(OFFERED_BYTES) }],
      ['404, in chunks', 'POST', '/nothing', { 'Transfer-Encoding': 'chunked' }],
      ['405', 'PUT', '/healthz', { 'Content-Length': String(OFFERED_BYTES) }],
      ['413', 'POST', '/api/online/login', { 'Content-Length': String(OFFERED_BYTES) }],
      ['200', 'GET', '/ws/stats', { 'Content-Length': String(OFFERED_BYTES) }],
      ['426', 'GET', '/ws', { 'Content-Length': String(OFFERED_BYTES) }],
    ])('is cut off after %s', async (outcome, method, path, headers) => {
      witness.forget();
      const http = openHttp(port(), requestText(method, path, { headers }));
      const [answer] = await http.settled(1);
      expect([answer?.status, answer?.headers['connection']?.toLowerCase()]).toEqual([
        Number.parseInt(outcome, 10),
        'close',
      ]);
      const uploaded = await upload(http, headers['Transfer-Encoding'] !== undefined);
      expect(http.hasEnded()).toBe(true);
      expect(uploaded).toBeLessThan(MOST_UPLOADED_BYTES);
      await witness.noticedNothing(WITNESS_LIMIT_MS);
    });

    it('keeps the connection open if it is small', async () => {
      const refused = requestText('POST', '/api/messages', { body: 'x'.repeat(500) });
      const http = openHttp(port(), refused);
      expect((await http.settled(1))[0]?.status).toBe(401);
      http.write(requestText('GET', '/healthz'));
      expect((await http.settled(2))[1]?.status).toBe(200);
      http.destroy();
    });
  });

  describe('an offer to upgrade to anything but WebSocket', () => {
    const drain = (body: string, headers: Record<string, string> = {}) =>
      requestText('POST', '/api/drain', { headers: { ...service(), ...OFFER, ...headers }, body });
    const NOBODY = '{"node":"game-2"}';

    it('keeps the body of the request and the connection', async () => {
      const http = openHttp(port(), drain(NOBODY));
      await http.settled(1);
      http.write(drain(NOBODY));
      await http.settled(2);
      const user = freshUser();
      const message = requestText('POST', '/api/messages', {
        headers: { ...service(), ...OFFER },
        body: push(user),
      });
      http.write(message);
      const answers = await http.settled(3);
      // The call drains only the named node.
      expect(answers.map(({ status }) => status)).toEqual([404, 404, 200]);
      expect(JSON.parse(answers[2]?.body ?? '')).toMatchObject({ results: [{ userId: user }] });
      expect(http.hasEnded()).toBe(false);
      http.destroy();
    });

    it.each<[string, string, Record<string, string>]>([
      ['in chunks', '7\r\n{"node"\r\na\r\n:"game-2"}\r\n0\r\n\r\n', { 'Transfer-Encoding': 'chunked' }],
      ['after 100-continue', NOBODY, { Expect: '100-continue' }],
      ['to WebSocket elsewhere', NOBODY, { Connection: 'Upgrade', Upgrade: 'websocket' }],
    ])('keeps a body %s', async (_name, body, headers) => {
      expect((await askRaw(port(), drain(body, headers))).status).toBe(404);
      expect((await deployment.gateway.call('GET', '/readyz')).status).toBe(200);
    });

    it('keeps a body that arrives late and in pieces', async () => {
      const [head = '', body = ''] = drain(NOBODY).split('\r\n\r\n');
      const http = openHttp(port(), `${head}\r\n\r\n`);
      for (const byte of body) {
        await sleep(5);
        http.write(byte);
      }
      expect((await http.settled(1))[0]?.status).toBe(404);
      http.destroy();
    });

    it('blocks the user for the time in the body', async () => {
      const user = freshUser();
      const { gateway } = deployment;
      const client = await connect(gateway.wsUrl, { token: gateway.token(user) });
      const body = '{"blockMs":600000}';
      const kick = requestText('POST', `/api/users/${user}/disconnect`, {
        headers: { ...service(), ...OFFER },
        body,
      });
      const answer = await askRaw(port(), kick);
      expect([answer.status, Object.keys(JSON.parse(answer.body))]).toEqual([
        200,
        expect.arrayContaining(['blockedUntil']),
      ]);
      expect((await client.closed).code).toBe(4002);
    });

    it('loses no request right after it: the server answers it or closes the connection', async () => {
      const http = openHttp(port(), drain(NOBODY) + requestText('GET', '/healthz'));
      const answers = await http.settled(2);
      expect(answers[0]?.status).toBe(404);
      if (answers.length === 1) expect(answers[0]?.headers['connection']?.toLowerCase()).toBe('close');
      else expect(answers[1]?.status).toBe(200);
      http.destroy();
    });

    it.each([
      ['TRACE', '/healthz', 405],
      ['OPTIONS', '/api/online/login', 204],
      ['GET', '/healthz', 200],
      ['GET', '/ws', 426],
      ['POST', '/ws', 405],
      ['HEAD', '/healthz', 200],
    ])('%s %s gets %d', async (method, target, status) => {
      const http = openHttp(port(), requestText(method, target, { headers: OFFER }));
      await http.head;
      expect((await http.head).status).toBe(status);
      http.destroy();
    });
  });
});

/** Sends bytes until the server ends the connection or all are sent; returns the number of accepted bytes. */
async function upload(http: ReturnType<typeof openHttp>, inChunks: boolean): Promise<number> {
  const bytes = Buffer.alloc(65_536, 0x20);
  const piece = inChunks ? Buffer.concat([Buffer.from('10000\r\n'), bytes, Buffer.from('\r\n')]) : bytes;
  let sent = 0;
  while (!http.hasEnded() && sent < OFFERED_BYTES) {
    sent += bytes.length;
    if (http.socket.write(piece)) continue;
    const taken = new Promise<void>((resolve) => http.socket.once('drain', () => resolve()));
    await Promise.race([taken, http.ended]);
  }
  await Promise.race([http.ended, sleep(10_000)]);
  return sent;
}

/** Sends the requests on its own connection, and closes it after this many answers. The server may close it earlier. */
function exchange(port: number, requests: string, answers: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: '127.0.0.1' }, () => socket.write(requests));
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (text.split('HTTP/1.1 ').length > answers) socket.destroy();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
  });
}
