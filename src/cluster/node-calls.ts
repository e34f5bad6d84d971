import type { Clock, Timer } from '../lib/clock.ts';
import { err, ok, type Result } from '../lib/result.ts';
import type { Inbox, NodeFrame } from './inbox.ts';
import type { Post } from './post.ts';

/** Largest number of calls that wait for an answer. Beyond it, a call fails at once. */
const MAX_WAITING = 1000;

export interface NodeCallsOptions {
  readonly post: Pick<Post, 'tell'>;
  readonly inbox: Pick<Inbox, 'on'>;
  readonly clock: Pick<Clock, 'after'>;
  /** Fresh ids for calls. */
  readonly newId: () => string;
}

type AnswerCall = (call: unknown, from: string) => unknown;

/** Calls from node to node. Each gets one answer, or none within its time. */
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
   * Answers calls of other nodes by `answer`, which returns undefined for a call that it does not know. The first handler that
   * knows a call answers it. An unknown call gets no answer.
   */
  serve(answer: AnswerCall): void {
    this.#answers.push(answer);
  }

  /** Calls another node. After `no-answer` it is unknown whether the node did it. */
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
    // If the answer is lost, the caller gives up after its time.
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
