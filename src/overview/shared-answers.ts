import type { Clock } from '../lib/clock.ts';

/** Equal questions within this time share one answer. */
const SHARED_MS = 250;
/** Largest number of answers that are kept for equal questions. */
const MAX_KEPT = 64;

interface SharedOptions {
  readonly clock: Pick<Clock, 'after' | 'monotonic'>;
  /** Largest number of answers under way. */
  readonly maxAsked: number;
}

/** Answers that equal questions share, a bounded number under way at once. */
export class SharedAnswers<Answer> {
  readonly #options: SharedOptions;
  readonly #answers = new Map<string, Promise<Answer>>();
  #asked = 0;

  constructor(options: SharedOptions) {
    this.#options = options;
  }

  /** Undefined: too many are under way. */
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

  /** Who asks while an answer is on its way gets it, however old it is. */
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
