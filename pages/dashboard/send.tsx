import type { ComponentChild } from 'preact';
import { useState } from 'preact/hooks';
import { isolated } from '../shared/visible-text.ts';
import { type ActionProps, post, ResultLine, resultOf } from './action.tsx';
import { listOf, numberOf, objectOf, textOf } from './reading.ts';
import type { Result } from './result.ts';
import { labelOf, type Say } from './texts.ts';
import { useSay } from './use-say.ts';

const TYPE_LENGTH = 128;

export function SendForm({ userId, isDisabled, result, onResult }: ActionProps): ComponentChild {
  const { say } = useSay();
  const [type, setType] = useState('system_notice');
  const [data, setData] = useState('{"text": ""}');
  const [isWorking, setWorking] = useState(false);
  const send = async (): Promise<void> => {
    const body = pushOf({ userId, type: type.trim(), data }, say);
    if (typeof body !== 'string') return onResult(body);
    setWorking(true);
    const reply = await post('messages', body);
    setWorking(false);
    onResult(resultOf(reply, say, (answer) => outcomeOf(answer, say)));
  };
  return (
    <form
      class="card"
      onSubmit={(event) => {
        event.preventDefault();
        if (!isDisabled && !isWorking) void send();
      }}
    >
      <h3>{say('send.title')}</h3>
      <label for="send-type">{say('send.type')}</label>
      <input
        id="send-type"
        class="mono"
        value={type}
        maxLength={TYPE_LENGTH}
        disabled={isDisabled}
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => setType(event.currentTarget.value)}
      />
      <label for="send-data">{say('send.data')}</label>
      <textarea
        id="send-data"
        rows={3}
        value={data}
        disabled={isDisabled}
        spellcheck={false}
        onInput={(event) => setData(event.currentTarget.value)}
      />
      <button type="submit" class="primary" disabled={isDisabled || isWorking}>
        {isWorking ? say('dialog.working') : say('send.button')}
      </button>
      <ResultLine result={result} />
    </form>
  );
}

/** The body of the push, or the reason why there is none. */
function pushOf(
  { userId, type, data }: { readonly userId: string; readonly type: string; readonly data: string },
  say: Say,
): string | Result {
  if (type === '') return { text: say('send.noType'), isBad: true };
  const dataText = data.trim() === '' ? 'null' : data;
  try {
    JSON.parse(dataText);
  } catch (error) {
    const why = isolated(error instanceof Error ? error.message : '', 120);
    return { text: say('send.noJson', { error: why }), isBad: true };
  }
  // The data leaves unchanged: if it were parsed and written again, a large number would change.
  return `{"to":{"userId":${userId}},"type":${JSON.stringify(type)},"data":${dataText}}`;
}

function outcomeOf(answer: unknown, say: Say): Omit<Result, 'isBad'> {
  const [delivery = {}] = listOf(objectOf(answer)['results'], 1);
  const status = textOf(delivery['status']);
  const count = numberOf(delivery['connections']);
  switch (status) {
    case 'acked':
    case 'written':
      return { text: say(`sent.${status}`, { count }), holdsWhile: 'connected' };
    case 'queued':
      return { text: say('sent.queued'), holdsWhile: 'connected' };
    case 'offline':
      return { text: say('sent.offline'), holdsWhile: 'unconnected' };
    case 'unknown':
      return { text: say('sent.unknown') };
    case 'dropped':
      return { text: say('sent.dropped', { reason: labelOf('drop', textOf(delivery['reason']), say) }) };
    default:
      return { text: say('sent.other', { status: isolated(status) }) };
  }
}
