import type { ComponentChild } from 'preact';
import { ask, type Reply, sentenceOfProblem } from './ask.ts';
import type { Result } from './result.ts';
import { session } from './session.ts';
import type { Say } from './texts.ts';

export interface ActionProps {
  readonly userId: string;
  /** The name of the user in a form for a sentence. */
  readonly name: string;
  readonly isDisabled: boolean;
  /** The result of this action, while it is the last one and still true. */
  readonly result: Result | undefined;
  readonly onResult: (result: Result) => void;
}

/** Posts an action for a user with the present key. */
export function post(path: string, body?: string): Promise<Reply> {
  const key = session.now?.key ?? '';
  return ask(path, { key, method: 'POST', ...(body === undefined ? {} : { body }) });
}

/** The result of a reply. `done` words a success. */
export function resultOf(reply: Reply, say: Say, done: (body: unknown) => Omit<Result, 'isBad'>): Result {
  return reply.ok
    ? { ...done(reply.body), isBad: false }
    : { text: sentenceOfProblem(reply.problem, say), isBad: true };
}

export function ResultLine({ result }: Pick<ActionProps, 'result'>): ComponentChild {
  return (
    <p class={`result ${result?.isBad === true ? 'bad' : 'good'}`} role="status">
      {result?.text}
    </p>
  );
}
