import { createHash, timingSafeEqual } from 'node:crypto';
import { createSigner, createVerifier } from 'fast-jwt';
import type { Config } from '../config/config.ts';
import type { Clock } from '../lib/clock.ts';
import { err, ok, type Result } from '../lib/result.ts';
import type { Log } from '../logging/log.ts';
import type { Credentials, TokenFault, UserIdentity, Verified } from './credentials.ts';
import { type AsymmetricAlgorithm, type VerificationKey, verificationKey } from './jwk.ts';
import { JwksKeys, type WantedKey } from './jwks.ts';
import { type Claims, readClaims } from './user-claims.ts';

/** Longer tokens are refused unread. All headers of a request together may have 16 KiB. */
const MAX_TOKEN_CHARS = 8192;
/** Largest number of cached verifiers for JWKS keys. Beyond it, all of them are rebuilt. */
const MAX_VERIFIERS = 64;

export interface CredentialsOptions {
  readonly config: Pick<
    Config,
    | 'jwtSecrets'
    | 'jwtPublicKey'
    | 'jwtJwksUrl'
    | 'jwtIssuer'
    | 'jwtAudience'
    | 'apiKeys'
    | 'viewKeys'
    | 'language'
    | 'maxGroupsPerUser'
  >;
  readonly clock: Clock;
  readonly log: Log;
  /** Returns why a token is void although its signature and times are valid. Absent: no token is void. */
  readonly faultOf?: (identity: UserIdentity) => TokenFault | undefined;
  /** Replaces the global `fetch` for the JWKS document. */
  readonly fetch?: typeof fetch;
}

/** Credentials that may use keys from a key server. */
export interface OwnCredentials extends Credentials {
  /** Fetches the keys, so that the first token need not wait for them. */
  start(): void;
  /** Stops the requests to the key server. */
  stop(): void;
  /** False while the key server has given no keys, so that tokens which need them are refused. */
  readonly available: boolean;
}

/**
 * User tokens (JWT, RFC 7519) and service keys. Each key is pinned to one algorithm: the secrets to HS256, a public key to RS256
 * or ES256 by its type. Only the `kid` of a token influences the choice of the key. Throws if the public key is unusable.
 */
export function createCredentials(options: CredentialsOptions): OwnCredentials {
  return new TokenCredentials(options);
}

/** The claims of a token with a valid signature, issuer and audience, or why it is refused. */
type Verdict = Result<
  Claims,
  'invalid-token' | 'wrong-issuer' | 'wrong-audience' | 'credentials-unavailable'
>;
type Verify = (token: string) => Verdict;

/** Errors of fast-jwt that occur after it has verified the signature. They concern issuer or audience. */
const CLAIM_ERRORS: ReadonlySet<unknown> = new Set([
  'FAST_JWT_MISSING_REQUIRED_CLAIM',
  'FAST_JWT_INVALID_CLAIM_TYPE',
  'FAST_JWT_INVALID_CLAIM_VALUE',
]);

interface TokenHeader {
  readonly alg: unknown;
  readonly kid: string | undefined;
}

