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

/** Built by hand, to try tokens that no library would sign. */
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
      viewKeys: [],
      language: 'en',
      maxGroupsPerUser: 50,
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

describe('[GR1] the groups of a token', () => {
  const groupsOf = async (groups: unknown, config = {}): Promise<unknown> => {
    const result = await room(config).credentials.verifyUser(hs256({ sub: '7', groups }));
    return result.ok ? (result.value.groups ?? '') : result.error;
  };

  test.each([
    [undefined, ''],
    [null, ''],
    [[], ''],
    [['b', 'a', 'b'], 'a;b'],
    [['x'.repeat(64)], 'x'.repeat(64)],
    ['a', 'no-group-list'],
    [{ a: 1 }, 'no-group-list'],
    [['a', 7], 'bad-group-name'],
    [['a b'], 'bad-group-name'],
    [[''], 'bad-group-name'],
    [['x'.repeat(65)], 'bad-group-name'],
  ])('%j are %j', async (groups, expected) => {
    expect(await groupsOf(groups)).toBe(expected);
  });

  test('have the same limit as the groups of a user, each counted once', async () => {
    expect(await groupsOf(['a', 'b', 'a'], { maxGroupsPerUser: 2 })).toBe('a;b');
    expect(await groupsOf(['a', 'b', 'c'], { maxGroupsPerUser: 2 })).toBe('too-many-groups');
  });
});

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
    [{ sub: ['7'] }, 'invalid-user-id'],
    [{ sub: null, id: 7 }, 'two-user-ids'],
    [{ sub: '7', id: 8 }, 'two-user-ids'],
    [{ sub: '7', id: 'x' }, 'two-user-ids'],
    [{ sub: 'x', id: 7 }, 'two-user-ids'],
    [{ sub: 'x', id: 'x' }, 'two-user-ids'],
  ])('of %j is %s', async (claims, expected) => {
    expect(await room().verify(hs256(claims))).toBe(expected);
  });

  test.each([
    ['韩立', '韩立'],
    [undefined, 'Player 7'],
    ['', 'Player 7'],
    [42, 'Player 7'],
    ['\u0000\u001b[31m', '[31m'],
    ['a\r\nb\u202ec', 'abc'],
    ['x'.repeat(500), 'x'.repeat(128)],
    [`${'x'.repeat(127)}😀`, 'x'.repeat(127)],
  ])('named %j is called %j', async (name, expected) => {
    const result = await room().credentials.verifyUser(hs256({ sub: '7', name }));
    expect(result.ok && result.value.username).toBe(expected);
  });

  test('without a name gets a default name in the language of the gateway', async () => {
    const result = await room({ language: 'zh' }).credentials.verifyUser(hs256({ sub: '7' }));
    expect(result.ok && result.value.username).toBe('玩家7');
  });
});

describe('the time of a token', () => {
  test("it ends at exp and begins 5 s before nbf, because the issuer's clock may run ahead", async () => {
    const { verify, clock, seconds } = room();
    const token = hs256({ sub: '7', nbf: seconds + 10, exp: seconds + 20 });
    clock.advance(4_999);
    expect(await verify(token)).toBe('token-not-yet-valid');
    clock.advance(1);
    expect(await verify(token)).toBe(7);
    clock.advance(14_999);
    expect(await verify(token)).toBe(7);
    clock.advance(1);
    expect(await verify(token)).toBe('token-expired');
  });

  test('exp and iat are returned in milliseconds', async () => {
    const { credentials, seconds } = room();
    const result = await credentials.verifyUser(hs256({ sub: '7', iat: seconds, exp: seconds + 60 }));
    expect(result).toMatchObject({ value: { issuedAt: seconds * 1000, expiresAt: (seconds + 60) * 1000 } });
  });

  test.each([{ exp: '9999999999' }, { exp: null }, { nbf: 'x' }, { iat: {} }])(
    '%j is malformed',
    async (claims) => {
      expect(await room().verify(hs256({ sub: '7', ...claims }))).toBe('malformed-time');
    },
  );

  test('a forged token counts as a guess, whatever its claims', async () => {
    const { verify, seconds } = room({ jwtIssuer: 'shop' });
    expect(await verify(hs256({ sub: '7', iss: 'shop', exp: seconds - 1 }, OTHER))).toBe('invalid-token');
    expect(await verify(hs256({ sub: '7', iss: 'else' }, OTHER))).toBe('invalid-token');
  });
});

