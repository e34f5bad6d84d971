import type { Result } from '../lib/result.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';

/** The user of a verified token. */
export interface UserIdentity {
  readonly userId: number;
  /** `name` of the token, else the default name in the language of the gateway. */
  readonly username: string;
  /** Wall-clock ms. Absent if the token has no `exp`. */
  readonly expiresAt?: number;
  /** Wall-clock ms. Absent if the token has no `iat`. */
  readonly issuedAt?: number;
}

/**
 * Why a token is refused.
 * - `invalid-token`: none of our keys signed it. It may be a guess, so it counts for its address.
 * - `invalid-claims`: one of our keys signed it. But it is expired or not valid yet, is for another issuer, or has two
 *   different users. That is no attack and does not count.
 * - `invalid-user-id`: one of our keys signed it, but its only user id is malformed.
 * - `credentials-unavailable`: the server cannot fetch the key that would verify it now.
 */
export type TokenFault = 'invalid-token' | 'invalid-claims' | 'invalid-user-id' | 'credentials-unavailable';

/** The stable code that the client of a refused token sees. */
export function codeOfTokenFault(fault: TokenFault): Exclude<TokenFault, 'invalid-claims'> & ErrorCode {
  return fault === 'invalid-claims' ? 'invalid-token' : fault;
}

/** Verifies user tokens and service keys. Never logs or echoes either. */
export interface Credentials {
  /** Checks signature, pinned algorithm, `exp`, `nbf`, `iss`, `aud` and the user id. */
  verifyUser(token: string): Promise<Result<UserIdentity, TokenFault>>;
  /** Constant-time comparison with each of the configured keys. */
  isServiceKey(presented: string): boolean;
  /** Signs a user token with the first HS256 secret; used by `/dev/token`, `lingxi token` and tests. */
  signUser(user: { readonly userId: number; readonly name?: string; readonly expiresInS?: number }): string;
}
