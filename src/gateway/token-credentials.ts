import { createHash, timingSafeEqual } from 'node:crypto';
import { createSigner, createVerifier } from 'fast-jwt';
import type { Config } from '../config/config.ts';
import type { Clock } from '../lib/clock.ts';
import { err, type Result } from '../lib/result.ts';
import type { Log } from '../logging/log.ts';
import type { Credentials, UserIdentity } from './credentials.ts';
import { type AsymmetricAlgorithm, JwksKeys, type VerificationKey, verificationKey } from './jwks.ts';
import { type Claims, readClaims } from './user-claims.ts';

/** Tokens beyond this are refused unread; every header of a request together has 16 KiB. */
const MAX_TOKEN_CHARS = 8192;
/** Verifiers built for JWKS keys; beyond it all are built anew. */
const MAX_VERIFIERS = 64;

export interface CredentialsOptions {
  readonly config: Pick<
    Config,
    'jwtSecrets' | 'jwtPublicKey' | 'jwtJwksUrl' | 'jwtIssuer' | 'jwtAudience' | 'apiKeys'
  >;
  readonly clock: Clock;
  readonly log: Log;
  /** Replaces the global `fetch` for the JWKS document. */
  readonly fetch?: typeof fetch;
}

/**
 * User tokens (JWT, RFC 7519) and service keys. Each key is pinned to one algorithm: HS256 for the secrets; RS256 or
 * ES256, by its own kind, for a public key. Nothing in a token but its `kid` takes part in the choice of the key.
 * Throws where the public key cannot be used.
 */
export function createCredentials(options: CredentialsOptions): Credentials {
  return new TokenCredentials(options);
}

/** Answers the claims of a token whose signature, issuer and audience hold, else undefined. */
type Verify = (token: string) => Claims | undefined;

interface TokenHeader {
  readonly alg: unknown;
  readonly kid: string | undefined;
}

class TokenCredentials implements Credentials {
  readonly #options: CredentialsOptions;
  readonly #secrets: readonly Verify[];
  readonly #publicKey: { readonly algorithm: AsymmetricAlgorithm; readonly verify: Verify } | undefined;
  readonly #jwks: JwksKeys | undefined;
  readonly #jwksVerifiers = new Map<string, Verify>();
  readonly #apiKeyHashes: readonly Buffer[];
  #sign: ((claims: Record<string, unknown>) => string) | undefined;

  constructor(options: CredentialsOptions) {
    const { config } = options;
    this.#options = options;
    this.#secrets = config.jwtSecrets.map((secret) => this.#verifier(secret, 'HS256'));
    if (config.jwtPublicKey !== undefined) {
      const key = readPublicKey(config.jwtPublicKey);
      this.#publicKey = { algorithm: key.algorithm, verify: this.#verifier(key.pem, key.algorithm) };
    }
    if (config.jwtJwksUrl !== undefined) this.#jwks = new JwksKeys({ ...options, url: config.jwtJwksUrl });
    this.#apiKeyHashes = config.apiKeys.map(sha256);
  }

  async verifyUser(token: string): Promise<Result<UserIdentity, 'invalid-token' | 'invalid-user-id'>> {
    if (token.length > MAX_TOKEN_CHARS) return err('invalid-token');
    // With secrets alone the header need not be read: the verifiers refuse every other algorithm.
    const claims =
      this.#publicKey === undefined && this.#jwks === undefined
        ? this.#bySecret(token)
        : await this.#byHeader(token);
    return claims === undefined ? err('invalid-token') : readClaims(claims, this.#options.clock.now());
  }

  isServiceKey(presented: string): boolean {
    const hash = sha256(presented);
    let found = false;
    // Every key is compared, so that the time taken says nothing about which one came close.
    for (const known of this.#apiKeyHashes) found = timingSafeEqual(hash, known) || found;
    return found;
  }

  signUser(user: { readonly userId: number; readonly name?: string; readonly expiresInS?: number }): string {
    const { jwtSecrets, jwtIssuer, jwtAudience } = this.#options.config;
    const secret = jwtSecrets[0];
    if (secret === undefined) throw new Error('Signing a user token needs JWT_SECRET.');
    this.#sign ??= createSigner<Record<string, unknown>>({ key: secret, algorithm: 'HS256' });
    const issuedAt = Math.floor(this.#options.clock.now() / 1000);
    return this.#sign({
      sub: String(user.userId),
      ...(user.name === undefined ? {} : { name: user.name }),
      iat: issuedAt,
      ...(user.expiresInS === undefined ? {} : { exp: issuedAt + user.expiresInS }),
      ...(jwtIssuer === undefined ? {} : { iss: jwtIssuer }),
      ...(jwtAudience === undefined ? {} : { aud: jwtAudience }),
    });
  }

  #bySecret(token: string): Claims | undefined {
    for (const verify of this.#secrets) {
      const claims = verify(token);
      if (claims !== undefined) return claims;
    }
    return undefined;
  }

  async #byHeader(token: string): Promise<Claims | undefined> {
    const header = readHeader(token);
    if (header === undefined) return undefined;
    if (header.alg === 'HS256') return this.#bySecret(token);
    if (header.alg !== 'RS256' && header.alg !== 'ES256') return undefined;
    if (header.alg === this.#publicKey?.algorithm) {
      const claims = this.#publicKey.verify(token);
      if (claims !== undefined) return claims;
    }
    const key = await this.#jwks?.find(header.kid);
    return key?.algorithm === header.alg ? this.#jwksVerifier(key)(token) : undefined;
  }

  #jwksVerifier(key: VerificationKey): Verify {
    const known = this.#jwksVerifiers.get(key.pem);
    if (known !== undefined) return known;
    if (this.#jwksVerifiers.size >= MAX_VERIFIERS) this.#jwksVerifiers.clear();
    const verify = this.#verifier(key.pem, key.algorithm);
    this.#jwksVerifiers.set(key.pem, verify);
    return verify;
  }

  /** Times are judged by {@link readClaims} on the clock that was passed in, so the library must not judge them. */
  #verifier(key: string, algorithm: 'HS256' | AsymmetricAlgorithm): Verify {
    const { jwtIssuer, jwtAudience } = this.#options.config;
    const verify = createVerifier({
      key,
      algorithms: [algorithm],
      cache: false,
      ignoreExpiration: true,
      ignoreNotBefore: true,
      // A claim that is only "allowed" may be missing; what was configured must be there.
      requiredClaims: [
        ...(jwtIssuer === undefined ? [] : ['iss']),
        ...(jwtAudience === undefined ? [] : ['aud']),
      ],
      ...(jwtIssuer === undefined ? {} : { allowedIss: jwtIssuer }),
      ...(jwtAudience === undefined ? {} : { allowedAud: jwtAudience }),
    });
    return (token) => {
      try {
        return verify(token) as Claims;
      } catch {
        return undefined;
      }
    };
  }
}

function readPublicKey(configured: string): VerificationKey {
  try {
    return verificationKey(configured);
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'unknown';
    throw new Error(`JWT_PUBLIC_KEY cannot be used: ${reason}.`, { cause: error });
  }
}

function readHeader(token: string): TokenHeader | undefined {
  const end = token.indexOf('.');
  if (end <= 0) return undefined;
  try {
    const header: unknown = JSON.parse(Buffer.from(token.slice(0, end), 'base64url').toString('utf8'));
    if (typeof header !== 'object' || header === null) return undefined;
    const { alg, kid } = header as Record<string, unknown>;
    return { alg, kid: typeof kid === 'string' ? kid : undefined };
  } catch {
    return undefined;
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest();
}