describe('invalid tokens', () => {
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
  test('during a rotation both secrets verify, and the first signs', async () => {
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

  test('issuer and audience must be present if they are configured', async () => {
    const { verify } = room({ jwtIssuer: 'shop', jwtAudience: 'game' });
    expect(await verify(hs256({ sub: '7', iss: 'shop', aud: ['other', 'game'] }))).toBe(7);
    expect(await verify(hs256({ sub: '7', iss: 'shop' }))).toBe('wrong-audience');
    expect(await verify(hs256({ sub: '7', aud: 'game' }))).toBe('wrong-issuer');
    expect(await verify(hs256({ sub: '7', iss: 'shopX', aud: 'game' }))).toBe('wrong-issuer');
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

  test('the start is refused for an unusable public key', () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey;
    const pem = weak.export({ type: 'spki', format: 'pem' }).toString();
    expect(() => room({ jwtPublicKey: pem })).toThrow(/JWT_PUBLIC_KEY.*2048/);
    expect(() => room({ jwtPublicKey: 'nonsense' })).toThrow(/JWT_PUBLIC_KEY/);
  });

  test('service keys are compared completely', () => {
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
  const jwksRoom = (body: string) => {
    answer.calls = [];
    answer.body = body;
    return room({ jwtSecrets: [], jwtJwksUrl: 'https://keys.example/jwks' }, fetcher);
  };
  const SET = JSON.stringify({ keys: [jwk] });

  test('keys come only from the configured address, are fetched at start, and are kept', async () => {
    const { verify, credentials } = jwksRoom(SET);
    credentials.start();
    const foreign = { jku: 'https://evil.example/jwks', x5u: 'https://evil.example/cert', jwk };
    expect(await verify(token({ kid: 'k1', ...foreign }))).toBe(7);
    expect(await verify(token({ kid: 'k1', ...foreign }))).toBe(7);
    expect(await verify(token({}))).toBe(7);
    expect(answer.calls).toEqual(['https://keys.example/jwks']);
    expect(await verify(hs256({ sub: '7' }, RSA_PEM, { alg: 'HS256', kid: 'k1' }))).toBe('invalid-token');
  });

  test('invented key ids trigger five fetches at once, then one in 10 s; meanwhile the answer is unknown', async () => {
    const { verify, credentials, clock } = jwksRoom(SET);
    credentials.start();
    const made = async (count: number) => {
      const outcomes: unknown[] = [];
      for (let index = 0; index < count; index += 1) outcomes.push(await verify(token({ kid: `x${index}` })));
      return outcomes;
    };
    // The first of them waits for the fetch in progress.
    expect(await made(6)).toEqual(Array(6).fill('invalid-token'));
    expect(await made(2)).toEqual(Array(2).fill('credentials-unavailable'));
    expect(answer.calls).toHaveLength(6);
    expect(await verify(token({ kid: 'k1' }))).toBe(7);
    clock.advance(10_000);
    expect(await made(2)).toEqual(['invalid-token', 'credentials-unavailable']);
    expect(answer.calls).toHaveLength(7);
  });

  test('a document that is too large, symmetric, empty or broken gives no key', async () => {
    const oct = { kty: 'oct', k: Buffer.from(SECRET).toString('base64url'), kid: 'k1', alg: 'HS256' };
    const documents = ['nonsense', '{}', '{"keys":[]}', JSON.stringify({ keys: [oct, null, 7] })];
    for (const body of [...documents, ' '.repeat(300_000)]) {
      const { verify } = jwksRoom(body);
      expect(await verify(token({ kid: 'k1' }))).toBe('credentials-unavailable');
      expect(await verify(hs256({ sub: '7' }, SECRET, { alg: 'HS256', kid: 'k1' }))).toBe('invalid-token');
    }
  });

  test('after a failure the gateway retries after 250 ms, then with growing pauses up to 10 s', async () => {
    const { credentials, clock } = jwksRoom('nonsense');
    credentials.start();
    const at = [clock.monotonic()];
    for (let seen = answer.calls.length; clock.monotonic() < 40_000; ) {
      await clock.advanceAsync(50, 50);
      if (answer.calls.length > seen) at.push(clock.monotonic());
      seen = answer.calls.length;
    }
    const gaps = at.slice(1).map((time, index) => time - (at[index] ?? 0));
    expect(gaps).toEqual([250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
    credentials.stop();
    const asked = answer.calls.length;
    await clock.advanceAsync(60_000, 1000);
    expect(answer.calls.length).toBe(asked);
  });

  test('known keys stay valid for a day if the key server stops answering', async () => {
    const { verify, clock } = jwksRoom(SET);
    expect(await verify(token({ kid: 'k1' }))).toBe(7);
    answer.body = 'nonsense';
    clock.advance(3_600_000);
    expect(await verify(token({ kid: 'k1' }))).toBe(7);
    expect(await verify(token({ kid: 'made-up' }))).toBe('credentials-unavailable');
    clock.stall(86_400_000);
    expect(await verify(token({ kid: 'k1' }))).toBe('credentials-unavailable');
  });
});
