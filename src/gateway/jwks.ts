import { createPublicKey } from 'node:crypto';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../logging/log.ts';

/** Public keys are asked for again after this long. */
const FRESH_MS = 600_000;
/** While the key server does not answer, known keys are believed for this long. */
const STALE_MS = 86_400_000;
/** An unknown `kid` asks again at most this often, so that made-up ones cannot flood the key server. */
const MIN_INTERVAL_MS = 10_000;
const FETCH_TIMEOUT_MS = 5_000;
const MAX_DOCUMENT_BYTES = 262_144;
const MAX_KEYS = 64;
const MIN_RSA_BITS = 2048;

export type AsymmetricAlgorithm = 'RS256' | 'ES256';

export interface VerificationKey {
  readonly algorithm: AsymmetricAlgorithm;
  /** SPKI, PEM. */
  readonly pem: string;
}

interface JwksOptions {
  readonly url: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Replaces the global `fetch`. */
  readonly fetch?: typeof fetch;
}

/** The keys of one JWKS address (RFC 7517), fetched when needed and kept within bounds. */
export class JwksKeys {
  readonly #options: JwksOptions;
  #keys = new Map<string, VerificationKey>();
  #fetchedAt: number | undefined;
  #triedAt: number | undefined;
  #pending: Promise<void> | undefined;

  constructor(options: JwksOptions) {
    this.#options = options;
  }

  /** The key named `kid`; without a `kid`, the only key there is. */
  async find(kid: string | undefined): Promise<VerificationKey | undefined> {
    const known = this.#look(kid);
    if (known !== undefined && this.#age() < FRESH_MS) return known;
    // A known key is used at once; its renewal delays nobody.
    const refreshed = this.#refresh();
    if (known !== undefined && this.#age() < STALE_MS) return known;
    await refreshed;
    return this.#age() < STALE_MS ? this.#look(kid) : undefined;
  }

  #look(kid: string | undefined): VerificationKey | undefined {
    if (kid !== undefined) return this.#keys.get(kid);
    return this.#keys.size === 1 ? this.#keys.values().next().value : undefined;
  }

  #age(): number {
    return this.#fetchedAt === undefined ? Infinity : this.#options.clock.monotonic() - this.#fetchedAt;
  }

  #refresh(): Promise<void> {
    const now = this.#options.clock.monotonic();
    if (this.#pending !== undefined) return this.#pending;
    if (this.#triedAt !== undefined && now - this.#triedAt < MIN_INTERVAL_MS) return Promise.resolve();
    this.#triedAt = now;
    this.#pending = this.#load().finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  async #load(): Promise<void> {
    try {
      const response = await (this.#options.fetch ?? fetch)(this.#options.url, {
        redirect: 'error',
        headers: { accept: 'application/json' },
        signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
      });
      if (!response.ok) throw new Error(`status ${response.status}`);
      this.#keys = parseJwks(await boundedText(response));
      this.#fetchedAt = this.#options.clock.monotonic();
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown';
      this.#options.log.warn({ event: 'config', reason }, 'JWT_JWKS_URL cannot be read');
    }
  }
}

/** The algorithm that a PEM public key is for. Throws where the key is neither RSA of 2048 bits nor P-256. */
export function verificationKey(pem: string): VerificationKey {
  const key = createPublicKey(pem);
  const algorithm = algorithmOf(key);
  if (algorithm === undefined) throw new Error('expected RSA of at least 2048 bits, or EC P-256');
  return { algorithm, pem: key.export({ type: 'spki', format: 'pem' }).toString() };
}

function algorithmOf(key: ReturnType<typeof createPublicKey>): AsymmetricAlgorithm | undefined {
  const details = key.asymmetricKeyDetails;
  if (key.asymmetricKeyType === 'rsa')
    return (details?.modulusLength ?? 0) >= MIN_RSA_BITS ? 'RS256' : undefined;
  return key.asymmetricKeyType === 'ec' && details?.namedCurve === 'prime256v1' ? 'ES256' : undefined;
}

function parseJwks(text: string): Map<string, VerificationKey> {
  const document: unknown = JSON.parse(text);
  const list = isRecord(document) ? document['keys'] : undefined;
  if (!Array.isArray(list)) throw new Error('not a JWKS document');
  const keys = new Map<string, VerificationKey>();
  for (const jwk of list.slice(0, MAX_KEYS)) {
    const key = parseJwk(jwk);
    // Keys without a name share the empty one: no `kid` of a token can be undefined and empty at once.
    if (key !== undefined) keys.set(key.kid, key.key);
  }
  return keys;
}

/** Symmetric keys, keys for encryption and kinds we do not pin are passed over. */
function parseJwk(jwk: unknown): { kid: string; key: VerificationKey } | undefined {
  if (!isRecord(jwk) || (jwk['kty'] !== 'RSA' && jwk['kty'] !== 'EC')) return undefined;
  if (jwk['use'] !== undefined && jwk['use'] !== 'sig') return undefined;
  try {
    const key = createPublicKey({ key: jwk, format: 'jwk' });
    const algorithm = algorithmOf(key);
    if (algorithm === undefined || (jwk['alg'] !== undefined && jwk['alg'] !== algorithm)) return undefined;
    const kid = typeof jwk['kid'] === 'string' ? jwk['kid'] : '';
    return { kid, key: { algorithm, pem: key.export({ type: 'spki', format: 'pem' }).toString() } };
  } catch {
    return undefined;
  }
}

async function boundedText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  const body: AsyncIterable<Uint8Array> | readonly Uint8Array[] = response.body ?? [];
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > MAX_DOCUMENT_BYTES) throw new Error('the document is too large');
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
