import type { Result } from '../lib/result.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';

/** Who a verified user token speaks for. */
export interface UserIdentity {
  readonly userId: number;
  /** `name` of the token, else `玩家<id>`. */
  readonly username: string;
  /** Wall-clock ms; absent where the token has no `exp`. */
  readonly expiresAt?: number;
  /** Wall-clock ms; absent where the token has no `iat`. */
  readonly issuedAt?: number;
}

/** Verifies user tokens and service keys. Never logs or echoes either. */
export interface Credentials {
  /** Checks signature, pinned algorithm, `exp`, `nbf`, `iss`, `aud` and the user id. */
  verifyUser(
    token: string,
  ): Promise<Result<UserIdentity, Extract<ErrorCode, 'invalid-token' | 'invalid-user-id'>>>;
  /** Constant-time comparison with each of the configured keys. */
  isServiceKey(presented: string): boolean;
  /** Signs a user token with the first HS256 secret; used by `/dev/token`, `lingxi token` and tests. */
  signUser(user: { readonly userId: number; readonly name?: string; readonly expiresInS?: number }): string;
}
