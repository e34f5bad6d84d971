import { createPublicKey } from 'node:crypto';

const MAX_KEYS = 64;
const MIN_RSA_BITS = 2048;

export type AsymmetricAlgorithm = 'RS256' | 'ES256';

export interface VerificationKey {
  readonly algorithm: AsymmetricAlgorithm;
  /** SPKI, PEM. */
  readonly pem: string;
}

/** A key of a set. Several keys may share one `kid`, or have none. */
export interface NamedKey extends VerificationKey {
  readonly kid: string | undefined;
}

/** The algorithm of a PEM public key. Throws if the key is neither RSA of at least 2048 bits nor P-256. */
export function verificationKey(pem: string): VerificationKey {
  const key = createPublicKey(pem);
  const algorithm = algorithmOf(key);
  if (algorithm === undefined) throw new Error('expected RSA of at least 2048 bits, or EC P-256');
  return { algorithm, pem: key.export({ type: 'spki', format: 'pem' }).toString() };
}

/** The usable keys of a JWKS document (RFC 7517). Throws if the text is no such document, or has no usable key. */
export function parseJwks(text: string): readonly NamedKey[] {
  const document: unknown = JSON.parse(text);
  const list = isRecord(document) ? document['keys'] : undefined;
  if (!Array.isArray(list)) throw new Error('not a JWKS document');
  const keys = list.slice(0, MAX_KEYS).flatMap((jwk) => parseJwk(jwk) ?? []);
  if (keys.length === 0) throw new Error('the document holds no key for RS256 or ES256');
  return keys;
}

function algorithmOf(key: ReturnType<typeof createPublicKey>): AsymmetricAlgorithm | undefined {
  const details = key.asymmetricKeyDetails;
  if (key.asymmetricKeyType === 'rsa')
    return (details?.modulusLength ?? 0) >= MIN_RSA_BITS ? 'RS256' : undefined;
  return key.asymmetricKeyType === 'ec' && details?.namedCurve === 'prime256v1' ? 'ES256' : undefined;
}

/** Skips symmetric keys, encryption keys, and types that we do not pin. */
function parseJwk(jwk: unknown): NamedKey | undefined {
  if (!isRecord(jwk) || (jwk['kty'] !== 'RSA' && jwk['kty'] !== 'EC')) return undefined;
  if (jwk['use'] !== undefined && jwk['use'] !== 'sig') return undefined;
  try {
    const key = createPublicKey({ key: jwk, format: 'jwk' });
    const algorithm = algorithmOf(key);
    if (algorithm === undefined || (jwk['alg'] !== undefined && jwk['alg'] !== algorithm)) return undefined;
    const kid = typeof jwk['kid'] === 'string' ? jwk['kid'] : undefined;
    return { kid, algorithm, pem: key.export({ type: 'spki', format: 'pem' }).toString() };
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
