import type { Clock, Timer } from '../lib/clock.ts';
import { withDeadline } from '../lib/deadline.ts';
import { type RateLimit, RateLimiter } from '../lib/rate-limiter.ts';
import type { Log } from '../logging/log.ts';
import { type AsymmetricAlgorithm, type NamedKey, parseJwks } from './jwk.ts';

/** The gateway fetches the public keys again after this time. */
const FRESH_MS = 600_000;
/** While the key server does not answer, known keys stay valid for this time. */
const STALE_MS = 86_400_000;
/** The gateway retries after this time. The time doubles with each further failure. */
const FIRST_RETRY_MS = 250;
const MAX_RETRY_MS = 10_000;
/** Tokens with an unknown key may trigger this many fetches. A client must not flood the key server with invented keys. */
const UNKNOWN_KEY_RATE: RateLimit = { burst: 5, perSecond: 0.1 };
const FETCH_TIMEOUT_MS = 5_000;
const MAX_DOCUMENT_BYTES = 262_144;

/** The fields of a token's header that choose the key. */
export interface WantedKey {
  readonly algorithm: AsymmetricAlgorithm;
  readonly kid: string | undefined;
}

interface JwksOptions {
  /** If it has a user and a password, they go out as `Authorization: Basic`. */
  readonly url: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Replaces the global `fetch`. */
  readonly fetch?: typeof fetch;
}

/**
 * The keys of one JWKS address (RFC 7517). The gateway fetches them at start, keeps them while the key server is away, and
 * retries until it answers.
 */
export class JwksKeys {
  readonly #options: JwksOptions;
  readonly #source: KeySource;
  readonly #unknownKeys: RateLimiter;
  #keys: readonly NamedKey[] = [];
  #fetchedAt: number | undefined;
  /** Number of failures since the last success. */
  #failures = 0;
  #pending: Promise<void> | undefined;
  #retry: Timer | undefined;
  #stopped = false;

  constructor(options: JwksOptions) {
    this.#options = options;
    this.#source = keySource(options.url);
    this.#unknownKeys = new RateLimiter(options.clock);
  }

  start(): void {
    void this.#load();
  }

  stop(): void {
    this.#stopped = true;
    this.#retry?.cancel();
  }

  /** Whether there are keys, and they are not too old. */
  get hasKeys(): boolean {
    return this.#age() < STALE_MS;
  }

  /** The known keys that may have signed such a token. A `kid` excludes a key only if token and key both have one. */
  fitting({ algorithm, kid }: WantedKey): readonly NamedKey[] {
    const age = this.#age();
    // A known key is used at once. Its renewal does not delay a token.
    if (age >= FRESH_MS && this.#failures === 0) void this.#load();
    if (!this.hasKeys) return [];
    return this.#keys.filter(
      (key) => key.algorithm === algorithm && (kid === undefined || key.kid === undefined || key.kid === kid),
    );
  }

  /** Fetches the keys because no known key fits a token. The key server may have new keys. */
  async renew(): Promise<'renewed' | 'too-often' | 'unavailable'> {
    // While the key server is away, the retries run in the background, and no token waits for them.
    if (this.#failures > 0) return 'unavailable';
    if (this.#pending !== undefined) await this.#pending;
    else if (this.#unknownKeys.take('', UNKNOWN_KEY_RATE) > 0) return 'too-often';
    else await this.#load();
    return this.#failures > 0 ? 'unavailable' : 'renewed';
  }

  #age(): number {
    return this.#fetchedAt === undefined ? Infinity : this.#options.clock.monotonic() - this.#fetchedAt;
  }

  #load(): Promise<void> {
    this.#pending ??= this.#attempt().finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  async #attempt(): Promise<void> {
    const { clock, log } = this.#options;
    try {
      this.#keys = parseJwks(await this.#fetch());
      this.#fetchedAt = clock.monotonic();
      if (this.#failures > 0) log.info({ event: 'config' }, 'JWT_JWKS_URL can be read again');
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      if (this.#failures === 1)
        log.warn({ event: 'config', reason: reasonOf(error) }, 'JWT_JWKS_URL cannot be read');
      this.#tryAgain();
    }
  }

  #tryAgain(): void {
    if (this.#stopped) return;
    const delayMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#failures - 1));
    this.#retry = this.#options.clock.after(delayMs, () => void this.#load());
  }

  #fetch(): Promise<string> {
    return withDeadline(this.#options.clock, FETCH_TIMEOUT_MS, (signal) => this.#read(signal));
  }

  async #read(signal: AbortSignal): Promise<string> {
    const { url, authorization } = this.#source;
    const response = await (this.#options.fetch ?? fetch)(url, {
      redirect: 'error',
      headers: { accept: 'application/json', ...(authorization === undefined ? {} : { authorization }) },
      signal,
    });
    if (!response.ok) {
      await response.body?.cancel();
      throw new Error(`status ${response.status}`);
    }
    return boundedText(response);
  }
}

interface KeySource {
  /** Without user and password, because `fetch` rejects such an address. */
  readonly url: string;
  readonly authorization: string | undefined;
}

function keySource(configured: string): KeySource {
  const url = new URL(configured);
  if (url.username === '' && url.password === '') return { url: configured, authorization: undefined };
  const credentials = `${decoded(url.username)}:${decoded(url.password)}`;
  url.username = '';
  url.password = '';
  return { url: url.href, authorization: `Basic ${Buffer.from(credentials).toString('base64')}` };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** `fetch` reports only a failure. Its cause has the details, such as a refused connection. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  const { cause } = error;
  return cause instanceof Error && cause.message !== ''
    ? `${error.message}: ${cause.message}`
    : error.message;
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
