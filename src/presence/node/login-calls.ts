import { Batcher } from '../../lib/batcher.ts';
import { sleep } from '../../lib/clock.ts';
import { ok, type Result } from '../../lib/result.ts';
import type { WaitingClient } from '../api.ts';
import { type Claim, type ClaimAnswer, MAX_BATCH } from '../store/port.ts';
import type { LeaseCheck } from './lease.ts';
import type { PresenceOptions, StoreCalls } from './options.ts';

/** Largest number of claims of logins that wait. Further logins get `presence-unavailable`. */
const MAX_WAITING_CLAIMS = 50_000;
/** Interval and number of the tries of a login while the store restores or another node opens the period. */
const RETRY_INTERVAL_MS = 100;
const MAX_ATTEMPTS = 30;

/** Makes the claim of a login anew for each try. */
export interface Claimant {
  /** @param floor the store opens no period with a lower number */
  makeClaim(floor: number): Claim;
  readonly client?: WaitingClient | undefined;
}

interface AskedClaim {
  readonly claim: Claim;
  readonly client: WaitingClient | undefined;
}

type LoginCallsOptions = Pick<PresenceOptions, 'clock'> & StoreCalls<'claim' | 'record'>;

/** The calls of logins to the store. Logins of the same moment share one call. */
export class LoginCalls {
  readonly #options: LoginCallsOptions;
  readonly #lease: LeaseCheck;
  readonly #claims: Batcher<AskedClaim, ClaimAnswer>;
  readonly #records: Batcher<{ readonly userId: number; readonly period: number }, boolean>;

  constructor(options: LoginCallsOptions, lease: LeaseCheck) {
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
   * Repeats the claim until the store accepts or refuses it. `stale`: the client left before that. Undefined: the outcome is
   * unknown.
   */
  async claim(claimant: Claimant, floor = 0): Promise<ClaimAnswer | undefined> {
    const { client } = claimant;
    let isInDoubt = false;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      if (client?.hasLeft() === true) return isInDoubt ? undefined : { kind: 'stale' };
      const result = await this.#claims.submit({ claim: claimant.makeClaim(floor), client });
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

  /** Makes an opened period visible. False: this node no longer holds it. An error: the store did not answer. */
  record(userId: number, period: number): Promise<Result<boolean, unknown>> {
    return this.#records.submit({ userId, period });
  }

  /** Leaves out clients that left while an earlier batch was in progress. A claim for them would evict their next connection. */
  async #claimAll(batch: readonly AskedClaim[]): Promise<readonly Result<ClaimAnswer, never>[]> {
    const present = batch.filter(({ client }) => client?.hasLeft() !== true);
    const claims = present.map(({ claim }) => claim);
    const answers = claims.length === 0 ? [] : await this.#options.store.claim(claims);
    if (present.length === batch.length) return answers.map(ok);
    const answered = new Map(present.map((asked, index) => [asked, answers[index]]));
    return batch.map((asked) => ok(answered.get(asked) ?? { kind: 'stale' }));
  }
}
