import type { Clock } from '../lib/clock.ts';

/** Equal queries within this time share one answer. */
const SHARED_MS = 250;
/** Largest number of answers that are kept for equal queries. */
const MAX_KEPT = 64;

interface SharedOptions {
  readonly clock: Pick<Clock, 'after' | 'monotonic'>;
  /** Largest number of answers in progress. */
  readonly maxAsked: number;
}

/** Shares answers between equal queries, with a bounded number in progress. */
export class SharedAnswers<Answer> {
  readonly #options: SharedOptions;
  readonly #answers = new Map<string, Promise<Answer>>();
  #asked = 0;

  constructor(options: SharedOptions) {
    this.#options = options;
  }

  /** Undefined: too many are in progress. */
  async ask(question: string, find: () => Promise<Answer>): Promise<Answer | undefined> {
    const known = this.#answers.get(question);
    if (known !== undefined) return known;
    if (this.#asked >= this.#options.maxAsked) return undefined;
    this.#asked += 1;
    const answer = find();
    this.#answers.set(question, answer);
    const until = this.#options.clock.monotonic() + SHARED_MS;
    try {
      return await answer;
    } finally {
      this.#asked -= 1;
      this.#keep(question, until);
    }
  }

  /** A query that comes while an answer is in progress shares it, however long that takes. */
  #keep(question: string, until: number): void {
    const { clock } = this.#options;
    const answer = this.#answers.get(question);
    const forget = (): void => {
      if (this.#answers.get(question) === answer) this.#answers.delete(question);
    };
    const left = until - clock.monotonic();
    if (left <= 0 || this.#answers.size > MAX_KEPT) forget();
    else clock.after(left, forget);
  }
}
