import { TICK_MS } from '../model/link.ts';
import type { Play } from '../model/play.ts';
import { sentence, type Texts } from './texts.ts';
import { clockText } from './views.ts';

const MAX_ENTRIES = 120;
const MAX_TRACE = 60;

export function History({ texts, play }: { texts: Texts; play: Play }) {
  const first = Math.max(0, play.log.length - MAX_ENTRIES);
  const entries = play.log.slice(first).map((entry, index) => ({ entry, key: first + index }));
  return (
    <section class="panel history" aria-labelledby="history">
      <h2 id="history">{texts.log}</h2>
      <div class="scroll" role="group" aria-label={texts.log} tabIndex={0}>
        {entries.length === 0 ? (
          <p class="hint">{texts.logEmpty}</p>
        ) : (
          <ol>
            {entries.reverse().map(({ entry, key }) => (
              <li key={key} class={`told-${entry.kind}`}>
                <span class="when">{clockText(entry.tick * TICK_MS)}</span> {sentence(texts, entry)}
              </li>
            ))}
          </ol>
        )}
      </div>
      <details class="trace">
        <summary>{texts.trace}</summary>
        <pre class="scroll" lang="en" tabIndex={0} aria-label={texts.trace} role="group">
          {play.trace.slice(-MAX_TRACE).join('\n')}
        </pre>
      </details>
    </section>
  );
}