class TokenCredentials implements OwnCredentials {
  readonly #options: CredentialsOptions;
  readonly #secrets: readonly Verify[];
  readonly #publicKey: { readonly algorithm: AsymmetricAlgorithm; readonly verify: Verify } | undefined;
  readonly #jwks: JwksKeys | undefined;
  readonly #jwksVerifiers = new Map<string, Verify>();
  readonly #apiKeyHashes: readonly Buffer[];
  readonly #viewKeyHashes: readonly Buffer[];
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
    this.#viewKeyHashes = config.viewKeys.map(sha256);
  }

  verifyUser(token: string): Verified | Promise<Verified> {
    if (token.length > MAX_TOKEN_CHARS) return err('invalid-token');
    // With secrets only, there is no need to read the header: the verifiers refuse every other algorithm.
    return this.#publicKey === undefined && this.#jwks === undefined
      ? this.#identityBy(firstVerdict(this.#secrets, token))
      : this.#byHeader(token).then((verdict) => this.#identityBy(verdict));
  }

  #identityBy(verdict: Verdict): Verified {
    if (!verdict.ok) return verdict;
    const { clock, config, faultOf } = this.#options;
    const { language, maxGroupsPerUser: maxGroups } = config;
    const identity = readClaims(verdict.value, { now: clock.now(), language, maxGroups });
    const fault = identity.ok ? faultOf?.(identity.value) : undefined;
    return fault === undefined ? identity : err(fault);
  }

  start(): void {
    this.#jwks?.start();
  }

  stop(): void {
    this.#jwks?.stop();
  }

  get available(): boolean {
    return this.#jwks?.hasKeys !== false;
  }

  isServiceKey(presented: string): boolean {
    return isOneOf(this.#apiKeyHashes, presented);
  }

  isViewKey(presented: string): boolean {
    return this.#viewKeyHashes.length > 0 && isOneOf(this.#viewKeyHashes, presented);
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

  async #byHeader(token: string): Promise<Verdict> {
    const header = readHeader(token);
    if (header === undefined) return err('invalid-token');
    const { alg, kid } = header;
    if (alg === 'HS256') return firstVerdict(this.#secrets, token);
    if (alg !== 'RS256' && alg !== 'ES256') return err('invalid-token');
    if (alg === this.#publicKey?.algorithm) {
      const verdict = this.#publicKey.verify(token);
      if (speaks(verdict)) return verdict;
    }
    return this.#jwks === undefined
      ? err('invalid-token')
      : this.#byJwks(this.#jwks, token, { algorithm: alg, kid });
  }

  async #byJwks(jwks: JwksKeys, token: string, wanted: WantedKey): Promise<Verdict> {
    const keys = jwks.fitting(wanted);
    const verdict = this.#byKeys(keys, token);
    // If the set has a key with that `kid`, an invalid signature is a forgery.
    const isNamed = wanted.kid !== undefined && keys.some(({ kid }) => kid === wanted.kid);
    if (speaks(verdict) || isNamed) return verdict;
    const renewal = await jwks.renew();
    if (renewal === 'renewed') return this.#byKeys(jwks.fitting(wanted), token);
    return renewal === 'too-often' && keys.length > 0 ? verdict : err('credentials-unavailable');
  }

  #byKeys(keys: readonly VerificationKey[], token: string): Verdict {
    return firstVerdict(
      keys.map((key) => this.#jwksVerifier(key)),
      token,
    );
  }

  #jwksVerifier(key: VerificationKey): Verify {
    const known = this.#jwksVerifiers.get(key.pem);
    if (known !== undefined) return known;
    if (this.#jwksVerifiers.size >= MAX_VERIFIERS) this.#jwksVerifiers.clear();
    const verify = this.#verifier(key.pem, key.algorithm);
    this.#jwksVerifiers.set(key.pem, verify);
    return verify;
  }

  /** {@link readClaims} checks times on the clock that is passed in, so the library must not check them. */
  #verifier(key: string, algorithm: 'HS256' | AsymmetricAlgorithm): Verify {
    const { jwtIssuer, jwtAudience } = this.#options.config;
    const verify = createVerifier({
      key,
      algorithms: [algorithm],
      cache: false,
      ignoreExpiration: true,
      ignoreNotBefore: true,
      // The library accepts a token without an "allowed" claim, but a configured claim must be present.
      requiredClaims: [
        ...(jwtIssuer === undefined ? [] : ['iss']),
        ...(jwtAudience === undefined ? [] : ['aud']),
      ],
      ...(jwtIssuer === undefined ? {} : { allowedIss: jwtIssuer }),
      ...(jwtAudience === undefined ? {} : { allowedAud: jwtAudience }),
    });
    return (token) => {
      try {
        return ok(verify(token) as Claims);
      } catch (error) {
        const isSigned = error instanceof Error && 'code' in error && CLAIM_ERRORS.has(error.code);
        if (!isSigned) return err('invalid-token');
        return err(/\biss claim\b/.test(error.message) ? 'wrong-issuer' : 'wrong-audience');
      }
    };
  }
}

/** Tries one key after the other until one verifies the signature. */
function firstVerdict(verifiers: readonly Verify[], token: string): Verdict {
  for (const verify of verifiers) {
    const verdict = verify(token);
    if (speaks(verdict)) return verdict;
  }
  return err('invalid-token');
}

/** Whether the key has signed the token, whatever else is wrong with it. */
function speaks(verdict: Verdict): boolean {
  return verdict.ok || verdict.error === 'wrong-issuer' || verdict.error === 'wrong-audience';
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

/** It compares every key, so that the time does not show which one was close. */
function isOneOf(hashes: readonly Buffer[], presented: string): boolean {
  const hash = sha256(presented);
  let found = false;
  for (const known of hashes) found = timingSafeEqual(hash, known) || found;
  return found;
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest();
}
