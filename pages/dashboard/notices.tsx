import type { ComponentChild } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { useValue } from '../shared/value.ts';
import { sentenceOfProblem } from './ask.ts';
import { clockTime, duration } from './format.ts';
import { countedAt, counts, type LiveState, liveState, retryNow } from './live.ts';
import type { Say } from './texts.ts';
import { useSay } from './use-say.ts';

/** The faults, at the bottom of the window. They cover the page, so that nothing moves when they come and go. */
export function Notices(): ComponentChild {
  const { say, spoken } = useSay();
  const state = useValue(liveState);
  const last = useValue(counts);
  const now = useSecond(state.status !== 'live');
  const sentences: string[] = [];
  const trouble = sentenceOf(state, say);
  if (trouble !== undefined) sentences.push(trouble);
  if (last?.presenceAvailable === false) sentences.push(say('live.presence'));
  if (last?.settlement.available === false) sentences.push(say('live.settlement'));
  if (last !== undefined && last.settlement.setAside > 0)
    sentences.push(say('live.setAside', { count: last.settlement.setAside }));
  const at = countedAt.now;
  return (
    <div class={sentences.length === 0 ? 'notices' : 'notices shown'}>
      {/* Only what changes seldom is read out; the seconds are not. */}
      <div role="status">
        {sentences.map((sentence) => (
          <p key={sentence}>{sentence}</p>
        ))}
      </div>
      {trouble !== undefined && (
        <p class="muted">
          {last !== undefined && `${say('live.age', { time: clockTime(at, spoken) })} `}
          {state.status === 'waiting' &&
            say('live.next', {
              time: duration(Math.ceil(Math.max(state.retryAt - now, 1) / 1_000) * 1_000, spoken),
            })}
          {state.status === 'connecting' && say('live.trying')}
          {state.status === 'quiet' &&
            say('live.quietSentence', { time: duration(now - state.since, spoken) })}{' '}
          <button type="button" class="quiet" disabled={state.status !== 'waiting'} onClick={retryNow}>
            {say('live.tryNow')}
          </button>
        </p>
      )}
    </div>
  );
}

function sentenceOf(state: LiveState, say: Say): string | undefined {
  switch (state.status) {
    case 'live':
      return undefined;
    case 'connecting':
      return state.problem === undefined ? undefined : sentenceOfProblem(state.problem, say);
    case 'quiet':
      return say('problem.slow');
    case 'waiting':
      return sentenceOfProblem(state.problem, say);
  }
}

/** The time of this page, updated each second while it is needed. */
export function useSecond(isNeeded: boolean): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!isNeeded) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, [isNeeded]);
  return now;
}
