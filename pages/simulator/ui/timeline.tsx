import { type ActionKind, USERS } from '../model/actions.ts';
import { TICK_MS } from '../model/link.ts';
import type { Play } from '../model/play.ts';
import { nameOf, type Texts } from './texts.ts';
import { type Bar, barsOf, elapsed, linesOf } from './views.ts';

const WINDOW_MS = 60_000;
const LANE = 26;
const BAR = 14;
/** Actions on machines. Actions of users are visible in their bars. */
const OF_USERS: ReadonlySet<ActionKind> = new Set([
  ...(['connect', 'silent', 'speak', 'close', 'tab', 'logout', 'chance-on', 'chance-off'] as const),
]);

export function Timeline({ texts, play }: { texts: Texts; play: Play }) {
  const now = elapsed(play);
  const from = Math.max(0, now - WINDOW_MS);
  const x = (ms: number): number => ((Math.max(from, Math.min(ms, now)) - from) / WINDOW_MS) * 1000;
  const faults = play.log.filter(
    (entry) => entry.kind === 'press' && !OF_USERS.has(entry.action.kind) && entry.tick * TICK_MS >= from,
  );
  const running = linesOf(play).filter(({ state }) => state === 'running').length;
  const height = USERS.length * LANE;
  return (
    <section class="panel timeline" aria-labelledby="timeline">
      <h2 id="timeline">{texts.timeline}</h2>
      <div class="lanes">
        <ol aria-hidden="true">
          {USERS.map((user) => (
            <li key={user}>{nameOf(texts, user)}</li>
          ))}
        </ol>
        <svg
          role="img"
          aria-label={texts.timelineLabel(running, faults.length)}
          viewBox={`0 0 1000 ${height}`}
          preserveAspectRatio="none"
        >
          {[0, 1, 2, 3, 4, 5, 6].map((index) => (
            <line
              key={index}
              class="grid"
              x1={(index * 1000) / 6}
              x2={(index * 1000) / 6}
              y1={0}
              y2={height}
            />
          ))}
          {USERS.map((user, lane) =>
            barsOf(play, user)
              .filter((bar) => Math.max(bar.until, bar.settledAt ?? 0) >= from)
              .map((bar) => <BarView key={bar.key} bar={bar} x={x} y={lane * LANE + (LANE - BAR) / 2} />),
          )}
          {faults.map(({ tick }, index) => (
            <line
              key={`${tick}-${index}`}
              class="fault"
              x1={x(tick * TICK_MS)}
              x2={x(tick * TICK_MS)}
              y1={0}
              y2={height}
            />
          ))}
        </svg>
      </div>
      <Legend texts={texts} />
    </section>
  );
}

function Legend({ texts }: { texts: Texts }) {
  return (
    <ul class="legend" aria-hidden="true">
      {(['running', 'unnoticed', 'settled', 'fault'] as const).map((kind) => (
        <li key={kind} class={`key-${kind}`}>
          {texts.legend[kind]}
        </li>
      ))}
    </ul>
  );
}

function BarView({ bar, x, y }: { bar: Bar; x: (ms: number) => number; y: number }) {
  const [from, counted, until] = [x(bar.from), x(bar.counted), x(bar.until)];
  return (
    <g class={bar.isWrong ? 'wrong' : ''}>
      <rect class="counted" x={from} y={y} width={Math.max(1, counted - from)} height={BAR} />
      {until > counted && <rect class="unnoticed" x={counted} y={y} width={until - counted} height={BAR} />}
      {bar.settledAt !== undefined && (
        <rect class="settled" x={x(bar.settledAt) - 2} y={y - 3} width={5} height={BAR + 6} />
      )}
    </g>
  );
}
