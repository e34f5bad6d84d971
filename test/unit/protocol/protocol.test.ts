import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CLOSES, CloseCode, closeReason } from '../../../src/protocol/close-codes.ts';
import { matchPing, pingTimestamp } from '../../../src/protocol/codec.ts';
import { EnvelopeEncoder, jsonText } from '../../../src/protocol/envelope.ts';
import { ERRORS, EXACT_SENTENCES } from '../../../src/protocol/error-codes.ts';
import { parseClientFrame } from '../../../src/protocol/frames.ts';
import { isTooDeep, MAX_JSON_DEPTH, parseJson } from '../../../src/protocol/json-text.ts';
import { mayReconnect } from '../../../src/protocol/may-reconnect.ts';
import { parseUserId } from '../../../src/protocol/user-id.ts';

describe('pings', () => {
  it('are recognised in the two shapes that clients send', () => {
    expect(matchPing('{"type":"ping"}')).toBe('');
    expect(matchPing('{"type":"ping","timestamp":1767225600000}')).toBe('1767225600000');
    expect(matchPing('{"type":"ping","timestamp":0}')).toBe('0');
  });

  it.each([
    '',
    '{',
    '{"type":"ping"',
    '{"type":"pong"}',
    '{"type":"ping","timestamp":}',
    '{"type":"ping"}}',
    'ping',
  ])('no other text is one: %s', (text) => {
    expect(matchPing(text)).toBeUndefined();
  });

  it('agree with JSON on what a ping is, and do not change its timestamp', () => {
    const text = fc.oneof(
      fc.string().map((tail) => `{"type":"ping"${tail}}`),
      fc
        .string({ unit: fc.constantFrom(...'0123456789-.eE", }'.split('')) })
        .map((digits) => `{"type":"ping","timestamp":${digits}}`),
      fc.string(),
    );
    fc.assert(
      fc.property(text, (candidate) => {
        const stamp = matchPing(candidate);
        if (stamp === undefined) return;
        expect(JSON.parse(candidate)).toMatchObject({ type: 'ping' });
        expect(parseClientFrame(candidate, 'seed')).toEqual({ kind: 'ping', timestamp: stamp });
      }),
      { numRuns: 2000 },
    );
  });
});

describe('the timestamp of a ping', () => {
  it('is the text that JSON.parse reads, whatever is around it', () => {
    const space = fc.string({ unit: fc.constantFrom(' ', '\t', '\n', '\r'), maxLength: 3 });
    const value = fc.oneof(
      fc.jsonValue().map((any) => JSON.stringify(any)),
      fc.constantFrom('1e999', '-0', '1795513054.000', '12345678901234567890', '[ 1 , {"a" : "]}\\"" } ]'),
    );
    const name = fc.constantFrom('"type"', '"timestamp"', '"\\u0074imestamp"', '"times\\"tamp"', '"data"');
    const member = fc.tuple(space, name, space, space, value, space);
    fc.assert(
      fc.property(fc.array(member, { maxLength: 6 }), (members) => {
        const text = `{${members.map(([a, key, b, c, json, d]) => `${a}${key}${b}:${c}${json}${d}`).join(',')}}`;
        const own = members.findLast(([, key]) => key !== '"data"' && JSON.parse(key) === 'timestamp');
        expect(pingTimestamp(text)).toBe(own?.[4] ?? '');
        expect(JSON.parse(text)).toEqual(expect.anything());
      }),
      { numRuns: 2000 },
    );
  });
});

describe('JSON from outside', () => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

  it('is read 128 levels deep and no deeper', () => {
    expect(parseJson(nested(MAX_JSON_DEPTH))).toBeInstanceOf(Array);
    expect(parseJson(nested(MAX_JSON_DEPTH + 1))).toBeUndefined();
    expect(parseClientFrame(`{"type":"x","data":${nested(127)}}`, 'seed')).toBeDefined();
    expect(parseClientFrame(`{"type":"x","data":${nested(128)}}`, 'seed')).toBeUndefined();
  });

  it('brackets within strings do not count, and neighbours are not nested', () => {
    expect(isTooDeep(JSON.stringify({ text: '[{'.repeat(500), quote: '\\"[[' }))).toBe(false);
    expect(isTooDeep(`[${Array.from({ length: 500 }, () => '[]').join(',')}]`)).toBe(false);
    expect(isTooDeep(`["a\\"b",${nested(128)}]`)).toBe(true);
  });

  it('never throws for any input', () => {
    const unit = fc.constantFrom('[', ']', '{', '}', '"', '\\', ',', ':', '1', ' ');
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 400 }), (text) => {
        expect(() => parseJson(text)).not.toThrow();
      }),
      { numRuns: 1000 },
    );
  });
});

