/**
 * Whether a token was issued after a revocation, and so stays valid. Both are wall-clock ms. The usual `iat` has whole seconds,
 * so a token from the second of the revocation counts as issued before it. A token without a time of issue counts as issued
 * before it, too.
 */
export function isIssuedAfter(issuedAt: number | undefined, revokedAt: number): boolean {
  return issuedAt !== undefined && issuedAt > revokedAt;
}
