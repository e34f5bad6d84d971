import type { ComponentChild } from 'preact';
import type { Language } from '../shared/language.ts';
import type { Counts } from './counts.ts';
import { duration, measured, wholeNumber } from './format.ts';
import { labelOf, type Say } from './texts.ts';
import { useSay } from './use-say.ts';

interface Tile {
  readonly label: string;
  readonly figure: string;
  readonly note: string;
  readonly tone?: 'bad' | 'warn';
}

interface Figures {
  readonly last: Counts | undefined;
  readonly rates: Readonly<Record<string, number>>;
}

interface Telling extends Figures {
  readonly say: Say;
  readonly spoken: Language;
}

const NONE = '–';
const SLOW_LAG_MS = 100;
const OLD_SETTLEMENT_MS = 30_000;

export function Tiles(figures: Figures): ComponentChild {
  const { say, spoken } = useSay();
  const telling = { ...figures, say, spoken };
  return (
    <ul class="tiles">
      {[...userTiles(telling), ...rateTiles(telling), ...delayTiles(telling)].map((tile) => (
        <li key={tile.label} class={`tile ${tile.tone ?? ''}`}>
          <span class="tile-label">{tile.label}</span>
          <span class="tile-figure">{tile.figure}</span>
          <span class="tile-note" title={tile.note}>
            {tile.note}
          </span>
        </li>
      ))}
    </ul>
  );
}

function userTiles({ last, say, spoken }: Telling): readonly Tile[] {
  const whole = (number: number | undefined): string =>
    number === undefined ? NONE : wholeNumber(number, spoken);
  const share = last === undefined || last.online === 0 ? 0 : (100 * last.lingering) / last.online;
  return [
    {
      label: say('tile.online'),
      figure: whole(last?.online),
      note: say('tile.nodes', { count: last?.nodes.length ?? 0 }),
    },
    {
      label: say('tile.lingering'),
      figure: whole(last?.lingering),
      note: say('tile.share', { percent: measured(share, spoken) }),
      ...(share > 20 ? { tone: 'warn' } : {}),
    },
    {
      label: say('tile.connections'),
      figure: whole(last?.connections),
      note: `${say('queue.loginsWaiting')} ${whole(last?.queues['loginsWaiting'])}`,
    },
  ];
}

function rateTiles(telling: Telling): readonly Tile[] {
  const { last, rates, say, spoken } = telling;
  const single = (name: 'logins' | 'heartbeats'): Tile => {
    const total = last?.totals[name];
    return {
      label: say(`tile.${name}`),
      figure: rates[name] === undefined ? NONE : measured(rates[name], spoken),
      note: say('tile.total', { count: total === undefined ? NONE : wholeNumber(total, spoken) }),
    };
  };
  return [
    single('logins'),
    sumTile(telling, 'logouts', 'cause'),
    single('heartbeats'),
    sumTile(telling, 'messages', 'status'),
    sumTile(telling, 'drops', 'drop'),
  ];
}

/** All rates below a name, and in the note what they are made of, the largest first. */
function sumTile(
  { last, rates, say, spoken }: Telling,
  name: 'logouts' | 'messages' | 'drops',
  kind: 'cause' | 'status' | 'drop',
): Tile {
  const parts = Object.entries(rates)
    .filter(([key, rate]) => key.startsWith(`${name}.`) && rate > 0)
    .sort(([, left], [, right]) => right - left);
  const sum = parts.reduce((total, [, rate]) => total + rate, 0);
  const note = parts
    .map(([key, rate]) => `${labelOf(kind, key.slice(name.length + 1), say)} ${measured(rate, spoken)}`)
    .join(' · ');
  const isKnown = last !== undefined && Object.keys(rates).length > 0;
  return {
    label: say(`tile.${name}`),
    figure: isKnown ? measured(sum, spoken) : NONE,
    note: note === '' ? say('tile.none') : note,
    ...(name === 'drops' && sum > 1 ? { tone: 'warn' } : {}),
  };
}

function delayTiles({ last, say, spoken }: Telling): readonly Tile[] {
  const lag = last?.lag;
  const age = last?.settlement.oldestAgeMs;
  const pending = last?.queues['settlementsPending'] ?? 0;
  return [
    {
      label: say('tile.lag'),
      figure: lag?.p99 == null ? NONE : duration(lag.p99, spoken),
      note: lag?.max == null ? say('tile.noTimeouts') : say('tile.max', { time: duration(lag.max, spoken) }),
      ...((lag?.p99 ?? 0) > SLOW_LAG_MS ? { tone: 'warn' } : {}),
    },
    {
      label: say('tile.settlement'),
      figure: age === undefined ? NONE : duration(age, spoken),
      note: say('tile.pending', { count: wholeNumber(pending, spoken) }),
      ...((age ?? 0) > OLD_SETTLEMENT_MS || last?.settlement.available === false ? { tone: 'bad' } : {}),
    },
  ];
}
