import type { Line } from '../model/book.ts';
import type { Play } from '../model/play.ts';
import { START_MS } from '../model/play.ts';
import { nameOf, seconds, type Texts } from './texts.ts';
import { clockText, gainedOf, jumpOf, linesOf } from './views.ts';

const MAX_LINES = 80;

export function Ledger({ texts, play }: { texts: Texts; play: Play }) {
  const lines = [...linesOf(play)].sort((left, right) => right.openedAt - left.openedAt).slice(0, MAX_LINES);
  const [user, login, gained, why, state, asked] = texts.columns;
  return (
    <section class="panel ledger" id="ledger" tabIndex={-1} aria-labelledby="ledger-title">
      <h2 id="ledger-title">{texts.ledger}</h2>
      <p class="hint">{texts.ledgerLead}</p>
      <dl class="totals" aria-label={texts.total}>
        {gainedOf(play).map(({ user: of, ms }) => (
          <div key={of}>
            <dt>{nameOf(texts, of)}</dt>
            <dd>{seconds(ms)}</dd>
          </div>
        ))}
      </dl>
      {lines.some((line) => jumpOf(play, line) !== 0) && <p class="jumps">{texts.jumps}</p>}
      {/* biome-ignore lint: a region that scrolls must take the keyboard */}
      <div class="scroll" role="group" aria-label={texts.ledger} tabIndex={0}>
        <table>
          <thead>
            <tr>
              {[user, login, gained, why, state, asked].map((name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {lines.map((line) => (
              <LedgerLine key={line.key} texts={texts} line={line} jump={jumpOf(play, line)} />
            ))}
            {lines.length === 0 && (
              <tr>
                <td colSpan={6}>{texts.empty}</td>
              </tr>
            )}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function LedgerLine({ texts, line, jump }: { texts: Texts; line: Line; jump: number }) {
  const state = line.isTwice ? 'twice' : line.isLost ? 'lost' : line.state;
  return (
    <tr class={`is-${state}`} data-state={state}>
      <th scope="row">{nameOf(texts, line.user)}</th>
      <td class="number">{clockText(line.openedAt - START_MS)}</td>
      <td class="number">
        {line.settledAt === undefined ? '–' : seconds(line.gainedMs)}
        {jump !== 0 && <small class="jump">{texts.jumped(jump)}</small>}
      </td>
      <td>{line.reason === undefined ? '–' : texts.reason(line.reason)}</td>
      <td>
        <span class="badge">{texts.states[state]}</span>
      </td>
      <td class="number">
        {line.asked} / {line.written}
      </td>
    </tr>
  );
}
