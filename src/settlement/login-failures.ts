import type { Clock } from '../lib/clock.ts';
import type { Log } from '../logging/log.ts';
import type { Opening } from '../protocol/periods.ts';
import { sqlErrorFields } from './sql-errors.ts';

/** Largest number of lines a second: many failed logins must not flood the log. Each refused user has its own cause. */
const MAX_REFUSED_LINES = 20;
const MAX_FAILED_LINES = 1;
const WINDOW_MS = 1000;

/** Logs why SQL refused logins, with SQL's error. The next line counts those that came too soon for a line. */
export class LoginFailures {
  readonly #log: Log;
  readonly #refused: LineLimit;
  readonly #failed: LineLimit;

  constructor(log: Log, clock: Pick<Clock, 'monotonic'>) {
    this.#log = log;
    this.#refused = new LineLimit(clock, MAX_REFUSED_LINES);
    this.#failed = new LineLimit(clock, MAX_FAILED_LINES);
  }

  /** SQL rejects this opening for good. */
  refused({ userId }: Opening, error: unknown): void {
    const logins = this.#refused.count(1);
    if (logins === 0) return;
    this.#log.warn(
      { event: 'settlement-refused', userId, logins, ...sqlErrorFields(error) },
      'the database refuses a login for good: correct the row or the rule that it names',
    );
  }

  /** A batch of `logins` failed, maybe only for now. */
  failed(logins: number, error: unknown): void {
    const counted = this.#failed.count(logins);
    if (counted === 0) return;
    this.#log.warn(
      { event: 'settlement-failed', logins: counted, ...sqlErrorFields(error) },
      'logins wait or are refused: the database did not take them',
    );
  }
}

class LineLimit {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #maxLines: number;
  #windowAt = Number.NEGATIVE_INFINITY;
  #lines = 0;
  #counted = 0;

  constructor(clock: Pick<Clock, 'monotonic'>, maxLines: number) {
    this.#clock = clock;
    this.#maxLines = maxLines;
  }

  /** Adds to the count of the next line. Returns the sum if a line may be written now, otherwise 0. */
  count(logins: number): number {
    this.#counted += logins;
    const now = this.#clock.monotonic();
    if (now - this.#windowAt >= WINDOW_MS) {
      this.#windowAt = now;
      this.#lines = 0;
    }
    if (this.#lines >= this.#maxLines) return 0;
    this.#lines += 1;
    const sum = this.#counted;
    this.#counted = 0;
    return sum;
  }
}
