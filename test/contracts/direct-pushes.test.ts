import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REPOSITORY } from '../support/cache.ts';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually } from '../support/ports.ts';
import { askRaw, openHttp, type RawAnswer, type RawHttp, requestText } from '../support/raw-http.ts';
import { freshUser } from '../support/stores.ts';
import { connect } from '../support/ws-client.ts';

const PATH = '/api/messages';
const ORIGIN = 'https://game.example';
const VIEW_KEY = 'test-view-key-0123456789abcdef0123456789abcdef';
const MAX_BODY_BYTES = 8_192;
const PRELOAD = join(REPOSITORY, 'test/support/planted-fault.mjs');
/** With this header the router answers. The answer does not depend on it, because no proxy is trusted. */
const ROUTED = { 'X-Forwarded-For': '192.0.2.7' };

/** The result of one way for the client: every answer, and whether the server ended the connection. */
interface Seen {
  readonly answers: readonly RawAnswer[];
  readonly ended: boolean;
}

/** Only the second of the answer may differ. */
function withoutDate({ status, headers, body }: RawAnswer): RawAnswer {
  const { date, ...rest } = headers;
  return { status, headers: { ...rest, date: date === undefined ? 'absent' : 'present' }, body };
}

describe.concurrent.each(['bun', 'node'] as const)('pushes answered without the router on %s', (runtime) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      runtime,
      stores: 'embedded',
      env: {
        LINGXI_ALLOWED_ORIGINS: ORIGIN,
        LINGXI_VIEW_KEY: VIEW_KEY,
        LINGXI_MAX_BODY_BYTES: String(MAX_BODY_BYTES),
        LINGXI_READ_TIMEOUT_MS: '2000',
        NODE_OPTIONS: `--import ${PRELOAD}`,
        BUN_OPTIONS: `--preload ${PRELOAD}`,
      },
    });
  });
  afterAll(() => gateway?.stop());

  const service = () => ({ Authorization: `Bearer ${gateway.apiKey}` });
  const push = (userId = freshUser()) => JSON.stringify({ to: { userId }, type: 'n', data: 1 });
  const internalErrors = () => gateway.logs().filter(({ event }) => event === 'internal-error');
  const absent = JSON.stringify({ to: { userId: 1 }, type: 'n', data: 1 });

  /** Sends each piece after the previous one was written, and reads `count` answers or until the end. */
  async function see(pieces: readonly string[], count: number, ends = false): Promise<Seen> {
    const http = openHttp(gateway.port());
    try {
      for (const piece of pieces) await written(http, piece);
      const answers = await http.settled(ends ? Number.POSITIVE_INFINITY : count, 15_000);
      return { answers: answers.map(withoutDate), ended: ends };
    } finally {
      http.destroy();
    }
  }

  /** Both ways must give the same result; returns that result. */
  async function seeBoth(
    ask: (routed: Readonly<Record<string, string>>) => Promise<Seen>,
  ): Promise<readonly RawAnswer[]> {
    const [direct, routed] = [await ask({}), await ask(ROUTED)];
    expect(direct).toEqual(routed);
    return direct.answers;
  }

  const askBoth = (
    target: string,
    body: string,
    headers: Readonly<Record<string, string>> = {},
    method = 'POST',
  ): Promise<readonly RawAnswer[]> =>
    seeBoth((routed) =>
      see([requestText(method, target, { headers: { ...service(), ...headers, ...routed }, body })], 1),
    );

  it.sequential('a push has the status, the headers and the body that the router gives it', async () => {
    const [answer] = await askBoth(PATH, absent);
    expect(answer?.status).toBe(200);
    expect(answer?.headers).toMatchObject({
      'content-type': 'application/json',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      vary: 'Origin',
      date: 'present',
    });
    expect(JSON.parse(answer?.body ?? '')).toMatchObject({ counts: { offline: 1 } });
  });

  it.each<[string, string, number, Readonly<Record<string, string>>?]>([
    ['a batch', `[${absent},${absent}]`, 200],
    ['an empty batch', '[]', 200],
    ['a page of an allowed origin', absent, 200, { Origin: ORIGIN }],
    ['a page of a foreign origin', absent, 200, { Origin: 'https://evil.example' }],
    ['a client that ends the connection', absent, 200, { Connection: 'close' }],
    ['a client that asks before it sends', absent, 200, { Expect: '100-continue' }],
    ['an expectation that nobody knows', absent, 200, { Expect: 'x-odd' }],
    ['a host with brackets', absent, 200, { Host: '[::1]:8080' }],
    ['an invalid host', absent, 400, { Host: 'a b' }],
    ['an empty body', '', 400],
    ['a body that is no JSON', '{"to":', 400],
    ['a body that is null', 'null', 400],
    ['a body that is nested deeply', '['.repeat(200) + ']'.repeat(200), 400],
    ['a wrong field', '{"to":{"userId":1},"type":"n","colour":1}', 400],
    [
      'a wrong field in Chinese',
      '{"to":{"userId":1},"type":"n","colour":1}',
      400,
      { 'Accept-Language': 'zh' },
    ],
    ['a body of more than the limit', absent + ' '.repeat(MAX_BODY_BYTES), 413],
    ['a body of the limit', absent.padEnd(MAX_BODY_BYTES), 200],
    ['the view key', absent, 403, { Authorization: `Bearer ${VIEW_KEY}` }],
    ['no credential', absent, 401, { Authorization: '' }],
    ['two credentials', absent, 401, { Authorization: `Bearer ${VIEW_KEY}, Bearer ${VIEW_KEY}` }],
    ['an upgrade to another protocol', absent, 200, { Connection: 'Upgrade', Upgrade: 'h2c' }],
    ['a header in latin1', absent, 200, { 'X-Odd': 'caf\xe9', Origin: 'caf\xe9' }],
  ])('%s is answered as by the router', async (_name, body, status, headers = {}) => {
    const answers = await askBoth(PATH, body, headers);
    expect(answers.map((answer) => answer.status)).toEqual([status]);
  });

  it.each<[string, string, number]>([
    ['POST', `${PATH}?a=1`, 200],
    ['POST', `http://127.0.0.1${PATH}`, 200],
    ['POST', `/${PATH}`, 404],
    ['POST', `${PATH}/`, 404],
    ['POST', '/api/%6dessages', 200],
    ['GET', PATH, 405],
    ['PUT', PATH, 405],
  ])('%s %s is answered as by the router', async (method, target, status) => {
    const answers = await askBoth(target, absent, {}, method);
    expect(answers.map((answer) => answer.status)).toEqual([status]);
  });

  it.sequential('HEAD and OPTIONS are answered as by the router', async () => {
    for (const [method, status] of [
      ['HEAD', 405],
      ['OPTIONS', 204],
    ] as const) {
      const statusOf = async (routed: Readonly<Record<string, string>>) => {
        const http = openHttp(
          gateway.port(),
          requestText(method, PATH, { headers: { ...service(), Origin: ORIGIN, ...routed } }),
        );
        const { text } = await http.head.finally(http.destroy);
        return text.replace(/^date: .*$/im, 'date');
      };
      const direct = await statusOf({});
      expect(direct).toBe(await statusOf(ROUTED));
      expect(direct).toContain(` ${status} `);
    }
  });

  it.sequential('a batch of more than 1,000 is refused', async () => {
    const [answer] = await askBoth(PATH, `[${Array.from({ length: 1_001 }, () => '{}').join(',')}]`);
    expect(answer?.status).toBe(400);
  });

  it.sequential('HTTP/1.0 is answered as by the router', async () => {
    const answers = await seeBoth((routed) => {
      const head = requestText('POST', PATH, { headers: { ...service(), ...routed }, body: absent });
      return see([head.replace('HTTP/1.1', 'HTTP/1.0')], 1);
    });
    expect(answers.map(({ status }) => status)).toEqual([200]);
  });

  it.sequential('an idempotency key is kept', async () => {
    const user = freshUser();
    const body = JSON.stringify({ to: { userId: user }, type: 'n', idempotencyKey: `k-${user}` });
    await askBoth(PATH, body);
    const [reused] = await askBoth(PATH, body.replace('"n"', '"m"'));
    expect(reused?.status).toBe(409);
  });

  it.sequential('a connection takes many pushes, one after the other and at once', async () => {
    const answers = await seeBoth((routed) => {
      const text = requestText('POST', PATH, { headers: { ...service(), ...routed }, body: absent });
      return see([text.repeat(5)], 5);
    });
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    const http = openHttp(gateway.port());
    for (let count = 1; count <= 20; count += 1) {
      http.write(requestText('POST', PATH, { headers: service(), body: absent }));
      await http.settled(count);
    }
    expect(http.hasEnded()).toBe(false);
    http.destroy();
  });

  it.sequential('a body that arrives byte by byte is read', async () => {
    const answers = await seeBoth((routed) => {
      const text = requestText('POST', PATH, { headers: { ...service(), ...routed }, body: absent });
      const at = text.length - absent.length;
      return see([text.slice(0, at), ...Array.from(text.slice(at))], 1);
    });
    expect(answers.map(({ status }) => status)).toEqual([200]);
  });

  it.sequential('a body in chunks is read', async () => {
    const body = `${absent.length.toString(16)}\r\n${absent}\r\n0\r\n\r\n`;
    const [answer] = await askBoth(PATH, body, { 'Transfer-Encoding': 'chunked' });
    expect(answer?.status).toBe(200);
  });

  const withLength = (length: string, routed: Readonly<Record<string, string>>): string =>
    requestText('POST', PATH, {
      headers: { ...service(), ...routed, 'Content-Length': length, 'X-Last': '1' },
    }) + absent;

  it.sequential.each(['+5', '-1', '5, 5', '0x10', '99999999999999999999', ''])(
    'a length of "%s" is answered as by the router',
    async (length) => {
      await seeBoth((routed) => see([withLength(length, routed)], 1, length !== ''));
    },
  );

  it.sequential('a length below that of the body leaves the rest as the next request', async () => {
    const length = String(absent.length - 1);
    const answers = await seeBoth((routed) => see([withLength(length, routed)], 1, true));
    expect(answers[0]?.status).toBe(400);
  });

  it.sequential('a body that never arrives ends as by the router', async () => {
    await seeBoth((routed) => see([withLength(String(absent.length + 1), routed)], 1, true));
  }, 60_000);

  it.sequential('a client that ends its side before the whole body ends as by the router', async () => {
    await seeBoth(async (routed) => {
      const http = openHttp(gateway.port());
      await written(http, withLength(String(absent.length + 1), routed));
      http.socket.end();
      const answers = await http.settled(Number.POSITIVE_INFINITY, 15_000);
      return { answers: answers.map(withoutDate), ended: true };
    });
  });

  it.sequential('an exception further down is answered and logged as by the router', async () => {
    const body = '{"to":{"userId":1},"type":"planted-fault"}';
    const [answer] = await askBoth(PATH, body, { Origin: ORIGIN, 'Accept-Language': 'zh' });
    expect(answer?.status).toBe(500);
    const line = { method: 'POST', path: PATH, cause: 'a planted fault' };
    await eventually(() => {
      const told = internalErrors().map(({ method, path, cause, msg }) => ({ method, path, cause, msg }));
      expect(told).toEqual([expect.objectContaining(line), told[0]]);
    });
  });

  it.sequential('both ways count a message in the same way', async () => {
    const grown = async (routed: Readonly<Record<string, string>>): Promise<readonly string[]> => {
      const before = (await gateway.service('GET', '/metrics')).text.split('\n');
      await askRaw(
        gateway.port(),
        requestText('POST', PATH, { headers: { ...service(), ...routed }, body: push() }),
      );
      const after = (await gateway.service('GET', '/metrics')).text.split('\n');
      return after
        .filter((line) => line.startsWith('lingxi_') && !before.includes(line))
        .map((line) => line.slice(0, line.lastIndexOf(' ')))
        .filter((series) => !/seconds|bytes|lag|uptime/.test(series));
    };
    const direct = await grown({});
    expect(direct).toEqual(await grown(ROUTED));
    expect(direct).toContain('lingxi_messages_total{status="offline"}');
  });

  it.sequential('a client that leaves while its push waits for an acknowledgement affects no other client', async () => {
    await gateway.logsSoFar();
    const before = internalErrors().length;
    const user = freshUser();
    const client = await connect(gateway.wsUrl, { token: gateway.token(user), protocols: ['lingxi.v1'] });
    // A connection without a message is closed after LINGXI_READ_TIMEOUT_MS.
    client.keepAlive();
    const body = JSON.stringify({ to: { userId: user }, type: 'n', data: 1, ack: true, timeoutMs: 300 });
    for (const routed of [{}, ROUTED]) {
      const http = openHttp(
        gateway.port(),
        requestText('POST', PATH, { headers: { ...service(), ...routed }, body }),
      );
      await client.next('n');
      http.destroy();
    }
    // Both waits have ended when this one has, because it began later.
    const [late] = await askBoth(PATH, body);
    expect(JSON.parse(late?.body ?? '')).toMatchObject({ counts: { written: 1 } });
    await gateway.logsSoFar();
    expect(internalErrors()).toHaveLength(before);
    client.terminate();
  });

  it.sequential('an answer to a push while the node drains ends the connection', async () => {
    const user = freshUser();
    const headers = async (routed: Readonly<Record<string, string>>): Promise<RawAnswer> => {
      const client = await connect(gateway.wsUrl, { token: gateway.token(user), protocols: ['lingxi.v1'] });
      client.keepAlive();
      const body = JSON.stringify({ to: { userId: user }, type: 'n', data: 1, ack: true, timeoutMs: 8_000 });
      const http = openHttp(
        gateway.port(),
        requestText('POST', PATH, { headers: { ...service(), ...routed }, body }),
      );
      await client.next('n');
      await gateway.service('POST', '/api/drain', {});
      client.terminate();
      const [answer] = await http.settled(1, 15_000);
      http.destroy();
      await gateway.service('DELETE', '/api/drain');
      if (answer === undefined) throw new Error('the push has no answer');
      const { body: report, ...rest } = withoutDate(answer);
      return { ...rest, body: report.replaceAll(/\d+/g, '0') };
    };
    const direct = await headers({});
    expect(direct).toEqual(await headers(ROUTED));
    expect(direct.headers['connection']?.toLowerCase()).toBe('close');
  }, 60_000);
});

function written(http: RawHttp, piece: string): Promise<void> {
  return new Promise((resolve) => {
    http.socket.write(Buffer.from(piece, 'latin1'), () => resolve());
  });
}
