import type { Clock } from '../lib/clock.ts';

/** How long the first answer to an idempotency key is kept, in ms. */
export const KEEP_MS = 300_000;

/** A push that names an idempotency key. */
export interface KeyedCall {
  readonly key: string;
  /** A digest of the content. */
  readonly fingerprint: string;
}

/**
 * The state of a key. `mine`: this call is the first one and must be carried out. `pending`: the first one began `ageMs` ago and
 * has no answer yet. `other`: the key was used for other content.
 */
export type KeyState =
  | { readonly kind: 'mine' }
  | { readonly kind: 'pending'; readonly ageMs: number }
  | { readonly kind: 'answered'; readonly answer: string }
  | { readonly kind: 'other' };

/** The answers that are kept by idempotency key, for the whole deployment. Every call rejects while the store is unreachable. */
export interface KeptAnswers {
  /**
   * Reserves the unused keys, and returns the state of each key. Of two calls with the same key exactly one gets it. If this
   * rejects, no call keeps its key for good.
   */
  reserve(calls: readonly KeyedCall[]): Promise<readonly KeyState[]>;
  /** Keeps the answers of reserved keys, from now on for {@link KEEP_MS}. */
  keep(answers: readonly (KeyedCall & { readonly answer: string })[]): Promise<void>;
}

interface Kept {
  readonly fingerprint: string;
  readonly answer: string | undefined;
  /** Monotonic ms. */
  readonly since: number;
}

/** The answers of one process, in its memory. The number of reservations bounds it. */
export class MemoryKeptAnswers implements KeptAnswers {
  readonly #clock: Pick<Clock, 'monotonic'>;
  /** The oldest first. */
  readonly #kept = new Map<string, Kept>();

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  reserve(calls: readonly KeyedCall[]): Promise<readonly KeyState[]> {
    this.#forgetOld();
    const states = calls.map((call): KeyState => {
      const state = this.#stateOf(call);
      if (state === undefined) this.#put(call, undefined);
      return state ?? { kind: 'mine' };
    });
    return Promise.resolve(states);
  }

  keep(answers: readonly (KeyedCall & { readonly answer: string })[]): Promise<void> {
    for (const { answer, ...call } of answers) this.#put(call, answer);
    return Promise.resolve();
  }

  #stateOf({ key, fingerprint }: KeyedCall): KeyState | undefined {
    const kept = this.#kept.get(key);
    if (kept === undefined) return undefined;
    if (kept.fingerprint !== fingerprint) return { kind: 'other' };
    return kept.answer === undefined
      ? { kind: 'pending', ageMs: this.#clock.monotonic() - kept.since }
      : { kind: 'answered', answer: kept.answer };
  }

  #put({ key, fingerprint }: KeyedCall, answer: string | undefined): void {
    this.#kept.delete(key);
    this.#kept.set(key, { fingerprint, answer, since: this.#clock.monotonic() });
  }

  #forgetOld(): void {
    const until = this.#clock.monotonic() - KEEP_MS;
    for (const [key, { since }] of this.#kept) {
      if (since > until) return;
      this.#kept.delete(key);
    }
  }
}
