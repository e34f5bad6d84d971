import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { issuerKey, type KeyServer, startKeyServer } from '../support/key-server.ts';
import { at, runLingxi } from '../support/lingxi-command.ts';
import { eventually } from '../support/ports.ts';
import { freshUser } from '../support/stores.ts';
import { connect, refusal } from '../support/ws-client.ts';

const VIEW_KEY = 'test-view-key-0123456789abcdef0123456789';
/** The gateway waits for up to 10 s between two attempts. */
const RETRIED = { timeoutMs: 20_000, intervalMs: 100 };
const seconds = (): number => Math.floor(Date.now() / 1000);

describe.each(['bun', 'node'] as const)('keys of a key server on %s', (runtime) => {
  const first = issuerKey('RS256', 'first');
  const second = issuerKey('RS256', 'second');
  let keys: KeyServer;
  let gateway: Gateway;
  beforeAll(async () => {
    keys = await startKeyServer(500);
    gateway = await startGateway({
      runtime,
      stores: 'embedded',
      env: {
        JWT_SECRET: undefined,
        JWT_JWKS_URL: `http://issuer:p%40ss@127.0.0.1:${keys.port}/keys`,
        LINGXI_VIEW_KEY: VIEW_KEY,
        LINGXI_LANGUAGE: 'en',
      },
    });
  });
  afterAll(async () => {
    await gateway?.stop();
    await keys?.stop();
  });

  const upgrade = async (token: string) => {
    const answer = await refusal(gateway.wsUrl, { token });
    return { status: answer.status, code: answer.body['code'], retryAfter: answer.headers['retry-after'] };
  };
  const comesIn = async (token: string) => (await connect(gateway.wsUrl, { token })).terminate();
  const tokenOf = (key = first, kid: string | null = 'first') =>
    key.sign({ sub: String(freshUser()), exp: seconds() + 600 }, kid === null ? {} : { kid });

  it('[DB4] the dashboard shows the host of the key server, and not its path, which may be a secret', async () => {
    const headers = { authorization: `Bearer ${VIEW_KEY}` };
    const { body } = await gateway.call('GET', '/api/dashboard/config', { headers });
    const shown = (body['keys'] as readonly { readonly name: string; readonly value: string }[]).find(
      ({ name }) => name === 'JWT_JWKS_URL',
    );
    expect(shown?.value).toBe(`http://********@127.0.0.1:${keys.port}`);
    expect(gateway.printed()).not.toContain(`:${keys.port}/keys`);
  });

  it('the doctor reports why the server refuses the tokens that it signs, and what to do', async () => {
    const env = { JWT_SECRET: 'y'.repeat(32) };
    const { code, output } = await runLingxi(['doctor', '--users', '1,2', ...at(gateway)], { env });
    expect(output).toMatch(
      /✗ connect: refused 401 invalid-token: No key of this server .* set its JWT_SECRET here$/m,
    );
    expect(code).toBe(1);
  });

  it('if the key server is away from the start, a token gets 503 and does not count as forged', async () => {
    await eventually(() => expect(keys.asked.length).toBeGreaterThanOrEqual(3), { timeoutMs: 10_000 });
    const [begin = 0, next = 0, third = 0] = keys.asked;
    expect(next - begin).toBeGreaterThan(200);
    // It is half a second on an idle machine.
    expect(next - begin).toBeLessThan(5_000);
    expect(third - next).toBeGreaterThan(400);
    for (let count = 0; count < 150; count += 1) {
      const { status, code, retryAfter } = await upgrade(tokenOf());
      expect({ status, code }).toEqual({ status: 503, code: 'credentials-unavailable' });
      expect(Number(retryAfter)).toBeGreaterThanOrEqual(1);
    }
    const user = freshUser();
    const token = first.sign({ sub: String(user) }, { kid: 'first' });
    const body = { playerId: user };
    const login = await gateway.call('POST', '/api/online/login', { token, body });
    expect([login.status, login.body['code']]).toEqual([503, 'credentials-unavailable']);
    expect(Number(login.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    // Requests that need no key of the key server still work.
    expect((await gateway.service('GET', '/api/nodes')).status).toBe(200);
  });

  it('the gateway retries by itself, with the user and password of the address', async () => {
    keys.answer = [first];
    await eventually(() => comesIn(tokenOf()), RETRIED);
    expect(keys.authorization()).toBe(`Basic ${Buffer.from('issuer:p@ss').toString('base64')}`);
    expect(gateway.printed()).not.toContain('p%40ss');
  }, 30_000);

  it('the gateway accepts a rotated key at once', async () => {
    keys.answer = [first, second];
    await comesIn(tokenOf(second, 'second'));
  });

  it('the gateway refuses an invented key, and a forged signature under a known key id', async () => {
    expect(await upgrade(tokenOf(second, 'made-up'))).toMatchObject({ status: 401, code: 'invalid-token' });
    const asked = keys.asked.length;
    expect(await upgrade(tokenOf(second, 'first'))).toMatchObject({ status: 401, code: 'invalid-token' });
    expect(keys.asked.length).toBe(asked);
  });

  it('the gateway tries every key that fits, even if keys share an id or have none', async () => {
    const nameless = [issuerKey('RS256'), issuerKey('RS256'), issuerKey('ES256')];
    const namesakes = [issuerKey('RS256', 'same'), issuerKey('ES256', 'same')];
    keys.answer = [first, ...nameless, ...namesakes];
    for (const key of namesakes) await comesIn(tokenOf(key, 'same'));
    for (const key of [...nameless, ...namesakes]) await comesIn(tokenOf(key, null));
    for (const key of nameless) await comesIn(tokenOf(key, 'named-by-the-token-alone'));
  });

  it('while the key server is away, the gateway keeps the last good keys; a new key gets 503', async () => {
    const fresh = issuerKey('ES256', 'fresh');
    keys.answer = 500;
    const failing = tokenOf(fresh, 'fresh');
    expect(await upgrade(failing)).toMatchObject({ status: 503, code: 'credentials-unavailable' });
    await comesIn(tokenOf());
    const user = freshUser();
    const client = await connect(gateway.wsUrl, {
      token: first.sign({ sub: String(user) }, { kid: 'first' }),
      protocols: ['lingxi.v1'],
    });
    client.send({ type: 'token', data: { token: fresh.sign({ sub: String(user) }, { kid: 'fresh' }) } });
    expect((await client.next('error')).data).toMatchObject({
      about: 'token',
      code: 'credentials-unavailable',
    });
    client.terminate();
    keys.answer = [first, fresh];
    await eventually(() => comesIn(failing), RETRIED);
  }, 30_000);

  it.each<[string, object]>([
    ['sub a number, id letters', { sub: '5', id: 'x' }],
    ['sub letters, id a number', { sub: 'x', id: 5 }],
    ['two users', { sub: '5', id: 6 }],
    ['no id beside sub', { sub: '5', id: null }],
    ['a list beside sub', { sub: '5', id: ['5'] }],
  ])('a token with two different user ids gets 401: %s', async (_name, claims) => {
    const token = first.sign(claims, { kid: 'first' });
    expect(await upgrade(token)).toMatchObject({ status: 401, code: 'invalid-token' });
    const login = await gateway.call('POST', '/api/online/login', { token, body: { playerId: 5 } });
    expect([login.status, login.body['code']]).toEqual([401, 'invalid-token']);
  });

  it('nbf has a leeway of 5 s', async () => {
    const beginning = (inS: number) =>
      first.sign({ sub: String(freshUser()), nbf: seconds() + inS }, { kid: 'first' });
    await comesIn(beginning(4));
    expect(await upgrade(beginning(9))).toMatchObject({ status: 401, code: 'invalid-token' });
  });

  it('LINGXI_LANGUAGE decides the name of a user without one, by socket and by HTTP', async () => {
    const [bySocket, byHttp] = [freshUser(), freshUser()];
    const client = await connect(gateway.wsUrl, {
      token: first.sign({ sub: String(bySocket) }, { kid: 'first' }),
    });
    await gateway.service('POST', '/api/online/login', { playerId: byHttp });
    const name = async (user: number) =>
      (await gateway.service('GET', `/api/online/player/${user}`)).body['username'];
    expect(await name(bySocket)).toBe(`Player ${bySocket}`);
    expect(await name(byHttp)).toBe(`Player ${byHttp}`);
    client.terminate();
  });

  it('the gateway warns once about X-Forwarded-For from a peer that is not a trusted proxy', async () => {
    const headers = { 'X-Forwarded-For': '203.0.113.9' };
    await gateway.call('GET', '/ws/stats', { headers });
    await refusal(gateway.wsUrl, { headers });
    await gateway.call('GET', '/ws/stats', { headers });
    const said = (await gateway.logsSoFar()).filter((line) => line['variable'] === 'LINGXI_TRUSTED_PROXIES');
    expect(said).toMatchObject([{ level: 'warn', event: 'config', ip: '127.0.0.1' }]);
  });
});

describe.concurrent.each(['bun', 'node'] as const)('a key server that does not answer, on %s', (runtime) => {
  it.each(['silent', 'half'] as const)(
    'no token waits forever, all wait for one fetch, and readiness reports what is missing: %s',
    async (answer) => {
      const key = issuerKey('ES256', 'one');
      const keys = await startKeyServer(answer);
      const gateway = await startGateway({
        runtime,
        stores: 'embedded',
        env: { JWT_SECRET: undefined, JWT_JWKS_URL: `http://127.0.0.1:${keys.port}/keys` },
      });
      try {
        const token = () => key.sign({ sub: String(freshUser()) }, { kid: 'one' });
        const ready = async () => {
          const { status, body } = await gateway.call('GET', '/readyz');
          return [status, body['status'], body['code']];
        };
        expect(await ready()).toEqual([200, 'degraded', 'credentials-unavailable']);
        const began = performance.now();
        const answers = await Promise.all(
          Array.from({ length: 50 }, () => refusal(gateway.wsUrl, { token: token() })),
        );
        // The gateway waits for a key server for 5 s.
        expect(performance.now() - began).toBeLessThan(12_000);
        for (const { status, body } of answers)
          expect([status, body['code']]).toEqual([503, 'credentials-unavailable']);
        expect(keys.asked.length).toBeLessThanOrEqual(3);
        expect(await gateway.waitForLog('config', ({ reason }) => reason !== undefined)).toMatchObject({
          level: 'warn',
        });
        keys.answer = [key];
        await eventually(async () => (await connect(gateway.wsUrl, { token: token() })).terminate(), {
          ...RETRIED,
        });
        expect(await ready()).toEqual([200, 'ok', undefined]);
      } finally {
        await gateway.stop();
        await keys.stop();
      }
    },
    60_000,
  );
});
