import type { Result } from '../lib/result.ts';
import { err, ok } from '../lib/result.ts';
import { parseUserId } from '../protocol/user-id.ts';
import type { UserIdentity } from './credentials.ts';

/** Characters of a user name; the rest is cut off. */
const MAX_USERNAME_CHARS = 128;

/** The claims of a token whose signature holds. */
export type Claims = Readonly<Record<string, unknown>>;

/** Reads who a verified token speaks for, and whether it is valid at `now` (wall-clock ms). */
export function readClaims(
  claims: Claims,
  now: number,
): Result<UserIdentity, 'invalid-token' | 'invalid-user-id'> {
  const expiresAt = secondsToMs(claims['exp']);
  const notBefore = secondsToMs(claims['nbf']);
  const issuedAt = secondsToMs(claims['iat']);
  if (expiresAt === 'malformed' || notBefore === 'malformed' || issuedAt === 'malformed')
    return err('invalid-token');
  if (expiresAt !== undefined && now >= expiresAt) return err('invalid-token');
  if (notBefore !== undefined && now < notBefore) return err('invalid-token');
  const userId = userIdOf(claims);
  if (userId === undefined) return err('invalid-user-id');
  return ok({
    userId,
    username: cleanUsername(claims['name']) ?? `玩家${userId}`,
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...(issuedAt === undefined ? {} : { issuedAt }),
  });
}

/** `sub` decides where it is present; an `id` that names somebody else beside it makes the token ambiguous. */
function userIdOf(claims: Claims): number | undefined {
  const sub = claims['sub'];
  const id = claims['id'];
  if (sub === undefined) return parseUserId(id);
  const userId = parseUserId(sub);
  const other = parseUserId(id);
  return other === undefined || other === userId ? userId : undefined;
}

/** Control characters, line separators, direction overrides and lone surrogates would forge what others see. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}\u2028-\u202e\u2066-\u2069\ufeff]/gu;

function cleanUsername(name: unknown): string | undefined {
  if (typeof name !== 'string' || name === '') return undefined;
  const cut = name.length > MAX_USERNAME_CHARS ? name.slice(0, MAX_USERNAME_CHARS) : name;
  const clean = cut.replace(UNPRINTABLE, '').trim();
  return clean === '' ? undefined : clean;
}

/** NumericDate of RFC 7519: seconds, fractions allowed. */
function secondsToMs(value: unknown): number | undefined | 'malformed' {
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isFinite(value)) return 'malformed';
  return Math.min(Math.trunc(value * 1000), Number.MAX_SAFE_INTEGER);
}
