import type { Clock, Timer } from '../lib/clock.ts';
import { err, ok, type Result } from '../lib/result.ts';
import type { Inbox, NodeFrame } from './inbox.ts';
import type { Post } from './post.ts';

/** Calls that wait for their answers at one moment; beyond, a call is not made. */
const MAX_WAITING = 1000;

export interface NodeCallsOptions {
  readonly post: Pick<Post, 'tell'>;
  readonly inbox: Pick<Inbox, 'on'>;
  readonly clock: Pick<Clock, 'after'>;
  /** Fresh ids for calls. */
  readonly newId: () => string;
}

type AnswerCall = (call: unknown, from: string) => unknown;

/** Questions from node to node, each answered once, or given up after its time. */
export class NodeCalls {
  readonly #options: NodeCallsOptions;
  readonly #answers: AnswerCall[] = [];
  readonly #waiting = new Map<
    string,
    { readonly finish: (answer: Result<unknown, 'no-answer'>) => void; readonly timer: Timer }
  >();

  constructor(options: NodeCallsOptions) {
    this.#options = options;
    options.inbox.on('call', (frame) => this.#serve(frame));
    options.inbox.on('answer', ({ members: { id, answer } }) => {
      if (typeof id !== 'string' || answer === undefined) return false;
      this.#finish(id, ok(answer));
      return true;
    });
  }

  /**
   * Answers calls of other nodes by `answer`; undefined: a call that it does not know. The first that knows a call answers
   * it. A call that nobody knows gets no answer.
   */
  serve(answer: AnswerCall): void {
    this.#answers.push(answer);
  }

  /** Asks another node. `no-answer` says nothing of whether it was done. */
  async ask(node: string, call: unknown, timeoutMs: number): Promise<Result<unknown, 'no-answer'>> {
    const { post, clock, newId } = this.#options;
    if (this.#waiting.size >= MAX_WAITING) return err('no-answer');
    const id = newId();
    const answered = new Promise<Result<unknown, 'no-answer'>>((finish) => {
      this.#waiting.set(id, {
        finish,
        timer: clock.after(timeoutMs, () => this.#finish(id, err('no-answer'))),
      });
    });
    post.tell(node, members({ kind: 'call', id, call })).then(
      (heard) => heard || this.#finish(id, err('no-answer')),
      () => this.#finish(id, err('no-answer')),
    );
    return answered;
  }

  #serve({ from, members: { id, call } }: NodeFrame): boolean {
    if (typeof id !== 'string' || call === undefined) return false;
    let told: unknown;
    for (const answer of this.#answers) {
      told = answer(call, from);
      if (told !== undefined) break;
    }
    // Who asks gives up after its time where the answer finds no way.
    if (told !== undefined)
      this.#options.post.tell(from, members({ kind: 'answer', id, answer: told })).catch(() => undefined);
    return true;
  }

  #finish(id: string, answer: Result<unknown, 'no-answer'>): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    waiting.timer.cancel();
    waiting.finish(answer);
  }
}

/** The members of an object as JSON text, without its braces. */
function members(value: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(value).slice(1, -1);
}
