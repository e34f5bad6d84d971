import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type CredentialsOptions, createCredentials } from '../../../src/gateway/token-credentials.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { silentLog } from '../../../src/logging/log.ts';

const SECRET = 'a-secret-of-at-least-32-bytes-long';
const OTHER = 'another-secret-of-32-bytes-or-more';
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const RSA_PEM = rsa.publicKey.export({ type: 'spki', format: 'pem' }).toString();
const EC_PEM = ec.publicKey.export({ type: 'spki', format: 'pem' }).toString();

function part(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** Built by hand, so that what no library would sign can be tried. */
function hs256(claims: object, secret = SECRET, header: object = { alg: 'HS256', typ: 'JWT' }): string {
  const input = `${part(header)}.${part(claims)}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

function asymmetric(claims: object, key: KeyObject, header: Record<string, unknown>): string {
  const input = `${part(header)}.${part(claims)}`;
  return `${input}.${sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

function room(config: Partial<CredentialsOptions['config']> = {}, fetcher?: typeof fetch) {
  const clock = new FakeClock();
  const credentials = createCredentials({
    config: {
      jwtSecrets: [SECRET],
      jwtPublicKey: undefined,
      jwtJwksUrl: undefined,
      jwtIssuer: undefined,
      jwtAudience: undefined,
      apiKeys: [],
      ...config,
    },
    clock,
    log: silentLog,
    ...(fetcher === undefined ? {} : { fetch: fetcher }),
  });
  const verify = async (token: string): Promise<unknown> => {
    const result = await credentials.verifyUser(token);
    return result.ok ? result.value.userId : result.error;
  };
  return { credentials, clock, verify, seconds: Math.floor(clock.now() / 1000) };
}

describe('the user of a token', () => {
  test.each([
    [{ sub: '7' }, 7],
    [{ sub: 7 }, 7],
    [{ id: 7 }, 7],
    [{ id: '9007199254740991' }, 9007199254740991],
    [{ sub: '7', id: 7 }, 7],
    [{ sub: '0' }, 0],
    [{}, 'invalid-user-id'],
    [{ sub: 'abc' }, 'invalid-user-id'],
    [{ sub: '' }, 'invalid-user-id'],
    [{ sub: '07' }, 'invalid-user-id'],
    [{ sub: -7 }, 'invalid-user-id'],
    [{ sub: 1.5 }, 'invalid-user-id'],
    [{ sub: '9007199254740993' }, 'invalid-user-id'],
    [{ sub: 'a:b' }, 'invalid-user-id'],
    [{ sub: null, id: 7 }, 'invalid-user-id'],
    [{ sub: '7', id: 8 }, 'invalid-user-id'],
    [{ sub: ['7'] }, 'invalid-user-id'],
  ])('of %j is %s', async (claims, expected) => {
    expect(await room().verify(hs256(claims))).toBe(expected);
  });

  test.each([
    ['韩立', '韩立'],
    [undefined, '玩家7'],
    ['', '玩家7'],
    [42, '玩家7'],
    ['\u0000\u001b[31m', '[31m'],
    ['a\r\nb\u202ec', 'abc'],
    ['x'.repeat(500), 'x'.repeat(128)],
    [`${'x'.repeat(127)}😀`, 'x'.repeat(127)],
  ])('named %j is called %j', async (name, expected) => {
    const result = await room().credentials.verifyUser(hs256({ sub: '7', name }));
    expect(result.ok && result.value.username).toBe(expected);
  });
});

describe('the time of a token', () => {
  test('it ends at exp and does not begin before nbf', async () => {
    const { verify, clock, seconds } = room();
    const token = hs256({ sub: '7', nbf: seconds + 10, exp: seconds + 20 });
    expect(await verify(token)).toBe('invalid-token');
    clock.advance(10_000);
    expect(await verify(token)).toBe(7);
    clock.advance(9_999);
    expect(await verify(token)).toBe(7);
    clock.advance(1);
    expect(await verify(token)).toBe('invalid-token');
  });

  test('exp and iat are given on in milliseconds', async () => {
    const { credentials, seconds } = room();
    const result = await credentials.verifyUser(hs256({ sub: '7', iat: seconds, exp: seconds + 60 }));
    expect(result).toMatchObject({ value: { issuedAt: seconds * 1000, expiresAt: (seconds + 60) * 1000 } });
  });

  test.each([{ exp: '9999999999' }, { exp: null }, { nbf: 'x' }, { iat: {} }])(
    '%j is malformed',
    async (claims) => {
      expect(await room().verify(hs256({ sub: '7', ...claims }))).toBe('invalid-token');
    },
  );
});

describe('what is no token', () => {
  const good = hs256({ sub: '7' });
  const [head, body, signature] = good.split('.') as [string, string, string];
  test.each([
    ['none', `${part({ alg: 'none' })}.${part({ sub: '7' })}.`],
    ['None with a signature', hs256({ sub: '7' }, SECRET, { alg: 'None' })],
    ['HS256 named none', hs256({ sub: '7' }, SECRET, { alg: 'none' })],
    ['no algorithm', hs256({ sub: '7' }, SECRET, { typ: 'JWT' })],
    ['another HMAC', hs256({ sub: '7' }, SECRET, { alg: 'HS512' })],
    ['another secret', hs256({ sub: '7' }, OTHER)],
    ['an empty secret', hs256({ sub: '7' }, '')],
    ['no signature', `${head}.${body}.`],
    ['a changed claim', `${head}.${part({ sub: '8' })}.${signature}`],
    ['padding', `${good}=`],
    ['spaces', ` ${good}`],
    ['a foreign critical header', hs256({ sub: '7' }, SECRET, { alg: 'HS256', crit: ['b64'], b64: false })],
    ['claims that are a list', hs256([7])],
    ['two parts', `${head}.${body}`],
    ['nonsense', 'nonsense'],
    ['nothing', ''],
    ['too long', hs256({ sub: '7', pad: 'x'.repeat(10_000) })],
  ])('%s', async (_name, token) => {
    expect(await room().verify(token)).toBe('invalid-token');
  });
});

describe('keys', () => {
  test('either of two secrets verifies while rotating, and the first signs', async () => {
    const { verify, credentials } = room({ jwtSecrets: [OTHER, SECRET] });
    expect(await verify(hs256({ sub: '7' }, SECRET))).toBe(7);
    expect(await verify(hs256({ sub: '7' }, OTHER))).toBe(7);
    expect(await room({ jwtSecrets: [OTHER] }).verify(credentials.signUser({ userId: 7 }))).toBe(7);
  });

  test('a signed token carries name, expiry, issuer and audience', async () => {
    const { credentials, clock } = room({ jwtIssuer: 'shop', jwtAudience: 'game' });
    const token = credentials.signUser({ userId: 7, name: '韩立', expiresInS: 60 });
    const result = await credentials.verifyUser(token);
    const seconds = Math.floor(clock.now() / 1000);
    expect(result).toMatchObject({
      value: { userId: 7, username: '韩立', expiresAt: (seconds + 60) * 1000 },
    });
  });

  test('issuer and audience must be there where they are configured', async () => {
    const { verify } = room({ jwtIssuer: 'shop', jwtAudience: 'game' });
    expect(await verify(hs256({ sub: '7', iss: 'shop', aud: ['other', 'game'] }))).toBe(7);
    expect(await verify(hs256({ sub: '7', iss: 'shop' }))).toBe('invalid-token');
    expect(await verify(hs256({ sub: '7', aud: 'game' }))).toBe('invalid-token');
    expect(await verify(hs256({ sub: '7', iss: 'shopX', aud: 'game' }))).toBe('invalid-token');
  });

  test.each([
    ['RS256', RSA_PEM, rsa.privateKey],
    ['ES256', EC_PEM, ec.privateKey],
  ])('%s by a public key; the key as an HMAC secret is refused', async (alg, pem, privateKey) => {
    const { verify } = room({ jwtSecrets: [], jwtPublicKey: pem });
    expect(await verify(asymmetric({ sub: '7' }, privateKey, { alg }))).toBe(7);
    expect(await verify(hs256({ sub: '7' }, pem))).toBe('invalid-token');
    expect(await verify(hs256({ sub: '7' }, pem, { alg }))).toBe('invalid-token');
    expect(await verify(asymmetric({ sub: '7' }, privateKey, { alg: 'RS512' }))).toBe('invalid-token');
    const both = room({ jwtPublicKey: pem });
    expect(await both.verify(hs256({ sub: '7' }, pem))).toBe('invalid-token');
    expect(await both.verify(hs256({ sub: '7' }))).toBe(7);
  });

  test('a public key that cannot be used refuses the start', () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey;
    const pem = weak.export({ type: 'spki', format: 'pem' }).toString();
    expect(() => room({ jwtPublicKey: pem })).toThrow(/JWT_PUBLIC_KEY.*2048/);
    expect(() => room({ jwtPublicKey: 'nonsense' })).toThrow(/JWT_PUBLIC_KEY/);
  });

  test('service keys are compared whole', () => {
    const { credentials } = room({ apiKeys: ['key-one', 'key-two'] });
    expect(['key-one', 'key-two'].every((key) => credentials.isServiceKey(key))).toBe(true);
    expect(
      ['', 'key', 'key-one ', 'KEY-ONE', 'key-onekey-two'].some((key) => credentials.isServiceKey(key)),
    ).toBe(false);
    expect(room().credentials.isServiceKey('')).toBe(false);
  });
});

describe('JWKS', () => {
  const jwk = { ...rsa.publicKey.export({ format: 'jwk' }), kid: 'k1', use: 'sig' };
  const answer = { body: JSON.stringify({ keys: [jwk] }), calls: [] as string[] };
  const fetcher = (async (url: string) => {
    answer.calls.push(url);
    return new Response(answer.body);
  }) as typeof fetch;
  const token = (header: object) => asymmetric({ sub: '7' }, rsa.privateKey, { alg: 'RS256', ...header });

  test('keys come from the configured address alone, are kept, and unknown ones ask seldom', async () => {
    answer.calls = [];
    const { verify, clock } = room({ jwtSecrets: [], jwtJwksUrl: 'https://keys.example/jwks' }, fetcher);
    const foreign = { jku: 'https://evil.example/jwks', x5u: 'https://evil.example/cert', jwk };
    expect(await verify(token({ kid: 'k1', ...foreign }))).toBe(7);
    expect(await verify(token({ kid: 'made-up', ...foreign }))).toBe('invalid-token');
    expect(await verify(token({}))).toBe(7);
    expect(answer.calls).toEqual(['https://keys.example/jwks']);
    clock.advance(10_000);
    for (let count = 0; count < 5; count += 1)
      expect(await verify(token({ kid: `x${count}` }))).toBe('invalid-token');
    expect(answer.calls).toHaveLength(2);
    expect(await verify(hs256({ sub: '7' }, RSA_PEM, { alg: 'HS256', kid: 'k1' }))).toBe('invalid-token');
  });

  test('a document that is too large, symmetric or broken gives no key', async () => {
    const oct = { kty: 'oct', k: Buffer.from(SECRET).toString('base64url'), kid: 'k1', alg: 'HS256' };
    for (const body of ['nonsense', '{}', JSON.stringify({ keys: [oct, null, 7] }), ' '.repeat(300_000)]) {
      answer.body = body;
      const { verify } = room({ jwtSecrets: [], jwtJwksUrl: 'https://keys.example/jwks' }, fetcher);
      expect(await verify(token({ kid: 'k1' }))).toBe('invalid-token');
      expect(await verify(hs256({ sub: '7' }, SECRET, { alg: 'HS256', kid: 'k1' }))).toBe('invalid-token');
    }
  });

  test('known keys outlive a key server that stopped answering, for a day', async () => {
    answer.body = JSON.stringify({ keys: [jwk] });
    const { verify, clock } = room({ jwtSecrets: [], jwtJwksUrl: 'https://keys.example/jwks' }, fetcher);
    expect(await verify(token({ kid: 'k1' }))).toBe(7);
    answer.body = 'nonsense';
    clock.advance(3_600_000);
    expect(await verify(token({ kid: 'k1' }))).toBe(7);
    clock.advance(86_400_000);
    expect(await verify(token({ kid: 'k1' }))).toBe('invalid-token');
  });
});
