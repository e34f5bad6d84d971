import type { ComponentChild } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { useValue } from '../shared/value.ts';
import { Chart, type Series } from './chart.tsx';
import { namesBelow } from './history.ts';
import { counts, history } from './live.ts';
import { labelOf, type Say, type TextKey } from './texts.ts';
import { useSay } from './use-say.ts';

const SPANS_S = [120, 600, 3_600] as const;
/** As many as there are colours. */
const MOST_SERIES = 8;

/** Series with one name as a prefix. If the server sends further names, their series are added. */
interface Kind {
  readonly kind: string;
  readonly label: string;
  readonly known: readonly string[];
}

const CAUSES: Kind = {
  kind: 'logouts',
  label: 'cause',
  known: ['timeout', 'logout', 'kick', 'node-lost', 'reconciled'],
};
const STATUSES: Kind = {
  kind: 'messages',
  label: 'status',
  known: ['acked', 'written', 'queued', 'dropped', 'offline', 'unknown'],
};
const DROPS: Kind = {
  kind: 'drops',
  label: 'drop',
  known: ['queue-full', 'dispatch-full', 'rate', 'ttl', 'closed'],
};
const QUEUES: Kind = {
  kind: 'queues',
  label: 'queue',
  known: ['dispatch', 'send', 'loginsWaiting', 'settlementsPending', 'pushStream'],
};
/** These names come with the queues, but are not queues. */
const CAPACITIES = /Capacity$/;

export function Charts(): ComponentChild {
  const { say } = useSay();
  const [spanS, setSpanS] = useState<number>(SPANS_S[0]);
  const all = useSeries(say);
  const charts: readonly (readonly [TextKey, readonly Series[]])[] = [
    ['chart.users', all.users],
    ['chart.logins', all.logins],
    ['chart.messages', all.messages],
    ['chart.drops', all.drops],
    ['chart.queues', all.queues],
    ['chart.lag', all.lag],
    ['chart.settlement', all.settlement],
  ];
  return (
    <section aria-labelledby="charts-title">
      <div class="section-head">
        <h2 id="charts-title">{say('charts.title')}</h2>
        <fieldset class="choices">
          <legend class="hidden">{say('charts.span')}</legend>
          {SPANS_S.map((span) => (
            <label key={span}>
              <input type="radio" name="span" checked={span === spanS} onChange={() => setSpanS(span)} />
              <span>{say(`span.${span}`)}</span>
            </label>
          ))}
        </fieldset>
      </div>
      <div class="charts">
        {charts.map(([key, series]) => (
          <Chart key={key} title={say(key)} series={series} spanS={spanS} />
        ))}
      </div>
    </section>
  );
}

/** The same objects until a new name comes or the language changes, because each new list creates a new chart. */
function useSeries(say: Say) {
  const totals = useValue(counts)?.totals ?? {};
  const queues = Object.keys(useValue(counts)?.queues ?? {})
    .filter((name) => !CAPACITIES.test(name))
    .map((name) => `queues.${name}`);
  const names = [...Object.keys(totals), ...queues].filter((name) => name.includes('.')).join(' ');
  return useMemo(() => {
    const records = [totals, Object.fromEntries(queues.map((name) => [name, 0]))];
    const below = ({ kind, label, known }: Kind): readonly Series[] =>
      namesBelow(records, { kind, known, most: MOST_SERIES }).map((name) => ({
        key: `${kind}.${name}`,
        label: labelOf(label, name, say),
      }));
    const named = (...keys: readonly string[]): readonly Series[] =>
      keys.map((key) => ({ key, label: labelOf('series', key, say) }));
    return {
      users: named('online', 'lingering', 'connections'),
      logins: [...named('logins'), ...below(CAUSES)].slice(0, MOST_SERIES),
      messages: below(STATUSES),
      drops: below(DROPS),
      queues: below(QUEUES),
      lag: named('lag.p50', 'lag.p99', 'lag.max'),
      settlement: named('settlement.age'),
    };
  }, [names, say, history]);
}
