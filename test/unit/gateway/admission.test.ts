import { describe, expect, test } from 'vitest';
import { FAILURE_WINDOW_MS, MAX_FAILURES_PER_WINDOW } from '../../../src/gateway/failed-credentials.ts';
import type { HandshakeRequest } from '../../../src/gateway/handshake.ts';
import { GOOD, handshake, outcome, type Room, room } from './admission-room.ts';

const anonymous = { authorization: undefined };

describe('the checks of contract section 3', () => {
  /** All faults, in the order of the checks. Each line has its own fault and all those below it. */
  test('run in the given order', async () => {
    const full = room({ maxConnections: 0 });
    full.available = false;
    const everything = { origin: 'https://evil.example', authorization: undefined };
    expect(outcome(await full.admission.decide(handshake({ ...everything, upgrade: undefined })))).toBe(
      '426 upgrade-required',
    );
    expect(outcome(await full.admission.decide(handshake({ ...everything, 'sec-websocket-key': 'x' })))).toBe(
      '400 bad-handshake',
    );
    expect(outcome(await full.admission.decide(handshake(everything)))).toBe('403 origin-not-allowed');
    expect(outcome(await full.admission.decide(handshake(anonymous)))).toMatch(/^503 /);

    const open = room();
    open.answer = 'blocked';
    const cases: [Record<string, string | undefined>, string, string][] = [
      [anonymous, '/ws?userId=x', '400 missing-credentials'],
      [
        { ...anonymous, 'sec-websocket-protocol': 'bearer.nonsense' },
        '/ws?userId=x',
        '400 missing-subprotocol',
      ],
      [{ authorization: 'Bearer nonsense' }, '/ws?userId=x', '400 invalid-user-id'],
      [{ authorization: 'Bearer bad-id' }, '/ws?userId=8', '400 invalid-user-id'],
      [{ authorization: 'Bearer nonsense' }, '/ws?userId=8', '401 invalid-token'],
      [{}, '/ws?userId=8', '403 user-mismatch'],
      [{}, '/ws?userId=7', '403 blocked'],
    ];
    for (const [headers, url, expected] of cases)
      expect(outcome(await open.admission.decide(handshake(headers, url)))).toBe(expected);
    expect(open.admitted).toHaveLength(1);
  });

  test.each([
    ['unknown-user', '404 unknown-user'],
    ['session-exists', '409 session-exists'],
    ['session-flapping', '409 session-flapping'],
    ['presence-unavailable', '503 presence-unavailable'],
    ['settlement-unavailable', '503 settlement-unavailable'],
    ['settlement-refused', '409 settlement-refused'],
  ] as const)('pass on the refusal of presence: %s', async (refusal, expected) => {
    const state = room();
    state.answer = refusal;
    expect(outcome(await state.admission.decide(handshake()))).toBe(expected);
  });

  test.each([
    [{ connection: 'keep-alive' }, '426 upgrade-required'],
    [{ upgrade: 'h2c' }, '426 upgrade-required'],
    [{ 'sec-websocket-version': '8' }, '426 upgrade-required'],
    [{ 'sec-websocket-key': undefined }, '400 bad-handshake'],
    [{ 'sec-websocket-protocol': 'a,,b' }, '400 bad-handshake'],
    [{ 'sec-websocket-protocol': 'chat, chat' }, '400 bad-handshake'],
  ])('refuse the malformed handshake %j', async (headers, expected) => {
    expect(outcome(await room().admission.decide(handshake(headers)))).toBe(expected);
  });

  test.each([
    '',
    '-1',
    '01',
    '+1',
    '*',
    'a:b',
    '1.5',
    '9007199254740993',
    '1\r\nSET x',
    '7\0',
    '1'.repeat(10_000),
  ])('refuse ?userId=%j with 400 and change nothing', async (userId) => {
    const state = room();
    const decision = await state.admission.decide(handshake({}, `/ws?userId=${encodeURIComponent(userId)}`));
    expect(outcome(decision)).toBe('400 invalid-user-id');
    expect(state.admitted).toEqual([]);
    expect(JSON.stringify(state.logged)).not.toContain('SET x');
  });
});

