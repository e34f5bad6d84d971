import { Batcher, type BatcherOptions } from '../lib/batcher.ts';
import type { Clock } from '../lib/clock.ts';
import { err, ok, type Result } from '../lib/result.ts';
import type { Opening, UserFacts } from '../protocol/periods.ts';
import type { LoginFailures } from './login-failures.ts';
import { splitOnPoison } from './split-on-poison.ts';
import type { UserStore } from './user-store.ts';

type Pace = Pick<BatcherOptions<unknown, unknown>, 'maxBatch' | 'spacingMs' | 'burst'>;

export interface GroupCommitOptions {
  readonly store: Pick<UserStore, 'open' | 'lookup'>;
  readonly clock: Clock;
  /** `LINGXI_SQL_TIMEOUT_MS`: a call without an answer rejects after this time. */
  readonly timeoutMs: number;
  /** Called with SQL's error for each batch that failed. */
  readonly failures: Pick<LoginFailures, 'refused' | 'failed'>;
  /** How logins share transactions, see {@link groupCommitPace}. */
  readonly pace: Pace;
}

/** Largest number of logins that wait for SQL. Further ones fail at once instead of at their deadline. */
export const MAX_WAITING_LOGINS = 20_000;

/**
 * A commit of SQLite and the answers to all its logins are one turn of the loop, in which nobody else is served: 256 logins
 * take about 20 ms.
 */
const SQLITE_PACE: Pace = { maxBatch: 256, spacingMs: 16 };
/**
 * PostgreSQL pays the fsync in a process of its own; its rows travel over the network. From 500 logins a second on, a batch
 * waits longer: upgrades come to Node a few at a time, and a login in a batch of 20 costs PostgreSQL half as much again as one
 * in a batch of 90.
 */
const POSTGRES_PACE: Pace = { maxBatch: 500, spacingMs: 8, burst: { from: 4, spacingMs: 32 } };

export function groupCommitPace(databaseUrl: string | undefined): Pace {
  return databaseUrl === undefined ? SQLITE_PACE : POSTGRES_PACE;
}

/** Largest number of users in one lookup. It answers no client. */
const MAX_LOOKUP = 500;

/** SQL did not answer within `timeoutMs`. */
export class SettlementTimeout extends Error {
  override readonly name = 'SettlementTimeout';
}

/**
 * The SQL side of logins. Lookups and openings of many users share statements and transactions. A rejection has SQL's
 * error, or means that SQL did not answer in time. It is unknown whether an opening that timed out was written.
 */
export class GroupCommit {
  readonly #openings: Batcher<Opening, undefined>;
  readonly #lookups: Batcher<number, UserFacts>;

  constructor(options: GroupCommitOptions) {
    const told = <Answer>(batch: readonly unknown[], answer: Promise<Answer>): Promise<Answer> =>
      answer.catch((error: unknown) => {
        failures.failed(batch.length, error);
        throw error;
      });
    const { store, clock, pace, failures, timeoutMs } = options;
    const common = {
      clock,
      ...pace,
      maxWaiting: MAX_WAITING_LOGINS,
      // A refused login must not open a period later.
      deadline: {
        ms: timeoutMs,
        late: () => new SettlementTimeout(`SQL did not answer within ${timeoutMs} ms`),
      },
    };
    this.#openings = new Batcher({
      ...common,
      run: (openings) => told(openings, openEach(options, openings)),
    });
    this.#lookups = new Batcher({
      ...common,
      maxBatch: MAX_LOOKUP,
      run: (ids) => told(ids, lookupEach(store, ids)),
    });
  }

  /** Openings and lookups that are in no batch yet. */
  get waiting(): number {
    return this.#openings.waiting + this.#lookups.waiting;
  }

  /** Resolves once the period's row is committed, and the reset of the user's time if requested. */
  open(opening: Opening): Promise<void> {
    return this.#openings.submit(opening).then(valueOf);
  }

  lookup(userId: number): Promise<UserFacts> {
    return this.#lookups.submit(userId).then(valueOf);
  }
}

function valueOf<Value>(result: Result<Value, unknown>): Value {
  if (!result.ok) throw result.error;
  return result.value;
}

/** A row that SQL rejects for good must not fail the other logins of its batch. */
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
