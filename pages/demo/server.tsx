import type { ComponentChild } from 'preact';
import { sentenceOf } from '../../src/protocol/timeline-sentences.ts';
import { language } from '../shared/language.ts';
import { useValue } from '../shared/value.ts';
import { visibleText } from '../shared/visible-text.ts';
import { useText } from './hooks.ts';
import type { Place, View } from './view.ts';
import { clock, type Text, text } from './words.ts';

const PLACES: Readonly<Record<Place, Text>> = {
  online: text('online', '在线'),
  lingering: text('online without a socket', '在线（无连接）'),
  offline: text('offline', '离线'),
  unknown: text('no answer', '无应答'),
};

export function ServerKnows({
  view,
  userId,
}: {
  readonly view: View;
  readonly userId: number;
}): ComponentChild {
  const t = useText();
  const chosen = useValue(language);
  const { known, problem, timeline, settlementsPending, strip, node } = view;
  const place = strip.at(-1);
  return (
    <section class="card" aria-labelledby="knows">
      <h2 id="knows">{t(text('What the server knows', '服务器知道什么'))}</h2>
      {problem !== undefined && (
        <p class="problem" role="status">
          {t(problem)}
        </p>
      )}
      <div class="strip" aria-hidden="true">
        {strip.map((was, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a second has no other name.
          <i key={index} class={was} />
        ))}
      </div>
      <p class="legend muted">
        {(Object.keys(PLACES) as Place[]).map((name) => (
          <span key={name}>
            <i class={name} /> {t(PLACES[name])}
          </span>
        ))}
      </p>
      <dl>
        <Fact name={text('Status', '状态')}>
          {place === undefined ? '…' : <strong>{t(PLACES[place])}</strong>}
        </Fact>
        <Fact name={text('Connections', '连接数')}>{known?.connections ?? '…'}</Fact>
        <Fact name={text('Online since', '上线时间')}>{timeOf(known?.loginTime)}</Fact>
        <Fact name={text('Last heartbeat', '上次心跳')}>{timeOf(known?.lastHeartbeat)}</Fact>
        <Fact name={text('Last logout', '上次登出')}>{timeOf(known?.logoutTime)}</Fact>
        <Fact name={text('Settlements not in SQL yet', '尚未写入 SQL 的结算')}>{settlementsPending}</Fact>
        <Fact name={text('Node', '节点')}>{node === '' ? '…' : visibleText(node.split(':')[0] ?? '')}</Fact>
      </dl>
      <p class="muted">
        <code>GET /api/online/player/{userId}</code>
      </p>
      <h3>{t(text('Its timeline of you', '它记录的时间线'))}</h3>
      <ol class="lines">
        {timeline.slice(0, 6).map((entry) => (
          <li key={`${entry.at}${entry.event}`}>
            <time>{clock(entry.at)}</time>{' '}
            {visibleText(sentenceOf({ ...entry, reason: undefined }, chosen), 200)}
          </li>
        ))}
      </ol>
    </section>
  );
}

function Fact({
  name,
  children,
}: {
  readonly name: Text;
  readonly children: ComponentChild;
}): ComponentChild {
  const t = useText();
  return (
    <div>
      <dt>{t(name)}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function timeOf(at: number | undefined): string {
  return at === undefined ? '–' : clock(at);
}

/** The events in plain sentences, the newest first. */
export function News({ view }: { readonly view: View }): ComponentChild {
  const t = useText();
  return (
    <section class="card" aria-labelledby="news">
      <h2 id="news">{t(text('What just happened', '刚刚发生了什么'))}</h2>
      <ol class="news" aria-live="polite" aria-relevant="additions">
        {view.news.slice(0, 7).map(({ key, at, text: said, tone }) => (
          <li key={key} class={tone}>
            <time>{clock(at)}</time> {t(said)}
          </li>
        ))}
      </ol>
    </section>
  );
}
