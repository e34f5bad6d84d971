import type { Result } from '../lib/result.ts';
import type { ErrorCode, Exactness } from '../protocol/error-codes.ts';

/** The user of a verified token. */
export interface UserIdentity {
  readonly userId: number;
  /** `name` of the token, else the default name in the language of the gateway. */
  readonly username: string;
  /** Names of the claim `groups` as one text (rule GR1). Absent if it names none. */
  readonly groups?: string;
  /** Wall-clock ms. Absent if the token has no `exp`. */
  readonly expiresAt?: number;
  /** Wall-clock ms. Absent if the token has no `iat`. */
  readonly issuedAt?: number;
}

/** What is wrong with the claim `groups`. */
export type GroupsFault = 'no-group-list' | 'bad-group-name' | 'too-many-groups';

/**
 * Why a token is refused.
 * - `invalid-token`: none of our keys signed it. It may be a guess, so it counts for its address.
 * - `invalid-claims`: one of our keys signed it. But it is expired, revoked or not valid yet, is for another issuer,
 *   or has two different users. Or it is a ticket that was used or has expired; nobody can guess one. That is no attack
 *   and does not count.
 * - `no-group-list`, `bad-group-name`, `too-many-groups`: one of our keys signed it, but its claim `groups` is no list, has
 *   a name that no group can have, or has more names than a user may have groups.
 * - `invalid-user-id`: one of our keys signed it, but its only user id is malformed.
 * - `credentials-unavailable`: the server cannot fetch the key that would verify it now.
 * - `presence-unavailable`: it is a ticket, and the server cannot look it up now.
 */
export type TokenFault =
  | 'invalid-token'
  | 'invalid-claims'
  | GroupsFault
  | 'invalid-user-id'
  | 'credentials-unavailable'
  | 'presence-unavailable';

/** The stable code that the client of a refused token sees. */
export function codeOfTokenFault(
  fault: TokenFault,
): Exclude<TokenFault, 'invalid-claims' | GroupsFault> & ErrorCode {
  return fault === 'invalid-claims' || isGroupsFault(fault) ? 'invalid-token' : fault;
}

/** The sentence beside that code, where the code's own would say too little. */
export function exactnessOfTokenFault(fault: TokenFault): Exactness {
  return isGroupsFault(fault) ? { sentence: fault } : {};
}

function isGroupsFault(fault: TokenFault): fault is GroupsFault {
  return fault === 'no-group-list' || fault === 'bad-group-name' || fault === 'too-many-groups';
}

/** Verifies user tokens and service keys. Never logs or echoes either. */
export interface Credentials {
  /** Checks signature, pinned algorithm, `exp`, `nbf`, `iss`, `aud`, the user id, and whether the token is revoked. */
  verifyUser(token: string): Promise<Result<UserIdentity, TokenFault>>;
  /** Constant-time comparison with each of the configured keys. */
  isServiceKey(presented: string): boolean;
  /** The same with each of the keys that only read. */
  isViewKey(presented: string): boolean;
  /** Signs a user token with the first HS256 secret; used by `/dev/token`, `lingxi token` and tests. */
  signUser(user: { readonly userId: number; readonly name?: string; readonly expiresInS?: number }): string;
}
