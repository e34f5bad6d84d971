import type { Random } from '../../simulation/random.ts';
import { signToken } from '../tokens.ts';
import { magnitude, mutate } from './case.ts';

/** Fixed, so that the same seed gives the same token. */
const ISSUED_AT_S = 1_600_000_000;
const EXPIRES_AT_S = 4_100_000_000;
const EXPIRED_AT_S = 1_600_000_060;
/** Longest value that a forged claim may have. */
const MAX_CLAIM_CHARS = 6_000;

const CLAIMS = { iat: ISSUED_AT_S, exp: EXPIRES_AT_S };

/** A token that the gateway must accept. */
export function rightToken(secret: string, userId: number): string {
  return signToken(secret, userId, { claims: CLAIMS });
}

/** A token that must not give access, or one with odd claims. */
export function forgedToken(random: Random, secret: string, userId: number): string {
  const sign = (claims: Readonly<Record<string, unknown>>, header: Readonly<Record<string, unknown>> = {}) =>
    signToken(secret, userId, { claims: { ...CLAIMS, ...claims }, header });
  switch (
    random.weighted({
      bytes: 4,
      secret: 2,
      none: 2,
      expired: 2,
      header: 3,
      subject: 4,
      claim: 3,
      form: 3,
      deep: 2,
    })
  ) {
    case 'bytes':
      return mutate(random, Buffer.from(sign({})))
        .toString('latin1')
        .replaceAll(/[\r\n]/g, '.');
    case 'secret':
      return signToken('another-secret-of-more-than-32-bytes!', userId, { claims: CLAIMS });
    case 'none':
      return sign({}, { alg: random.pick(['none', 'None', 'NONE', '']) });
    case 'expired':
      return sign({ exp: EXPIRED_AT_S });
    case 'header':
      return sign(
        {},
        {
          alg: random.pick(['HS256', 'RS256', 'ES256', 'HS512', 'PS256']),
          kid: random.pick(['../../etc/passwd', "' OR 1=1", '', 1, {}]),
          jku: 'http://127.0.0.1:1/keys',
          crit: random.pick([[], ['exp'], 'exp']),
        },
      );
    case 'subject':
      return sign({
        sub: random.pick<unknown>([
          ...['', '*', '-1', '1e3', '9007199254740993', '1\r\nSET x 1', '１', 'a:b', '__proto__'],
          ...[-1, 1.5, null, true, [], ['1'], {}, { toString: 1 }],
        ]),
        ...(random.chance(0.3) ? { id: random.pick([userId, 'x', null, -1]) } : {}),
      });
    case 'claim': {
      const odd = random.pick<unknown>([
        '',
        'x'.repeat(magnitude(random, 1, MAX_CLAIM_CHARS)),
        -1,
        1e300,
        null,
        {},
        [],
      ]);
      return sign({ [random.pick(['name', 'exp', 'nbf', 'iat', 'iss', 'aud', '__proto__'])]: odd });
    }
    case 'form':
      return random.pick([
        '.',
        '..',
        '...',
        'a.b.c',
        `${sign({})}.`,
        `.${sign({})}`,
        sign({}).repeat(2),
        '%00',
        '{}.{}.{}',
      ]);
    case 'deep': {
      const depth = magnitude(random, 1, MAX_CLAIM_CHARS / 2);
      // Written by hand, because a serialiser would refuse such values.
      const body = `{"sub":"${userId}","exp":${EXPIRES_AT_S},"x":${'['.repeat(depth)}${']'.repeat(depth)}}`;
      const [header = '', , signature = ''] = sign({}).split('.');
      return `${header}.${Buffer.from(body).toString('base64url')}.${signature}`;
    }
  }
}
