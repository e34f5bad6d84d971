import { Batcher } from '../../lib/batcher.ts';
import { sleep } from '../../lib/clock.ts';
import { ok, type Result } from '../../lib/result.ts';
import { type Claim, type ClaimAnswer, MAX_BATCH } from '../store/port.ts';
import type { LeaseCheck } from './lease.ts';
import type { PresenceOptions } from './options.ts';

/** Statements of logins that may wait for their turn. Beyond that, a login gets `presence-unavailable`. */
const MAX_WAITING_CLAIMS = 50_000;
/** How often and how long a login is stated again while the store restores or another node opens the period. */
const RETRY_INTERVAL_MS = 100;
const MAX_ATTEMPTS = 30;

interface AskedClaim {
  readonly claim: Claim;
  readonly hasLeft: () => boolean;
}

/** Calls of logins to the store. Logins that come together share one call. */
export class LoginCalls {
  readonly #options: Pick<PresenceOptions, 'clock' | 'store'>;
  readonly #lease: LeaseCheck;
  readonly #claims: Batcher<AskedClaim, ClaimAnswer>;
  readonly #records: Batcher<{ readonly userId: number; readonly period: number }, boolean>;

  constructor(options: Pick<PresenceOptions, 'clock' | 'store'>, lease: LeaseCheck) {
    this.#options = options;
    this.#lease = lease;
    const common = { clock: options.clock, maxBatch: MAX_BATCH, maxWaiting: MAX_WAITING_CLAIMS };
    this.#claims = new Batcher({ ...common, run: (batch) => this.#claimAll(batch) });
    this.#records = new Batcher({
      ...common,
      run: async (batch) => (await options.store.record(batch)).map((value) => ok(value)),
    });
  }

  /**
   * Repeats the statement until the store takes or refuses it. `stale`: the client left before that. Undefined: nobody
   * knows what the store made of it.
   */
  async claim(
    statement: () => Claim,
    hasLeft: () => boolean = () => false,
  ): Promise<ClaimAnswer | undefined> {
    let isInDoubt = false;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      if (hasLeft()) return isInDoubt ? undefined : { kind: 'stale' };
      const result = await this.#claims.submit({ claim: statement(), hasLeft });
      const answer = result.ok ? result.value : undefined;
      if (answer === undefined || answer.kind === 'no-lease') this.#lease.doubt();
      isInDoubt ||= answer === undefined;
      const isAgain =
        answer === undefined ? attempt === 0 : ['young', 'no-lease', 'lost', 'stale'].includes(answer.kind);
      if (!isAgain) return answer;
      await sleep(this.#options.clock, RETRY_INTERVAL_MS);
    }
    return undefined;
  }

  /** Makes an opened period visible. Undefined: the store did not answer. */
  async record(userId: number, period: number): Promise<boolean | undefined> {
    const result = await this.#records.submit({ userId, period });
    return result.ok ? result.value : undefined;
  }

  /** A client that left while an earlier batch was under way is not claimed: that would evict its next connection. */
  async #claimAll(batch: readonly AskedClaim[]): Promise<readonly Result<ClaimAnswer, never>[]> {
    const present = batch.filter(({ hasLeft }) => !hasLeft());
    const claims = present.map(({ claim }) => claim);
    const answers = claims.length === 0 ? [] : await this.#options.store.claim(claims);
    const answered = new Map(present.map((asked, index) => [asked, answers[index]]));
    return batch.map((asked) => ok(answered.get(asked) ?? { kind: 'stale' }));
  }
}