describe('envelopes', () => {
  it('[DL2] one encoding serves every receiver', () => {
    const encoder = new EnvelopeEncoder('news "x"', '{"text":"灵犀"}', 1_767_225_600);
    expect(JSON.parse(encoder.forUser(7))).toEqual({
      ...{ type: 'news "x"', userId: 7, timestamp: 1_767_225_600, data: { text: '灵犀' } },
    });
    expect(JSON.parse(encoder.forUserWithId(8, 'a"b'))).toMatchObject({ userId: 8, id: 'a"b' });
  });

  it('equal the output of JSON.stringify', () => {
    const envelope = fc.record({
      type: fc.string(),
      userId: fc.nat(),
      timestamp: fc.nat(),
      data: fc.jsonValue(),
    });
    fc.assert(
      fc.property(envelope, (value) => {
        const { type, data, timestamp, userId } = value;
        expect(new EnvelopeEncoder(type, jsonText(data), timestamp).forUser(userId)).toBe(
          JSON.stringify(value),
        );
      }),
    );
  });

  it('carry null without data', () => {
    expect(new EnvelopeEncoder('x', jsonText(undefined), 1).forUser(1)).toContain('"data":null}');
    expect(() => jsonText(1n)).toThrow(TypeError);
  });
});

describe('the sentences of errors', () => {
  const words = (text: string): string[] => text.toLowerCase().match(/[a-z][a-z_-]*/g) ?? [];

  it.each(Object.entries({ ...ERRORS, ...EXACT_SENTENCES }))(
    '%s is Chinese except for names',
    (_, { en, zh }) => {
      expect(en).toMatch(/^[A-Z][ -~]+$/);
      expect(zh).toMatch(/[\u4e00-\u9fff]/);
      // Names are the same in both. The contents of placeholders are translated.
      const translated = zh.replaceAll(/<[^>]*>/g, '');
      expect(words(translated).filter((word) => !words(en).includes(word))).toEqual([]);
    },
  );
});

describe('close reasons', () => {
  it.each([
    ['short', 'short'],
    ['x'.repeat(123), 'x'.repeat(123)],
    ['x'.repeat(124), 'x'.repeat(123)],
    ['灵'.repeat(50), '灵'.repeat(41)],
    [`x${'🐉'.repeat(31)}`, `x${'🐉'.repeat(30)}`],
    ['a\ud800b', 'a\ufffdb'],
  ])('are cut between two characters (%#)', (text, shown) => {
    expect(closeReason(text)).toBe(shown);
  });

  it('always fit a close frame, and are the beginning of the given reason', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        const shown = closeReason(text);
        expect(Buffer.byteLength(shown)).toBeLessThanOrEqual(123);
        expect(text.startsWith(shown)).toBe(true);
        if (shown !== text) expect(Buffer.byteLength(shown)).toBeGreaterThan(123 - 4);
      }),
    );
  });
});

describe('user ids', () => {
  it.each([
    [0, 0],
    ['0', 0],
    [7, 7],
    ['7', 7],
    [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ])('%j is a user id', (input, userId) => {
    expect(parseUserId(input)).toBe(userId);
  });

  it.each([
    ...[
      -1,
      1.5,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      2 ** 53,
      -0,
      '-1',
      '+1',
      '01',
      '1.0',
      '1e3',
      ' 1',
      '1 ',
      '',
    ],
    ...['9007199254740992', '99999999999999999999', '0x10', '１', '1\n', null, undefined, true, [], {}, [1]],
  ])('%j is not a user id', (input) => {
    expect(parseUserId(input)).toBeUndefined();
  });
});

describe('close codes', () => {
  it('4000 to 4099 tell the client to stay away, all others let it reconnect', () => {
    const staysAway = Object.entries(CloseCode).filter(([, code]) => !mayReconnect(code));
    expect(staysAway.map(([name]) => name)).toEqual([
      ...['loggedOut', 'replaced', 'kicked', 'tokenExpired'],
      ...['unknownUser', 'blocked', 'sessionExists', 'sessionFlapping', 'badRequest'],
    ]);
    expect([3999, 4000, 4099, 4100].map(mayReconnect)).toEqual([true, false, false, true]);
  });

  it('each cause carries its code, whether the client may come back, and whether it gets a goodbye', () => {
    const closes = Object.entries(CLOSES).map(
      ([cause, { code, mayReconnect: mayReturn, saysGoodbye }]) =>
        `${code} ${cause}${mayReturn ? ', come back' : ''}${saysGoodbye ? ', goodbye' : ''}`,
    );
    expect(closes.sort()).toEqual([
      '1000 client-closed, come back',
      '1008 policy-violation, come back',
      '1011 connection-lost, come back',
      '1011 internal-error, come back',
      '1011 transport-error, come back',
      '1012 shutdown, come back, goodbye',
      '4000 logout',
      '4001 replaced',
      '4002 kick',
      '4003 token-expired',
      '4003 token-revoked',
      '4100 heartbeat-timeout, come back, goodbye',
      '4100 read-timeout, come back, goodbye',
      '4101 slow-consumer, come back, goodbye',
      '4102 presence-lost, come back, goodbye',
    ]);
  });
});
