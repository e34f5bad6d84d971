import type { Result } from '../lib/result.ts';
import type { ErrorCode, Exactness } from '../protocol/error-codes.ts';

/** The user of a verified token. */
export interface UserIdentity {
  readonly userId: number;
  /** `name` of the token, else the default name in the language of the gateway. */
  readonly username: string;
  /** Names of the claim `groups` as one text (rule GR1). Absent if it names none. */
  readonly groups?: string | undefined;
  /** Wall-clock ms. Absent if the token has no `exp`. */
  readonly expiresAt?: number | undefined;
  /** Wall-clock ms. Absent if the token has no `iat`. */
  readonly issuedAt?: number | undefined;
}

/** Why a token with a valid signature, or a ticket, is void. */
export type ClaimsFault =
  | 'token-expired'
  | 'token-not-yet-valid'
  | 'token-revoked'
  | 'malformed-time'
  | 'wrong-issuer'
  | 'wrong-audience'
  | 'two-user-ids'
  | 'void-ticket';

/** What is wrong with the claim `groups`. */
export type GroupsFault = 'no-group-list' | 'bad-group-name' | 'too-many-groups';

/**
 * Why a token is refused.
 * - `invalid-token`: none of our keys signed it. It may be a guess, so it counts for its address.
 * - a {@link ClaimsFault}: one of our keys signed it; or it is a ticket that was used or has expired, and nobody can guess one.
 *   That is no attack and does not count.
 * - `no-group-list`, `bad-group-name`, `too-many-groups`: one of our keys signed it. But its claim `groups` is no list, has an
 *   invalid group name, or has more names than a user may have groups.
 * - `invalid-user-id`: one of our keys signed it, but its only user id is malformed.
 * - `credentials-unavailable`: the server cannot fetch the key to verify it now.
 * - `presence-unavailable`: it is a ticket, and the server cannot look it up now.
 */
export type TokenFault =
  | 'invalid-token'
  | ClaimsFault
  | GroupsFault
  | 'invalid-user-id'
  | 'credentials-unavailable'
  | 'presence-unavailable';

/** The stable code that the client of a refused token sees. */
export function codeOfTokenFault(
  fault: TokenFault,
): Exclude<TokenFault, ClaimsFault | GroupsFault> & ErrorCode {
  switch (fault) {
    case 'invalid-token':
    case 'invalid-user-id':
    case 'credentials-unavailable':
    case 'presence-unavailable':
      return fault;
    default:
      return 'invalid-token';
  }
}

/**
 * The sentence beside that code. It tells an attacker nothing: a client that cannot sign a token learns only that, and a client
 * with a token can read its claims.
 */
export function exactnessOfTokenFault(fault: TokenFault): Exactness {
  switch (fault) {
    case 'invalid-token':
      return { sentence: 'not-signed-here' };
    case 'invalid-user-id':
      return { sentence: 'no-user-id' };
    case 'credentials-unavailable':
    case 'presence-unavailable':
      return {};
    default:
      return { sentence: fault };
  }
}

export type Verified = Result<UserIdentity, TokenFault>;

/** Verifies user tokens and service keys. Never logs or echoes either. */
export interface Credentials {
  /**
   * Checks signature, pinned algorithm, `exp`, `nbf`, `iss`, `aud`, the user id, and whether the token is revoked. Returns at
   * once, unless a key may have to be fetched.
   */
  verifyUser(token: string): Verified | Promise<Verified>;
  /** Compares the key with each configured key in constant time. */
  isServiceKey(presented: string): boolean;
  /** The same for the keys that may only read. */
  isViewKey(presented: string): boolean;
  /** Signs a user token with the first HS256 secret; used by `/dev/token`, `lingxi token` and tests. */
  signUser(user: { readonly userId: number; readonly name?: string; readonly expiresInS?: number }): string;
}
