import type { ComponentChild } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { LanguageSwitch, ThemeSwitch } from '../shared/switches.tsx';
import { useValue } from '../shared/value.ts';
import { ask, askedWaitMs, type Problem, sentenceOfProblem } from './ask.ts';
import { readConfig } from './readers.ts';
import { signIn, wasRefused } from './session.ts';
import type { Say } from './texts.ts';
import { useSay } from './use-say.ts';

type State =
  | { readonly step: 'idle' }
  | { readonly step: 'empty' }
  | { readonly step: 'checking'; readonly problem?: Problem }
  | { readonly step: 'failed'; readonly problem: Problem }
  /** The server could not check the key; the page asks again. */
  | { readonly step: 'again'; readonly problem: Problem; readonly key: string; readonly waitMs: number };

const AGAIN_MS = 2_000;

export function SignIn(): ComponentChild {
  const { say } = useSay();
  const [state, setState] = useState<State>({ step: 'idle' });
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    document.title = say('title');
  }, [say]);
  useEffect(() => input.current?.focus(), []);
  const check = async (key: string, earlier?: Problem): Promise<void> => {
    setState({ step: 'checking', ...(earlier === undefined ? {} : { problem: earlier }) });
    const reply = await ask('dashboard/config', { key });
    // The user has typed another key meanwhile.
    if (input.current?.value.trim() !== key) return setState({ step: 'idle' });
    const config = reply.ok ? readConfig(reply.body) : undefined;
    if (config !== undefined) return signIn(key, config.access);
    setState(stateAfter(reply.ok ? { kind: 'strange' } : reply.problem, key));
  };
  useEffect(() => {
    if (state.step !== 'again') return;
    const timer = setTimeout(() => void check(state.key, state.problem), state.waitMs);
    return () => clearTimeout(timer);
  }, [state]);
  const submit = (event: Event): void => {
    event.preventDefault();
    const key = input.current?.value.trim() ?? '';
    if (key === '') setState({ step: 'empty' });
    else if (state.step !== 'checking') void check(key);
  };
  return (
    <main class="sign-in">
      <div class="sign-in-top">
        <LanguageSwitch />
        <ThemeSwitch />
      </div>
      <form class="card" onSubmit={submit}>
        <h1>{say('title')}</h1>
        <p class="muted">{say('signIn.text')}</p>
        <label for="key">{say('signIn.key')}</label>
        <input
          id="key"
          ref={input}
          type="password"
          autocomplete="off"
          spellcheck={false}
          aria-describedby="sign-in-problem"
          onInput={() => setState({ step: 'idle' })}
        />
        <button class="primary" type="submit">
          {say('signIn.button')}
        </button>
        <Message state={state} say={say} />
      </form>
    </main>
  );
}

function Message({ state, say }: { readonly state: State; readonly say: Say }): ComponentChild {
  const isLost = useValue(wasRefused);
  const text = state.step === 'idle' && isLost ? say('signIn.lost') : textOf(state, say);
  return (
    <p
      id="sign-in-problem"
      class={`sign-in-problem ${state.step === 'checking' ? 'muted' : 'bad'}`}
      role="status"
    >
      {text}
    </p>
  );
}

function textOf(state: State, say: Say): string {
  switch (state.step) {
    case 'idle':
      return '';
    case 'empty':
      return say('signIn.empty');
    case 'checking':
      return state.problem === undefined ? say('signIn.checking') : textOfWaiting(state.problem, say);
    case 'again':
      return textOfWaiting(state.problem, say);
    case 'failed':
      if (state.problem.kind === 'key') return say('signIn.wrong');
      return state.problem.kind === 'refused' && state.problem.status === 403
        ? say('signIn.user')
        : sentenceOfProblem(state.problem, say);
  }
}

function textOfWaiting(problem: Problem, say: Say): string {
  return `${sentenceOfProblem(problem, say)} ${say('signIn.again')}`;
}

function stateAfter(problem: Problem, key: string): State {
  switch (problem.kind) {
    case 'unreachable':
    case 'slow':
    case 'ended':
    case 'gateway':
    case 'busy': {
      return { step: 'again', problem, key, waitMs: Math.max(askedWaitMs(problem), AGAIN_MS) };
    }
    case 'refused':
      // A fault of the server may be temporary.
      return problem.status >= 500
        ? { step: 'again', problem, key, waitMs: AGAIN_MS }
        : { step: 'failed', problem };
    case 'key':
    case 'strange':
      return { step: 'failed', problem };
  }
}
