import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { handshake, openRaw } from '../support/raw-socket.ts';
import { freshUser } from '../support/stores.ts';
import type { TokenOptions } from '../support/tokens.ts';
import { type ConnectOptions, connect, refusal } from '../support/ws-client.ts';

const ALLOWED = 'https://game.example';
const CHINESE = /[\u4e00-\u9fff]/;

describe.each(['bun', 'node'] as const)('upgrade on %s', (runtime) => {
  let gateway: Gateway;
  /** Accepts tokens of one issuer for one audience. */
  let strict: Gateway;
  beforeAll(async () => {
    [gateway, strict] = await Promise.all([
      startGateway({
        runtime,
        stores: 'embedded',
        env: { LINGXI_ALLOWED_ORIGINS: `${ALLOWED},https://two.example:8443` },
      }),
      startGateway({ runtime, stores: 'embedded', env: { JWT_ISSUER: 'shop', JWT_AUDIENCE: 'game' } }),
    ]);
  });
  afterAll(() => Promise.all([gateway?.stop(), strict?.stop()]));

  const refused = async (options: ConnectOptions, status: number, code: string) => {
    const answer = await refusal(gateway.wsUrl, options);
    expect({ status: answer.status, code: answer.body['code'] }).toEqual({ status, code });
    expect(answer.body['error']).toEqual(expect.any(String));
    expect(String(answer.headers['content-type'])).toMatch(/application\/json/);
    return answer;
  };

  describe('credentials', () => {
    it('takes a bearer token from the Authorization header', async () => {
      const client = await connect(gateway.wsUrl, { token: gateway.token(freshUser()) });
      expect(client.protocol).toBe('');
      client.terminate();
    });

    it('takes a token from the subprotocol offer and never echoes it', async () => {
      const token = gateway.token(freshUser());
      const client = await connect(gateway.wsUrl, { protocols: ['lingxi.v1', `bearer.${token}`] });
      expect(client.protocol).toBe('lingxi.v1');
      expect(JSON.stringify(client.responseHeaders)).not.toContain(token);
      client.terminate();
    });

    it('takes ?token= in development', async () => {
      const client = await connect(gateway.wsUrl, { query: `?token=${gateway.token(freshUser())}` });
      client.terminate();
    });

    it('selects lingxi.v1 if the token is in the Authorization header', async () => {
      const options = { token: gateway.token(freshUser()), protocols: ['lingxi.v1'] };
      const client = await connect(gateway.wsUrl, options);
      expect(client.protocol).toBe('lingxi.v1');
      client.terminate();
    });

    it.each<[string, TokenOptions]>([
      ['sub as digits', {}],
      ['sub as a number', { numeric: true }],
      ['id as a number', { claim: 'id' }],
      ['id as digits', { claim: 'id', numeric: false }],
      ['no expiry', { expiresInS: null }],
    ])('accepts %s', async (_name, options) => {
      const user = freshUser();
      const client = await connect(gateway.wsUrl, { token: gateway.token(user, options) });
      const pushed = await gateway.service('POST', '/api/messages', {
        to: { userId: user },
        type: 'hello',
        data: 1,
      });
      expect(pushed.status).toBe(200);
      expect((await client.next('hello')).userId).toBe(user);
      client.terminate();
    });

    it('prefers the header to the subprotocol, and that to the query', async () => {
      const good = gateway.token(freshUser());
      const first = await connect(gateway.wsUrl, { token: good, query: '?token=bad' });
      first.terminate();
      const second = await connect(gateway.wsUrl, {
        protocols: ['lingxi.v1', `bearer.${gateway.token(freshUser())}`],
        query: '?token=bad',
      });
      second.terminate();
      await refused({ token: 'bad', query: `?token=${good}` }, 401, 'invalid-token');
      await refused(
        { protocols: ['lingxi.v1', 'bearer.bad'], query: `?token=${good}` },
        401,
        'invalid-token',
      );
    });

    it('accepts ?userId= if it is the user of the token', async () => {
      const user = freshUser();
      const client = await connect(gateway.wsUrl, { token: gateway.token(user), query: `?userId=${user}` });
      client.terminate();
    });

    it('shows the name in the token, else Player <id>', async () => {
      const [named, unnamed] = [freshUser(), freshUser()];
      const first = await connect(gateway.wsUrl, { token: gateway.token(named, { name: '青莲' }) });
      const second = await connect(gateway.wsUrl, { token: gateway.token(unnamed) });
      const name = async (user: number) =>
        (await gateway.service('GET', `/api/online/player/${user}`)).body['username'];
      expect(await name(named)).toBe('青莲');
      expect(await name(unnamed)).toBe(`Player ${unnamed}`);
      first.terminate();
      second.terminate();
    });
  });

  describe('refusals', () => {
    it('answers a plain GET with 426', async () => {
      const answer = await gateway.call('GET', '/ws');
      expect({ status: answer.status, code: answer.body['code'] }).toEqual({
        status: 426,
        code: 'upgrade-required',
      });
    });

    it('answers a plain GET with 426 before it checks the origin', async () => {
      const answer = await gateway.call('GET', '/ws', { headers: { origin: 'https://evil.example' } });
      expect(answer.status).toBe(426);
    });

    it.each([
      ['another', 'https://evil.example'],
      ['a suffix of an allowed', 'https://game.example.evil.example'],
      ['a prefix', 'https://game.exampl'],
      ['a substring', 'https://evil-game.example'],
      ['another scheme of an allowed', 'http://game.example'],
      ['another port of an allowed', 'https://two.example'],
      ['the null', 'null'],
    ])('refuses %s origin with 403', async (_name, origin) => {
      await refused(
        { token: gateway.token(freshUser()), headers: { Origin: origin } },
        403,
        'origin-not-allowed',
      );
    });

    it.each([ALLOWED, 'https://two.example:8443'])('accepts the listed origin %s', async (origin) => {
      const options = { token: gateway.token(freshUser()), headers: { Origin: origin } };
      (await connect(gateway.wsUrl, options)).terminate();
    });

    it('checks the origin before the credentials', async () => {
      await refused({ headers: { Origin: 'https://evil.example' } }, 403, 'origin-not-allowed');
    });

    it('refuses an upgrade without a token with 400', async () => {
      await refused({}, 400, 'missing-credentials');
    });

    it('refuses bearer. without lingxi.v1 with 400', async () => {
      const token = gateway.token(freshUser());
      await refused({ protocols: [`bearer.${token}`] }, 400, 'missing-subprotocol');
    });

    it.each(['abc', '-1', '+1', '01', '1.5', '1e3', '9007199254740992'])(
      'refuses ?userId=%s with 400 before it verifies the token',
      async (id) => {
        const query = `?userId=${encodeURIComponent(id)}`;
        await refused({ token: gateway.token(5), query }, 400, 'invalid-user-id');
        await refused({ token: 'bad', query }, 400, 'invalid-user-id');
      },
    );

    it.each<[string, unknown, TokenOptions]>([
      ['letters', 'abc', {}],
      ['a fraction', 1.5, { numeric: true }],
      ['2^53', '9007199254740992', {}],
      ['a leading zero', '007', {}],
      ['nothing', undefined, {}],
    ])('refuses a token whose user id is %s', async (_name, id, options) => {
      const answer = await refused({ token: gateway.token(id, options) }, 400, 'invalid-user-id');
      expect(answer.body['error']).toMatch(/^The token names no user: /);
    });

    it.each<[string, TokenOptions, string, RegExp]>([
      ['a foreign secret', { secret: 'x'.repeat(32) }, 'not-signed-here', /^No key of this server verifies /],
      ['alg none', { header: { alg: 'none' } }, 'not-signed-here', /^No key of this server verifies /],
      ['HS256 signed but called RS256', { header: { alg: 'RS256' } }, 'not-signed-here', /^No key /],
      ['HS256 signed but called HS512', { header: { alg: 'HS512' } }, 'not-signed-here', /^No key /],
      ['an expiry in the past', { expiresInS: -5 }, 'token-expired', /^The token has expired\.$/],
      ['a start in the future', { claims: { nbf: 2 ** 35 } }, 'token-not-yet-valid', /is not valid yet: /],
      ['an expiry in words', { claims: { exp: 'soon' } }, 'malformed-time', /must be numbers of seconds/],
      ['two users', { claims: { id: 8 } }, 'two-user-ids', /must name the same user/],
      ['a foreign issuer', { claims: { iss: 'else', aud: 'game' } }, 'wrong-issuer', /the JWT_ISSUER /],
      ['no audience', { claims: { iss: 'shop' } }, 'wrong-audience', /the JWT_AUDIENCE /],
    ])('refuses a token with %s with 401, and says why', async (_name, options, cause, sentence) => {
      const ours = { iss: 'shop', aud: 'game' };
      const isOfServer = cause !== 'wrong-issuer' && cause !== 'wrong-audience';
      const claims = isOfServer ? { ...ours, ...options.claims } : { ...options.claims };
      const token = strict.token(7, { ...options, claims });
      const answer = await refusal(strict.wsUrl, { token });
      expect([answer.status, answer.body['code']]).toEqual([401, 'invalid-token']);
      expect(answer.body['error']).toMatch(sentence);
      await strict.waitForLog(
        'refused',
        (line) => line['cause'] === cause && line['code'] === 'invalid-token',
      );
      const byHttp = await strict.call('POST', '/api/tickets', { token });
      expect([byHttp.status, byHttp.body]).toEqual([
        401,
        { code: 'invalid-token', error: answer.body['error'] },
      ]);
    });

    it.each(['bad', 'a.b.c', 'x'.repeat(4_000)])('refuses no token at all with 401', async (token) => {
      await refused({ token }, 401, 'invalid-token');
    });

    it("refuses a ?userId= other than the token's with 403, after it verifies the token", async () => {
      const token = gateway.token(7, { expiresInS: -5 });
      await refused({ token: gateway.token(7), query: '?userId=8' }, 403, 'user-mismatch');
      await refused({ token, query: '?userId=8' }, 401, 'invalid-token');
    });

    it('refuses a blocked user with 403', async () => {
      const user = freshUser();
      const client = await connect(gateway.wsUrl, { token: gateway.token(user) });
      await gateway.service('POST', `/api/users/${user}/disconnect`, { blockMs: 60_000 });
      expect((await client.closed).code).toBe(4002);
      await refused({ token: gateway.token(user) }, 403, 'blocked');
    });

    it('answers in Chinese if Accept-Language prefers zh, else in English', async () => {
      const sentence = async (language: string) => {
        const answer = await refusal(gateway.wsUrl, { headers: { 'Accept-Language': language } });
        return String(answer.body['error']);
      };
      expect(await sentence('zh-CN,zh;q=0.9,en;q=0.8')).toMatch(CHINESE);
      expect(await sentence('en-GB,en;q=0.9,zh;q=0.5')).not.toMatch(CHINESE);
      expect(await sentence('fr')).not.toMatch(CHINESE);
    });

    it.each([
      ['no key', { 'Sec-WebSocket-Key': '' }],
      ['a bad key', { 'Sec-WebSocket-Key': 'short' }],
      ['an old version', { 'Sec-WebSocket-Version': '7' }],
    ])('refuses a handshake with %s with 400 or 426', async (_name, headers) => {
      const raw = openRaw(gateway.port(), handshake('/ws', gateway.token(freshUser()), headers));
      expect([400, 426]).toContain((await raw.head).status);
      raw.destroy();
    });
  });

  it('logs the reason of a refusal, but no token', async () => {
    const secretive = gateway.token(7, { expiresInS: -5, name: 'leak-probe' });
    await refused({ query: `?token=${secretive}` }, 401, 'invalid-token');
    await gateway.waitForLog('refused', (line) => line['code'] === 'invalid-token');
    expect(gateway.printed()).not.toContain(secretive);
    expect(gateway.printed()).not.toContain(gateway.jwtSecret);
    expect(gateway.printed()).not.toContain(gateway.apiKey);
  });
});
