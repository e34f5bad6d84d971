import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { openHttp, requestText } from '../support/raw-http.ts';

const PATHS = [
  '/healthz',
  '/readyz',
  '/openapi.json',
  '/docs',
  '/docs/docs.js',
  '/',
  '/dashboard',
  '/dashboard/',
  '/ws/stats',
  '/ws',
  '/nothing',
  '/api/messages',
  '/api/nodes',
  '/api/online/players',
  '/api/online/player/x',
  '/api/online/events',
  '/api/groups/a',
  '/api/dashboard/users',
  '/api/users/1/timeline',
] as const;

const STREAMS = [
  ['/api/online/events', 'text/event-stream'],
  ['/api/dashboard/live', '*/*'],
] as const;

/** These differ from one answer to the next. */
const CHANGING = new Set(['date', 'retry-after']);

describe.each(['bun', 'node'] as const)('HEAD on %s', (runtime) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({ runtime, stores: 'embedded' });
  });
  afterAll(() => gateway?.stop());

  const request = (method: string, path: string, headers: Readonly<Record<string, string>> = {}) =>
    requestText(method, path, { headers: { Authorization: `Bearer ${gateway.apiKey}`, ...headers } });

  /** Status and headers of one answer, without waiting for its end. */
  const headOf = async (method: string, path: string, headers: Readonly<Record<string, string>> = {}) => {
    const raw = openHttp(gateway.port(), request(method, path, headers));
    const [status, ...lines] = (await raw.head).text.split('\r\n');
    raw.destroy();
    const named = lines.map((line) => /^([^:]+): *(.*)$/.exec(line)?.slice(1) ?? []);
    const own = named.map(([name = '', value]) => [name.toLowerCase(), value] as const);
    return { status, headers: Object.fromEntries(own.filter(([name]) => !CHANGING.has(name))) };
  };

  it.each(PATHS)('%s has the headers of GET', async (path) => {
    const [get, head] = [await headOf('GET', path), await headOf('HEAD', path)];
    expect(head).toEqual(get);
    expect(head.headers).toHaveProperty('content-length');
  });

  it('/metrics has a length, although its figures change', async () => {
    const { status, headers } = await headOf('HEAD', '/metrics');
    expect([status, headers['content-length']]).toEqual([
      'HTTP/1.1 200 OK',
      expect.stringMatching(/^\d{4,}$/),
    ]);
  });

  it.each(STREAMS)('%s has the headers of the stream', async (path, accept) => {
    const [get, head] = [
      await headOf('GET', path, { Accept: accept }),
      await headOf('HEAD', path, { Accept: accept }),
    ];
    expect(get.headers['content-type']).toContain('text/event-stream');
    expect(head).toEqual(get);
  });

  it.each<readonly [string, string]>([...STREAMS, ['/openapi.json', '*/*'], ['/ws', '*/*']])(
    '%s has no body, and the connection goes on',
    async (path, accept) => {
      const raw = openHttp(gateway.port(), request('HEAD', path, { Accept: accept }));
      await raw.head;
      raw.write(request('GET', '/healthz', { Connection: 'close' }));
      await raw.ended;
      const [, ...others] = raw.received().toString('latin1').split('HTTP/1.1 ').slice(1);
      expect(others.map((answer) => answer.split('\r\n\r\n')[1])).toEqual(['{"status":"ok"}']);
    },
  );
});
