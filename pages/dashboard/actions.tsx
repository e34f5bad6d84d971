import type { ComponentChild } from 'preact';
import { useState } from 'preact/hooks';
import { useValue } from '../shared/value.ts';
import { type ActionProps, NO_RESULT, post, ResultLine, resultOf } from './action.tsx';
import { Confirm } from './confirm.tsx';
import { dayAndTime } from './format.ts';
import { KickForm } from './kick.tsx';
import { numberOrNull, objectOf } from './reading.ts';
import { SendForm } from './send.tsx';
import { session } from './session.ts';
import { useSay } from './use-say.ts';

interface ActionsProps extends Omit<ActionProps, 'isDisabled'> {
  readonly blockedUntil: number | null;
}

export function Actions({ blockedUntil, ...props }: ActionsProps): ComponentChild {
  const { say } = useSay();
  const isDisabled = useValue(session)?.access === 'view';
  const given = { ...props, isDisabled };
  return (
    <section class="actions" aria-labelledby="actions-title">
      <h2 id="actions-title">{say('actions.title')}</h2>
      {isDisabled && <p class="muted">{say('readOnly.why')}</p>}
      <SendForm {...given} />
      <KickForm {...given} />
      {blockedUntil !== null && <Block {...given} until={blockedUntil} />}
      <Revoke {...given} />
    </section>
  );
}

interface BlockProps extends ActionProps {
  readonly until: number;
}

function Block({ userId, name, isDisabled, onDone, until }: BlockProps): ComponentChild {
  const { say, spoken } = useSay();
  const [isAsking, setAsking] = useState(false);
  const [result, setResult] = useState(NO_RESULT);
  const lift = async (): Promise<void> => {
    const reply = await post(`users/${userId}/disconnect`, '{"blockMs":0}');
    setResult(resultOf(reply, say, () => say('unblock.done')));
    onDone();
  };
  return (
    <div class="card">
      <p>
        <span class="badge bad">
          {say('user.blocked')} {dayAndTime(until, spoken)}
        </span>
      </p>
      <button type="button" disabled={isDisabled} onClick={() => setAsking(true)}>
        {say('user.unblock')}
      </button>
      <ResultLine result={result} />
      {isAsking && (
        <Confirm
          title={say('unblock.ask', { name })}
          confirm={say('user.unblock')}
          onConfirm={lift}
          onClose={() => setAsking(false)}
        >
          <p>{say('unblock.text')}</p>
        </Confirm>
      )}
    </div>
  );
}

function Revoke({ userId, name, isDisabled, onDone }: ActionProps): ComponentChild {
  const { say, spoken } = useSay();
  const [isAsking, setAsking] = useState(false);
  const [result, setResult] = useState(NO_RESULT);
  const revoke = async (): Promise<void> => {
    const reply = await post(`users/${userId}/revoke`);
    setResult(
      resultOf(reply, say, (body) => {
        const { revokedAt, connections } = objectOf(body);
        const time = dayAndTime(numberOrNull(revokedAt) ?? Number.NaN, spoken);
        const count = numberOrNull(connections);
        return count === null ? say('revoke.doneOther', { time }) : say('revoke.done', { time, count });
      }),
    );
    onDone();
  };
  return (
    <div class="card">
      <h3>{say('revoke.title')}</h3>
      <p class="muted">{say('revoke.text')}</p>
      <button type="button" class="danger" disabled={isDisabled} onClick={() => setAsking(true)}>
        {say('revoke.button')}
      </button>
      <ResultLine result={result} />
      {isAsking && (
        <Confirm
          title={say('revoke.ask', { name })}
          confirm={say('revoke.confirm')}
          onConfirm={revoke}
          onClose={() => setAsking(false)}
        >
          <p>{say('revoke.text')}</p>
        </Confirm>
      )}
    </div>
  );
}
