import type { ComponentChild } from 'preact';
import { ask, type Reply, sentenceOfProblem } from './ask.ts';
import { session } from './session.ts';
import type { Say } from './texts.ts';

export interface ActionProps {
  readonly userId: string;
  /** The name of the user as it may stand in a sentence. */
  readonly name: string;
  readonly isDisabled: boolean;
  readonly onDone: () => void;
}

/** What came of an action. */
export interface Result {
  readonly text: string;
  readonly isBad: boolean;
}

export const NO_RESULT: Result = { text: '', isBad: false };

/** Posts an action for a user with the key in use. */
export function post(path: string, body?: string): Promise<Reply> {
  const key = session.now?.key ?? '';
  return ask(path, { key, method: 'POST', ...(body === undefined ? {} : { body }) });
}

/** The result of a reply: what went well in the words of `done`. */
export function resultOf(reply: Reply, say: Say, done: (body: unknown) => string): Result {
  return reply.ok
    ? { text: done(reply.body), isBad: false }
    : { text: sentenceOfProblem(reply.problem, say), isBad: true };
}

export function ResultLine({ result }: { readonly result: Result }): ComponentChild {
  return (
    <p class={`result ${result.isBad ? 'bad' : 'good'}`} role="status">
      {result.text}
    </p>
  );
}