describe('credentials', () => {
  test('the header comes before the subprotocol, and that before the query', async () => {
    const { admission } = room();
    const offer = { 'sec-websocket-protocol': `lingxi.v1, bearer.${GOOD}` };
    expect(outcome(await admission.decide(handshake({ ...offer, authorization: 'Bearer nonsense' })))).toBe(
      '401 invalid-token',
    );
    expect(outcome(await admission.decide(handshake({ ...anonymous, ...offer }, '/ws?token=nonsense')))).toBe(
      'accept',
    );
    expect(outcome(await admission.decide(handshake(anonymous, `/ws?token=${GOOD}`)))).toBe('accept');
  });

  test('a query token counts only if it is allowed', async () => {
    const { admission } = room({ queryToken: false });
    expect(outcome(await admission.decide(handshake(anonymous, `/ws?token=${GOOD}`)))).toBe(
      '400 missing-credentials',
    );
  });

  test('lingxi.v1 is selected only if it was offered, and the token is never selected', async () => {
    const { admission } = room();
    const offered = await admission.decide(
      handshake({ ...anonymous, 'sec-websocket-protocol': `bearer.${GOOD}, lingxi.v1` }),
    );
    const other = await admission.decide(handshake({ 'sec-websocket-protocol': 'chat' }));
    expect(offered).toMatchObject({ protocol: 'lingxi.v1', registration: { protocol: 'lingxi.v1' } });
    expect(other).toMatchObject({ kind: 'accept', protocol: undefined, registration: { protocol: 'seed' } });
  });

  test('an accepted socket is registered with the data of its login and its token', async () => {
    const state = room();
    const decision = await state.admission.decide(handshake({}, 'http://gateway.example/ws?userId=7'));
    expect(state.admitted).toMatchObject([
      { userId: 7, username: '韩立', ip: '192.0.2.9', protocol: 'seed' },
    ]);
    expect(decision).toMatchObject({
      registration: {
        userId: 7,
        connectionId: 'c1',
        epoch: 11,
        period: 5,
        resumed: true,
        tokenExpiresAt: 123_000,
      },
    });
  });
});

