import type { Clock, Timer } from '../lib/clock.ts';
import { err, ok, type Result } from '../lib/result.ts';
import type { Log } from '../logging/log.ts';
import { parseJson } from '../protocol/json-text.ts';
import type { Bus } from './bus.ts';

/** Calls that wait for their answers at one moment; beyond, a call is not made. */
const MAX_WAITING = 1000;

export interface NodeCallsOptions {
  readonly bus: Bus;
  /** This incarnation. */
  readonly node: string;
  readonly clock: Pick<Clock, 'after'>;
  readonly log: Log;
  /** Fresh ids for calls. */
  readonly newId: () => string;
}

/** What stands in one text on the topic `node:<incarnation>`: a call, or the answer to one. */
type NodeMessage =
  | { readonly id: string; readonly from: string; readonly call: unknown }
  | { readonly id: string; readonly answer: unknown };

/** Questions from node to node over the bus, each answered once, or given up after its time. */
export class NodeCalls {
  readonly #options: NodeCallsOptions;
  readonly #waiting = new Map<
    string,
    { readonly finish: (answer: Result<unknown, 'no-answer'>) => void; readonly timer: Timer }
  >();

  constructor(options: NodeCallsOptions) {
    this.#options = options;
  }

  /** Answers the calls of other nodes by `answer`; undefined: a call that it does not know, which gets no answer. */
  async listen(answer: (call: unknown, from: string) => unknown): Promise<void> {
    const { bus, node, log } = this.#options;
    await bus.subscribe(topicOf(node), (text) => {
      const message = parse(text);
      if (message === undefined)
        log.warn(
          { event: 'malformed-message', channel: topicOf(node) },
          'ignored what was told to this node',
        );
      else if ('call' in message) this.#serve(message, answer);
      else this.#finish(message.id, ok(message.answer));
    });
  }

  /** Asks another node. `no-answer` says nothing of whether it was done. */
  async ask(node: string, call: unknown, timeoutMs: number): Promise<Result<unknown, 'no-answer'>> {
    const { bus, clock, newId, node: from } = this.#options;
    if (this.#waiting.size >= MAX_WAITING) return err('no-answer');
    const id = newId();
    const answered = new Promise<Result<unknown, 'no-answer'>>((finish) => {
      this.#waiting.set(id, {
        finish,
        timer: clock.after(timeoutMs, () => this.#finish(id, err('no-answer'))),
      });
    });
    this.#tell(bus.publish(topicOf(node), JSON.stringify({ id, from, call })), id);
    return answered;
  }

  #serve(
    { id, from, call }: Extract<NodeMessage, { call: unknown }>,
    answer: (call: unknown, from: string) => unknown,
  ): void {
    const told = answer(call, from);
    if (told === undefined) return;
    this.#tell(this.#options.bus.publish(topicOf(from), JSON.stringify({ id, answer: told })));
  }

  #tell(published: Promise<void>, id?: string): void {
    published.catch(() => {
      if (id !== undefined) this.#finish(id, err('no-answer'));
    });
  }

  #finish(id: string, answer: Result<unknown, 'no-answer'>): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    waiting.timer.cancel();
    waiting.finish(answer);
  }
}

function topicOf(node: string): string {
  return `node:${node}`;
}

function parse(text: string): NodeMessage | undefined {
  const parsed = parseJson(text) as Partial<Record<string, unknown>> | null | undefined;
  const { id, from, call, answer } = parsed ?? {};
  if (typeof id !== 'string') return undefined;
  if (answer !== undefined) return { id, answer };
  return typeof from === 'string' && call !== undefined ? { id, from, call } : undefined;
}
