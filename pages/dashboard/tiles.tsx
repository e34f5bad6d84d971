import type { ComponentChild } from 'preact';
import { duration, measured, wholeNumber } from './format.ts';
import { lagNote, sumOf, type Telling, UNKNOWN } from './tile-figures.ts';
import { useSay } from './use-say.ts';

interface Tile {
  readonly label: string;
  readonly figure: string;
  readonly note: string;
  readonly tone?: 'bad' | 'warn';
}

type Figures = Pick<Telling, 'last' | 'rates'>;

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
    number === undefined ? UNKNOWN : wholeNumber(number, spoken);
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
      figure: rates[name] === undefined ? UNKNOWN : measured(rates[name], spoken),
      note: say('tile.total', { count: total === undefined ? UNKNOWN : wholeNumber(total, spoken) }),
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

function sumTile(
  telling: Telling,
  name: 'logouts' | 'messages' | 'drops',
  kind: 'cause' | 'status' | 'drop',
): Tile {
  const { sum, figure, note } = sumOf(telling, name, kind);
  return {
    label: telling.say(`tile.${name}`),
    figure,
    note,
    ...(name === 'drops' && sum > 1 ? { tone: 'warn' } : {}),
  };
}

function delayTiles(telling: Telling): readonly Tile[] {
  const { last, say, spoken } = telling;
  const lag = last?.lag;
  const age = last?.settlement.oldestAgeMs;
  const pending = last?.queues['settlementsPending'] ?? 0;
  return [
    {
      label: say('tile.lag'),
      figure: lag?.p99 == null ? UNKNOWN : duration(lag.p99, spoken),
      note: lagNote(telling),
      ...((lag?.p99 ?? 0) > SLOW_LAG_MS ? { tone: 'warn' } : {}),
    },
    {
      label: say('tile.settlement'),
      figure: age === undefined ? UNKNOWN : duration(age, spoken),
      note: say('tile.pending', { count: wholeNumber(pending, spoken) }),
      ...((age ?? 0) > OLD_SETTLEMENT_MS || last?.settlement.available === false ? { tone: 'bad' } : {}),
    },
  ];
}
