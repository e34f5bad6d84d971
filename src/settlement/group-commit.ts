import { Batcher, type Ticket } from '../lib/batcher.ts';
import type { Clock } from '../lib/clock.ts';
import { err, ok, type Result } from '../lib/result.ts';
import type { Opening, UserFacts } from '../protocol/periods.ts';
import type { LoginFailures } from './login-failures.ts';
import { splitOnPoison } from './split-on-poison.ts';
import type { UserStore } from './user-store.ts';

export interface GroupCommitOptions {
  readonly store: Pick<UserStore, 'open' | 'lookup'>;
  readonly clock: Clock;
  /** `LINGXI_SQL_TIMEOUT_MS`: a call that is not answered by then rejects. */
  readonly timeoutMs: number;
  /** Told what SQL said of each batch that it did not take. */
  readonly failures: Pick<LoginFailures, 'refused' | 'failed'>;
  /** Logins in one transaction at most, see {@link groupCommitSize}. */
  readonly maxBatch: number;
}

/** Logins that wait for SQL at most; beyond it they fail at once instead of waiting for their deadline. */
export const MAX_WAITING_LOGINS = 20_000;

/** In a storm of logins, from one commit to the next: each costs an fsync, whatever it carries. */
const COMMIT_SPACING_MS = 8;

/** SQLite pays one fsync a batch, PostgreSQL's rows travel. */
export function groupCommitSize(databaseUrl: string | undefined): number {
  return databaseUrl === undefined ? 1000 : 500;
}

/** SQL did not answer within `timeoutMs`. */
export class SettlementTimeout extends Error {
  override readonly name = 'SettlementTimeout';
}

/**
 * The SQL side of logins: lookups and openings of many users share statements and transactions. A rejection is what SQL
 * said, or that it said nothing in time; whether an opening that ran into its deadline was written is unknown.
 */
export class GroupCommit {
  readonly #options: GroupCommitOptions;
  readonly #openings: Batcher<Opening, undefined>;
  readonly #lookups: Batcher<number, UserFacts>;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
    const told = <Answer>(batch: readonly unknown[], answer: Promise<Answer>): Promise<Answer> =>
      answer.catch((error: unknown) => {
        failures.failed(batch.length, error);
        throw error;
      });
    const { store, clock, maxBatch, failures } = options;
    const common = {
      clock,
      spacingMs: COMMIT_SPACING_MS,
      maxBatch,
      maxWaiting: MAX_WAITING_LOGINS,
    };
    this.#openings = new Batcher({
      ...common,
      run: (openings) => told(openings, openEach(options, openings)),
    });
    this.#lookups = new Batcher({
      ...common,
      run: (ids) => told(ids, lookupEach(store, ids)),
    });
  }

  /** Openings and lookups that no batch has taken yet. */
  get waiting(): number {
    return this.#openings.waiting + this.#lookups.waiting;
  }

  /** Resolves once the period's row, and the reset of the user's time where asked for, are committed. */
  async open(opening: Opening): Promise<void> {
    await this.#byDeadline(this.#openings.submit(opening));
  }

  lookup(userId: number): Promise<UserFacts> {
    return this.#byDeadline(this.#lookups.submit(userId));
  }

  async #byDeadline<Response>(ticket: Ticket<Response>): Promise<Response> {
    const { clock, timeoutMs } = this.#options;
    const late = new Promise<Result<Response, unknown>>((resolve) => {
      const timer = clock.after(timeoutMs, () => {
        resolve(err(new SettlementTimeout(`SQL did not answer within ${timeoutMs} ms`)));
        // A login that was refused must not open a period later.
        ticket.cancel();
      });
      void ticket.result.then(() => timer.cancel());
    });
    const result = await Promise.race([ticket.result, late]);
    if (!result.ok) throw result.error;
    return result.value;
  }
}

/** One row that SQL refuses for good must not refuse the logins that share its batch. */
async function openEach(
  { store, failures }: Pick<GroupCommitOptions, 'store' | 'failures'>,
  openings: readonly Opening[],
): Promise<readonly Result<undefined, unknown>[]> {
  const refused = new Map<Opening, unknown>();
  await splitOnPoison(openings, {
    run: (part) => store.open(part),
    poison: (opening, error) => {
      failures.refused(opening, error);
      refused.set(opening, error);
      return Promise.resolve();
    },
  });
  return openings.map((opening) => (refused.has(opening) ? err(refused.get(opening)) : ok(undefined)));
}

async function lookupEach(
  store: Pick<UserStore, 'lookup'>,
  ids: readonly number[],
): Promise<readonly Result<UserFacts, unknown>[]> {
  return (await store.lookup(ids)).map((facts) => ok(facts));
}
