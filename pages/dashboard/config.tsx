import type { ComponentChild } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Plain } from '../shared/plain.tsx';
import { useValue } from '../shared/value.ts';
import { visibleText } from '../shared/visible-text.ts';
import { sentenceOfProblem } from './ask.ts';
import { type ConfigKey, readConfig } from './readers.ts';
import { labelOf } from './texts.ts';
import { usePoller } from './use-poller.ts';
import { useSay } from './use-say.ts';

/** It changes only with a restart. */
const EVERY_MS = 10_000;
const MEANING_CHARACTERS = 2_000;

export function Config({ keyInUse }: { readonly keyInUse: string }): ComponentChild {
  const { say } = useSay();
  const poller = usePoller({ key: keyInUse, everyMs: EVERY_MS, read: readConfig });
  useEffect(() => poller.follow('dashboard/config'), [poller]);
  const { answer, problem } = useValue(poller.state);
  const [filter, setFilter] = useState('');
  const [isChangedOnly, setChangedOnly] = useState(false);
  const keys = (answer?.body.keys ?? []).filter(
    (key) => matches(key, filter) && (!isChangedOnly || !key.isDefault),
  );
  const sections = [...new Set(keys.map(({ section }) => section))];
  return (
    <>
      <div class="section-head">
        <h1 tabIndex={-1}>{say('config.title')}</h1>
        <p class="muted">{say('config.text')}</p>
      </div>
      <div class="toolbar">
        <label class="search">
          <span class="hidden">{say('config.filter')}</span>
          <input
            type="search"
            value={filter}
            placeholder={say('config.filter')}
            spellcheck={false}
            onInput={(event) => setFilter(event.currentTarget.value)}
          />
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={isChangedOnly}
            onChange={(event) => setChangedOnly(event.currentTarget.checked)}
          />
          {say('config.changed')}
        </label>
      </div>
      <p class="hint bad" role="status">
        {problem === undefined ? '' : sentenceOfProblem(problem, say)}
      </p>
      {answer === undefined && problem === undefined && <p class="muted">{say('users.loading')}</p>}
      {answer !== undefined && keys.length === 0 && <p class="muted">{say('config.none')}</p>}
      {sections.map((section) => (
        <section key={section} class="card">
          <h2>{visibleText(section)}</h2>
          <dl class="keys">
            {keys
              .filter((key) => key.section === section)
              .map((key) => (
                <KeyInForce key={key.name} given={key} />
              ))}
          </dl>
        </section>
      ))}
    </>
  );
}

function KeyInForce({ given }: { readonly given: ConfigKey }): ComponentChild {
  const { say } = useSay();
  return (
    <div class={given.isDefault ? 'key' : 'key changed'}>
      <dt class="mono">{visibleText(given.name)}</dt>
      <dd class="key-value mono">
        {given.value === '' ? (
          <span class="muted">{say('config.empty')}</span>
        ) : (
          <Plain text={given.value} most={120} />
        )}
      </dd>
      <dd>
        <span class="badge">{labelOf('source', given.source, say)}</span>
      </dd>
      <dd class="meaning muted" lang="en">
        <Meaning text={visibleText(given.meaning, MEANING_CHARACTERS)} />
      </dd>
    </div>
  );
}

/** Markdown of one line: only code. */
function Meaning({ text }: { readonly text: string }): ComponentChild {
  return text.split('`').map((part, place) => (place % 2 === 1 ? <code>{part}</code> : part));
}

function matches({ name, meaning, value }: ConfigKey, filter: string): boolean {
  const wanted = filter.trim().toLowerCase();
  return wanted === '' || [name, meaning, value].some((text) => text.toLowerCase().includes(wanted));
}
