import { Batcher, type BatcherOptions } from '../lib/batcher.ts';
import type { Clock } from '../lib/clock.ts';
import { err, ok, type Result } from '../lib/result.ts';
import type { Opening, UserFacts } from '../protocol/periods.ts';
import type { LoginFailures } from './login-failures.ts';
import { splitOnPoison } from './split-on-poison.ts';
import type { UserStore } from './user-store.ts';
import { writeFree } from './write-free.ts';

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

/** How often a login looks again whether the row of its user is free. */
const LOCKED_RETRY_MS = 50;
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
  readonly #options: Pick<GroupCommitOptions, 'clock' | 'timeoutMs' | 'failures'>;
  readonly #openings: Batcher<Opening, Written>;
  /** Openings whose users' rows were locked. They have batches of their own, so that no other login waits for them. */
  readonly #locked: Batcher<Opening, Written>;
  readonly #lookups: Batcher<number, UserFacts>;

  constructor(options: GroupCommitOptions) {
    const told = <Answer>(batch: readonly unknown[], answer: Promise<Answer>): Promise<Answer> =>
      answer.catch((error: unknown) => {
        failures.failed(batch.length, error);
        throw error;
      });
    const { store, clock, pace, failures, timeoutMs } = options;
    this.#options = options;
    const common = {
      clock,
      ...pace,
      maxWaiting: MAX_WAITING_LOGINS,
      // A refused login must not open a period later.
      deadline: { ms: timeoutMs, late: () => tooLate(timeoutMs) },
    };
    const run = (openings: readonly Opening[]): Promise<readonly Result<Written, unknown>[]> =>
      told(openings, openEach(options, openings));
    this.#openings = new Batcher({ ...common, run });
    this.#locked = new Batcher({ ...common, maxBatch: MAX_LOOKUP, spacingMs: LOCKED_RETRY_MS, run });
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
    const { clock, timeoutMs } = this.#options;
    const lateAt = clock.monotonic() + timeoutMs;
    return this.#openings.submit(opening).then((result) => {
      const written = valueOf(result);
      return written === 'written' ? undefined : this.#openLocked(opening, written, lateAt);
    });
  }

  /** Tries again until the row of the user is free, or it is too late. */
  async #openLocked(opening: Opening, first: Written, lateAt: number): Promise<void> {
    const { clock, timeoutMs, failures } = this.#options;
    let written = first;
    while (written !== 'written') {
      if (clock.monotonic() >= lateAt) {
        failures.failed(1, written.locked);
        throw tooLate(timeoutMs, written.locked);
      }
      written = valueOf(await this.#locked.submit(opening));
    }
  }

  lookup(userId: number): Promise<UserFacts> {
    return this.#lookups.submit(userId).then(valueOf);
  }
}

/** What became of an opening that SQL took. `locked`: SQL's error, for another transaction holds the user's row. */
type Written = 'written' | { readonly locked: unknown };

const WRITTEN = ok<Written>('written');

function tooLate(timeoutMs: number, cause?: unknown): SettlementTimeout {
  return new SettlementTimeout(`SQL did not take this within ${timeoutMs} ms`, { cause });
}

function valueOf<Value>(result: Result<Value, unknown>): Value {
  if (!result.ok) throw result.error;
  return result.value;
}

/** A row that SQL rejects for good, or that is locked, must not fail the other logins of its batch. */
async function openEach(
  { store, failures }: Pick<GroupCommitOptions, 'store' | 'failures'>,
  openings: readonly Opening[],
): Promise<readonly Result<Written, unknown>[]> {
  const outcomes = new Map<Opening, Result<Written, unknown>>();
  await splitOnPoison(openings, {
    async run(part) {
      const { locked, cause } = await writeFree(part, (free) => store.open(free));
      for (const opening of locked) outcomes.set(opening, ok({ locked: cause }));
    },
    poison: (opening, error) => {
      failures.refused(opening, error);
      outcomes.set(opening, err(error));
      return Promise.resolve();
    },
  });
  return openings.map((opening) => outcomes.get(opening) ?? WRITTEN);
}

async function lookupEach(
  store: Pick<UserStore, 'lookup'>,
  ids: readonly number[],
): Promise<readonly Result<UserFacts, unknown>[]> {
  return (await store.lookup(ids)).map((facts) => ok(facts));
}
