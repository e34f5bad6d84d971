import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';

describe.each(['bun', 'node'] as const)('answers to a wrong Authorization header, on %s', (runtime) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({ runtime, stores: 'embedded' });
  });
  afterAll(() => gateway?.stop());

  const withHeader = (authorization: string, language = 'en') =>
    gateway.call('GET', '/api/nodes', { headers: { authorization, 'accept-language': language } });

  it.each(['Basic dXNlcjpwYXNz', 'bearer', 'a.b.c', 'Bearer a b'])(
    '%j is no bearer credential, and the sentence says so',
    async (authorization) => {
      const [en, zh] = [await withHeader(authorization), await withHeader(authorization, 'zh')];
      expect([en.status, en.body]).toEqual([
        401,
        {
          code: 'invalid-token',
          error: 'The header "Authorization" does not have the form "Bearer <token or service key>".',
        },
      ]);
      expect(zh.body).toEqual({
        code: 'invalid-token',
        error: '请求头 “Authorization” 的格式不是 “Bearer <令牌或服务密钥>”。',
      });
    },
  );

  it('a bearer that is no JWT may be a wrong service key, and the sentence says so too', async () => {
    const [en, zh] = [await withHeader('Bearer wrong-key'), await withHeader('Bearer wrong-key', 'zh')];
    expect([en.status, en.body]).toEqual([
      401,
      {
        code: 'invalid-token',
        error:
          'No key of this server verifies this token: another key signed it, it was changed, or it is no token. It is not the service key of this server either.',
      },
    ]);
    expect(zh.body['error']).toMatch(/或根本不是令牌。它也不是本服务器的服务密钥。$/);
  });

  it('a token beyond the longest one is no token of this server', async () => {
    const { status, body } = await withHeader(`Bearer ${'x'.repeat(9_000)}`);
    expect([status, body['code']]).toEqual([401, 'invalid-token']);
    expect(body['error']).toMatch(/^No key of this server verifies this token: /);
  });
});