describe('limits', () => {
  test('connections beyond the limit get 503 until one ends', async () => {
    const { admission } = room({ maxConnections: 1 });
    const first = await admission.decide(handshake());
    const second = await admission.decide(handshake());
    expect(second).toMatchObject({
      status: 503,
      code: 'overloaded',
      retryAfterS: 3,
      headers: { 'retry-after': '3' },
    });
    if (first.kind === 'accept') admission.release(first.registration);
    expect(outcome(await admission.decide(handshake()))).toBe('accept');
  });

  test('connections beyond the limit of an address get 429; other addresses do not', async () => {
    const { admission } = room({ maxConnectionsPerIp: 1 });
    expect(outcome(await admission.decide(handshake()))).toBe('accept');
    expect(outcome(await admission.decide(handshake()))).toBe('429 rate-limited');
    expect(outcome(await admission.decide(handshake({}, '/ws', '192.0.2.10')))).toBe('accept');
  });

  test('a handshake in progress counts, and a refused one frees its place', async () => {
    const { admission } = room({ maxConnections: 1 });
    const refused = admission.decide(handshake({ authorization: 'Bearer nonsense' }));
    expect(outcome(await admission.decide(handshake()))).toBe('503 overloaded');
    expect(outcome(await refused)).toBe('401 invalid-token');
    expect(outcome(await admission.decide(handshake()))).toBe('accept');
  });

  test('IPv6 connections are counted by /64', async () => {
    const { admission } = room({ maxConnectionsPerIp: 1 });
    const from = (peer: string) => admission.decide(handshake({}, '/ws', peer));
    const first = await from('2001:db8:0:1::1');
    expect(outcome(first)).toBe('accept');
    expect(outcome(await from('2001:db8:0:1:ffff::2'))).toBe('429 rate-limited');
    expect(outcome(await from('2001:db8:0:2::1'))).toBe('accept');
    if (first.kind === 'accept') admission.release(first.registration);
    expect(outcome(await from('2001:db8:0:1:ffff::2'))).toBe('accept');
  });

  test('an address that guesses tokens gets 429, and its valid tokens pass', async () => {
    const { admission, clock } = room();
    const guess = handshake({ authorization: 'Bearer guess' });
    for (let count = 0; count < MAX_FAILURES_PER_WINDOW; count += 1)
      expect(outcome(await admission.decide(guess))).toBe('401 invalid-token');
    clock.advance(1_000);
    expect(await admission.decide(guess)).toMatchObject({ code: 'rate-limited', retryAfterS: 9 });
    expect(outcome(await admission.decide(handshake()))).toBe('accept');
    expect(outcome(await admission.decide(handshake({ authorization: 'Bearer expired' })))).toBe(
      '401 invalid-token',
    );
    clock.advance(FAILURE_WINDOW_MS - 1_000);
    expect(outcome(await admission.decide(guess))).toBe('401 invalid-token');
  });

  test('expired tokens, and those that cannot be verified now, do not count', async () => {
    const { admission } = room();
    for (let count = 0; count < 3 * MAX_FAILURES_PER_WINDOW; count += 1) {
      const expired = await admission.decide(handshake({ authorization: 'Bearer expired' }));
      expect(outcome(expired)).toBe('401 invalid-token');
      const waiting = await admission.decide(handshake({ authorization: 'Bearer keyless' }));
      expect(outcome(waiting)).toBe('503 credentials-unavailable');
    }
    const guess = await admission.decide(handshake({ authorization: 'Bearer guess' }));
    expect(outcome(guess)).toBe('401 invalid-token');
  });

  test('too many periods of one user: 429 with the time until the next may open', async () => {
    const state = room({ loginsPerMinute: 4 });
    state.answer = 'rate-limited';
    expect(await state.admission.decide(handshake())).toMatchObject({
      status: 429,
      code: 'rate-limited',
      headers: { 'retry-after': '15' },
    });
  });

  test('while draining, upgrades get 503, even those that already wait for presence', async () => {
    const state = room();
    state.beforeDialAnswer = () => state.admission.setDraining(true);
    expect(outcome(await state.admission.decide(handshake()))).toBe('503 draining');
    expect(state.abandoned).toHaveLength(1);
    expect(outcome(await state.admission.decide(handshake(anonymous)))).toBe('503 draining');
  });
});

describe('refusals', () => {
  test('are counted, logged without a token, and written in the preferred language', async () => {
    const { admission, counters, logged } = room({ allowedOrigins: 'any' });
    const decision = await admission.decide(
      handshake(
        { authorization: 'Bearer secret-guess', 'accept-language': 'zh-CN,en;q=0.5' },
        '/ws?token=secret-too',
      ),
    );
    expect(decision.kind === 'refuse' && JSON.parse(decision.body)).toEqual({
      error: '本服务器的密钥无法验证该令牌：令牌由其他密钥签名、被改动过，或根本不是令牌。',
      code: 'invalid-token',
    });
    expect(counters.refused.get('invalid-token')).toBe(1);
    expect(logged).toEqual([
      { event: 'refused', code: 'invalid-token', cause: 'not-signed-here', ip: '192.0.2.9' },
    ]);
  });

  test('name the user after the token is verified, and a foreign origin in a cut and escaped form', async () => {
    const { admission, logged } = room();
    await admission.decide(handshake({}, '/ws?userId=8'));
    await admission.decide(handshake({ origin: `https://evil\n${'x'.repeat(500)}` }));
    expect(logged[0]).toMatchObject({ code: 'user-mismatch', userId: 7 });
    expect(logged[1]?.['origin']).toMatch(/^https:\/\/evil\?x{80,90}$/);
  });
});

