/**
 * Whether a token was issued after a revocation, so that it stays valid. Both are wall-clock ms. The usual `iat` has whole
 * seconds, so a token of the second of the revocation counts as issued before it. So does a token that does not say when
 * it was issued.
 */
export function isIssuedAfter(issuedAt: number | undefined, revokedAt: number): boolean {
  return issuedAt !== undefined && issuedAt > revokedAt;
}
