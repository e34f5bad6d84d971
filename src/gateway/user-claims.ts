import type { Result } from '../lib/result.ts';
import { err, ok } from '../lib/result.ts';
import type { Language } from '../protocol/error-codes.ts';
import { groupsText, isGroupName } from '../protocol/groups.ts';
import { parseUserId } from '../protocol/user-id.ts';
import { defaultUsername } from '../protocol/user-name.ts';
import type { ClaimsFault, GroupsFault, UserIdentity } from './credentials.ts';

/** Largest number of characters of a user name. The rest is cut off. */
const MAX_USERNAME_CHARS = 128;
/** The issuer's clock may be ahead of ours by this much. Beyond it, new tokens are refused. */
const NOT_BEFORE_LEEWAY_MS = 5_000;

/** The claims of a token with a valid signature. */
export type Claims = Readonly<Record<string, unknown>>;

/** Reads the user of a verified token, and checks that it is valid at `now` (wall-clock ms). */
export function readClaims(
  claims: Claims,
  at: { readonly now: number; readonly language: Language; readonly maxGroups: number },
): Result<UserIdentity, ClaimsFault | GroupsFault | 'invalid-user-id'> {
  const expiresAt = secondsToMs(claims['exp']);
  const notBefore = secondsToMs(claims['nbf']);
  const issuedAt = secondsToMs(claims['iat']);
  if (expiresAt === 'malformed' || notBefore === 'malformed' || issuedAt === 'malformed')
    return err('malformed-time');
  if (expiresAt !== undefined && at.now >= expiresAt) return err('token-expired');
  if (notBefore !== undefined && at.now + NOT_BEFORE_LEEWAY_MS < notBefore) return err('token-not-yet-valid');
  const userId = userIdOf(claims);
  if (!userId.ok) return userId;
  const groups = groupsOf(claims['groups'], at.maxGroups);
  if (!groups.ok) return groups;
  return ok({
    userId: userId.value,
    username: cleanUsername(claims['name']) ?? defaultUsername(userId.value, at.language),
    groups: groups.value === '' ? undefined : groups.value,
    expiresAt,
    issuedAt,
  });
}

/** The names as one text, empty if there is no such claim. */
function groupsOf(claim: unknown, maxGroups: number): Result<string, GroupsFault> {
  if (claim === undefined || claim === null) return ok('');
  if (!Array.isArray(claim)) return err('no-group-list');
  if (!claim.every(isGroupName)) return err('bad-group-name');
  return new Set(claim).size > maxGroups ? err('too-many-groups') : ok(groupsText(claim));
}

/** The user id is in `sub` or in `id`. If a token has both, they must name the same user. */
function userIdOf(claims: Claims): Result<number, ClaimsFault | 'invalid-user-id'> {
  const { sub, id }: { readonly sub?: unknown; readonly id?: unknown } = claims;
  const userId = parseUserId(sub === undefined ? id : sub);
  if (sub !== undefined && id !== undefined) {
    return userId === undefined || parseUserId(id) !== userId ? err('two-user-ids') : ok(userId);
  }
  return userId === undefined ? err('invalid-user-id') : ok(userId);
}

/** Control characters, line separators, direction overrides and lone surrogates could fake text that others see. */
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