describe('a refused upgrade as a proof of life', () => {
  /** The recorded proofs, after all work that a decision started. */
  async function provenBy(state: Room, request: HandshakeRequest): Promise<readonly number[]> {
    await state.admission.decide(request);
    await new Promise((resolve) => setImmediate(resolve));
    return state.proven;
  }

  test.each([
    'session-exists',
    'session-flapping',
    'presence-unavailable',
    'settlement-unavailable',
  ] as const)('[DR4] %s from presence proves life by HTTP', async (code) => {
    const state = room();
    state.answer = code;
    expect(await provenBy(state, handshake())).toEqual([7]);
  });

  test.each(['blocked', 'unknown-user'] as const)('[DR4] %s proves nothing', async (code) => {
    const state = room();
    state.answer = code;
    expect(await provenBy(state, handshake())).toEqual([]);
  });

  const refusing: readonly (readonly [string, () => Room])[] = [
    [
      'draining',
      () => {
        const state = room();
        state.admission.setDraining(true);
        return state;
      },
    ],
    ['overloaded', () => room({ maxConnections: 0 })],
    ['presence-unavailable', () => Object.assign(room(), { available: false })],
  ];
  describe.each(refusing)('%s', (_code, refusingRoom) => {
    test('[DR4] proves life by HTTP, although the token was not verified before', async () => {
      expect(await provenBy(refusingRoom(), handshake())).toEqual([7]);
      expect(await provenBy(refusingRoom(), handshake({}, '/ws?userId=7'))).toEqual([7]);
    });

    test.each([
      ['a bad token', { authorization: 'Bearer guess' }, '/ws'],
      ['no token', { authorization: undefined }, '/ws'],
      ['a token of another user than the one named', {}, '/ws?userId=8'],
      ['a foreign origin', { origin: 'https://evil.example' }, '/ws'],
    ])('[DR4] proves nothing with %s', async (_what, headers, url) => {
      expect(await provenBy(refusingRoom(), handshake(headers, url))).toEqual([]);
    });

    test('[DR4] does not help to guess tokens: a guess counts for its address, and a valid token still proves life', async () => {
      const state = refusingRoom();
      const guess = handshake({ authorization: 'Bearer guess' });
      for (let count = 0; count < MAX_FAILURES_PER_WINDOW; count += 1) await provenBy(state, guess);
      expect(state.failed.note('192.0.2.9')).toBeGreaterThan(0);
      expect(state.failed.note('192.0.2.10')).toBe(0);
      expect(await provenBy(state, handshake())).toEqual([7]);
    });
  });
});

describe('a client that retries at once after a refusal', () => {
  test('gets 429 beyond 2,000, leaves 200 log lines, and affects no other client', async () => {
    const hall = room();
    const refused = async () => outcome(await hall.admission.decide(handshake(anonymous)));
    for (let count = 0; count < 2_000; count += 1) expect(await refused()).toBe('400 missing-credentials');
    expect(await refused()).toBe('429 rate-limited');
    expect(hall.logged.filter(({ event }) => event === 'refused')).toHaveLength(200);
    expect(outcome(await hall.admission.decide(handshake()))).toBe('accept');
    expect(outcome(await hall.admission.decide(handshake(anonymous, '/ws', '192.0.2.10')))).toBe(
      '400 missing-credentials',
    );
    hall.clock.advance(1_000);
    expect(await refused()).toBe('400 missing-credentials');
    expect(hall.logged.at(-1)).toMatchObject({ event: 'refused', unlogged: 1_801 });
  });
});

describe('handshakes in progress', () => {
  test('count until they are decided: 20,001 in a row are decided one by one', async () => {
    const hall = room();
    const codes = new Set<string>();
    for (let count = 0; count < 10_001; count += 1) {
      hall.clock.advance(1);
      codes.add(outcome(await hall.admission.decide(handshake(anonymous))));
      const decision = await hall.admission.decide(handshake());
      codes.add(decision.kind);
      if (decision.kind === 'accept') hall.admission.release(decision.registration);
    }
    expect([...codes]).toEqual(['400 missing-credentials', 'accept']);
  });
});
