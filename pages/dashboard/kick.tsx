import type { ComponentChild } from 'preact';
import { useState } from 'preact/hooks';
import { type ActionProps, post, ResultLine, resultOf } from './action.tsx';
import { Confirm } from './confirm.tsx';
import { dayAndTime, duration } from './format.ts';
import { numberOrNull, objectOf } from './reading.ts';
import { useSay } from './use-say.ts';

/** The same values as in the API. */
const REASON_LENGTH = 128;
const BLOCKS_MS = [0, 60_000, 600_000, 3_600_000, 86_400_000, 2_592_000_000] as const;

export function KickForm({ userId, name, isDisabled, result, onResult }: ActionProps): ComponentChild {
  const { say, spoken } = useSay();
  const [reason, setReason] = useState('');
  const [blockMs, setBlockMs] = useState(0);
  const [isAsking, setAsking] = useState(false);
  const kick = async (): Promise<void> => {
    const body = { ...(reason === '' ? {} : { reason }), ...(blockMs === 0 ? {} : { blockMs }) };
    const reply = await post(`users/${userId}/disconnect`, JSON.stringify(body));
    onResult(
      resultOf(reply, say, (answer) => {
        const { logoutTime, blockedUntil } = objectOf(answer);
        const until = numberOrNull(blockedUntil);
        const at = numberOrNull(logoutTime);
        if (until !== null)
          return { text: say('kick.doneBlock', { time: dayAndTime(until, spoken) }), holdsWhile: 'blocked' };
        const time = at === null ? undefined : dayAndTime(at, spoken);
        const text = time === undefined ? say('kick.doneOther') : say('kick.done', { time });
        return { text, holdsWhile: 'unconnected' };
      }),
    );
  };
  return (
    <form
      class="card"
      onSubmit={(event) => {
        event.preventDefault();
        if (!isDisabled) setAsking(true);
      }}
    >
      <h3>{say('kick.title')}</h3>
      <label for="kick-reason">{say('kick.reason')}</label>
      <input
        id="kick-reason"
        value={reason}
        maxLength={REASON_LENGTH}
        disabled={isDisabled}
        autocomplete="off"
        onInput={(event) => setReason(event.currentTarget.value)}
      />
      <label for="kick-block">{say('kick.block')}</label>
      <select
        id="kick-block"
        value={String(blockMs)}
        disabled={isDisabled}
        onChange={(event) => setBlockMs(Number(event.currentTarget.value))}
      >
        {BLOCKS_MS.map((ms) => (
          <option key={ms} value={String(ms)}>
            {say(`block.${ms}`)}
          </option>
        ))}
      </select>
      <button type="submit" class="danger" disabled={isDisabled}>
        {say('kick.button')}
      </button>
      <ResultLine result={result} />
      {isAsking && (
        <Confirm
          title={say('kick.ask', { name })}
          confirm={say('kick.confirm')}
          onConfirm={kick}
          onClose={() => setAsking(false)}
        >
          <p>
            {blockMs === 0 ? say('kick.text') : say('kick.textBlock', { time: duration(blockMs, spoken) })}
          </p>
        </Confirm>
      )}
    </form>
  );
}
