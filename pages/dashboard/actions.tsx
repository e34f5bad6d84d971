import type { ComponentChild } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { useValue } from '../shared/value.ts';
import { type ActionProps, post, ResultLine, resultOf } from './action.tsx';
import { Confirm } from './confirm.tsx';
import { dayAndTime } from './format.ts';
import { KickForm } from './kick.tsx';
import type { UserDetails } from './readers.ts';
import { numberOrNull, objectOf } from './reading.ts';
import { isSo, type Result } from './result.ts';
import { SendForm } from './send.tsx';
import { session } from './session.ts';
import { useSay } from './use-say.ts';

interface ActionsProps extends Pick<ActionProps, 'userId' | 'name'> {
  readonly details: UserDetails | undefined;
  readonly onDone: () => void;
}

type ActionName = 'send' | 'kick' | 'unblock' | 'revoke';

export function Actions({ userId, name, details, onDone }: ActionsProps): ComponentChild {
  const { say } = useSay();
  const isDisabled = useValue(session)?.access === 'view';
  const [last, setLast] = useLastResult(details);
  const until = details?.blockedUntil ?? null;
  const propsOf = (action: ActionName): ActionProps => ({
    ...{ userId, name, isDisabled },
    result: last?.action === action ? last.result : undefined,
    onResult: (result) => {
      setLast({ action, result });
      onDone();
    },
  });
  return (
    <section class="actions" aria-labelledby="actions-title">
      <h2 id="actions-title">{say('actions.title')}</h2>
      {isDisabled && <p class="muted">{say('readOnly.why')}</p>}
      <SendForm {...propsOf('send')} />
      <KickForm {...propsOf('kick')} />
      {(until !== null || last?.action === 'unblock') && <Block {...propsOf('unblock')} until={until} />}
      <Revoke {...propsOf('revoke')} />
    </section>
  );
}

interface Last {
  readonly action: ActionName;
  readonly result: Result;
}

/** Only the result of the last action, until it is no longer true. */
function useLastResult(
  details: UserDetails | undefined,
): readonly [last: Last | undefined, setLast: (last: Last) => void] {
  const [last, setLast] = useState<Last>();
  // The page may receive the effect of the action a moment later.
  const wasSo = useRef<Last>(undefined);
  useEffect(() => {
    const what = last?.result.holdsWhile;
    if (what === undefined) return;
    const isNow = isSo(what, details);
    if (isNow === true) wasSo.current = last;
    else if (isNow === false && wasSo.current === last) setLast(undefined);
  }, [last, details]);
  return [last, setLast];
}

interface BlockProps extends ActionProps {
  readonly until: number | null;
}

function Block({ userId, name, isDisabled, result, onResult, until }: BlockProps): ComponentChild {
  const { say, spoken } = useSay();
  const [isAsking, setAsking] = useState(false);
  const lift = async (): Promise<void> => {
    const reply = await post(`users/${userId}/disconnect`, '{"blockMs":0}');
    onResult(resultOf(reply, say, () => ({ text: say('unblock.done'), holdsWhile: 'unblocked' })));
  };
  return (
    <div class="card">
      {until !== null && (
        <>
          <p>
            <span class="badge bad">
              {say('user.blocked')} {dayAndTime(until, spoken)}
            </span>
          </p>
          <button type="button" disabled={isDisabled} onClick={() => setAsking(true)}>
            {say('user.unblock')}
          </button>
        </>
      )}
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

function Revoke({ userId, name, isDisabled, result, onResult }: ActionProps): ComponentChild {
  const { say, spoken } = useSay();
  const [isAsking, setAsking] = useState(false);
  const revoke = async (): Promise<void> => {
    const reply = await post(`users/${userId}/revoke`);
    onResult(
      resultOf(reply, say, (body) => {
        const { revokedAt, connections } = objectOf(body);
        const time = dayAndTime(numberOrNull(revokedAt) ?? Number.NaN, spoken);
        const count = numberOrNull(connections);
        const text = count === null ? say('revoke.doneOther', { time }) : say('revoke.done', { time, count });
        return { text };
      }),
    );
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
