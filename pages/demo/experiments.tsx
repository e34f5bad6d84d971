import type { ComponentChild } from 'preact';
import { useNow, useText } from './hooks.ts';
import type { Session } from './session.ts';
import { hasSocket, livingScene, type View } from './view.ts';
import { reasonText, seconds, statusText, type Text, text } from './words.ts';

interface Props {
  readonly session: Session;
  readonly view: View;
}

const EXPERIMENTS = {
  heart: {
    label: text('Stop my heartbeat', '停止我的心跳'),
    says: text(
      'Without a sign of life for 10 s the server logs you out and settles the time.',
      '10 秒没有心跳，服务器就让你下线并结算时间。',
    ),
  },
  socket: {
    label: text('Close the socket', '关闭连接'),
    says: text(
      'You stay online for the same 10 s. Whoever returns in time was never away.',
      '你还会在线 10 秒。及时返回就等于从未离开。',
    ),
  },
  tab: {
    label: text('Open a second tab', '打开第二个标签页'),
    says: text(
      'The newest connection takes over, and this one is closed with 4001. You stay online.',
      '最新的连接接管会话，本页被 4001 关闭，你一直在线。',
    ),
  },
  kill: {
    label: text('Kill the node', '杀死节点'),
    says: text(
      'kill -9 for this server. The login of each user who is online is in SQL; after a new start the server goes on from there.',
      '对服务器执行 kill -9。每个在线用户的登录都记在 SQL 里，重启后服务器从那里继续。',
    ),
  },
} as const;

/** The four ways to lose a connection, each with its effect. */
export function Experiments({ session, view }: Props): ComponentChild {
  const t = useText();
  const isPlaying = view.connection.status === 'open' && view.scene.name === 'playing';
  const { id, name } = session.user;
  const query = new URLSearchParams({ user: String(id), ...(name === '' ? {} : { name }) });
  const button = (which: 'heart' | 'socket' | 'kill', act: () => void): ComponentChild => (
    <li>
      <button
        type="button"
        class={which === 'kill' ? 'danger' : undefined}
        disabled={which === 'kill' ? view.scene.name === 'killed' : !isPlaying}
        aria-describedby={which}
        onClick={act}
      >
        {t(EXPERIMENTS[which].label)}
      </button>
      <p id={which} class="muted">
        {t(EXPERIMENTS[which].says)}
      </p>
    </li>
  );
  return (
    <section class="card" aria-labelledby="experiments">
      <h2 id="experiments">{t(text('Break it', '来试试断线'))}</h2>
      <Situation session={session} view={view} />
      <ul class="experiments">
        {button('heart', session.stopHeart)}
        {button('socket', session.closeSocket)}
        <li>
          <a
            class="button"
            target="_blank"
            rel="noopener"
            href={`./?${query.toString()}`}
            aria-describedby="tab"
          >
            {t(EXPERIMENTS.tab.label)}
          </a>
          <p id="tab" class="muted">
            {t(EXPERIMENTS.tab.says)}
          </p>
        </li>
        {button('kill', () => void session.killNode())}
      </ul>
    </section>
  );
}

const SILENT = text('but this page sends no heartbeat', '但本页不发送心跳');

const LOGGED_OUT = text(
  'no heartbeat came, so the server closed it (4100) and logged you out',
  '没有心跳，服务器关闭了连接（4100）并让你下线',
);
const ELSEWHERE = text('You stay online in the other tab.', '你在另一个标签页保持在线。');
const NOWHERE = text(
  'You are still online, but no tab is connected.',
  '你仍然在线，但没有标签页处于连接中。',
);

function reasonNow({ connection, scene }: View): Text {
  if (connection.status === 'open' && scene.name === 'silent') return SILENT;
  const before = livingScene(scene);
  // The page closes its client after the server has closed the socket. The reader wants to see what the server did.
  const isLoggedOut = connection.status === 'closed' && before.name === 'closed' && before.isLoggedOut;
  return isLoggedOut ? LOGGED_OUT : reasonText(connection.reason);
}

/** The state of the connection in a sentence, and the running clocks. */
function Situation({ session, view }: Props): ComponentChild {
  const t = useText();
  const now = useNow();
  const { connection, scene, beatAt, timeoutMs, known } = view;
  const isOpen = connection.status === 'open';
  const isReplaced = !isOpen && connection.code === 4001;
  const tone = scene.name === 'silent' ? 'warn' : isOpen ? 'good' : isReplaced ? 'warn' : 'bad';
  const isOnline = known?.status === 'online';
  // A dead node logs nobody out, and a replaced page does not know the heartbeats of the other page.
  const isAway = scene.name === 'silent' || (!isOpen && isOnline && !isReplaced && scene.name !== 'killed');
  const reason = reasonNow(view);
  const retry = connection.retryAt === undefined ? 0 : seconds(connection.retryAt - now);
  return (
    <div class={`situation ${tone}`}>
      <p role="status">
        <strong>{t(statusText(connection.status))}</strong>
        {t(text(`: ${reason.en}.`, `：${reason.zh}。`))}
        {connection.status === 'waiting' && view.problem !== undefined ? ` ${t(view.problem)}` : ''}
      </p>
      {connection.status === 'waiting' && retry > 0 && (
        <p>{t(text(`Next attempt in ${retry} s.`, `${retry} 秒后重试。`))}</p>
      )}
      {scene.name === 'killed' && (
        <p>
          {t(text('Start the node again as you started it', '请按原来的方式重新启动节点'))} (
          <code>npm start</code>).
        </p>
      )}
      {isReplaced && isOnline && <p>{t(hasSocket(known) ? ELSEWHERE : NOWHERE)}</p>}
      {isAway && <Countdown left={beatAt + timeoutMs - now} of={timeoutMs} />}
      {isOpen && scene.name === 'playing' && <Heart beatAt={beatAt} now={now} />}
      {scene.name === 'closed' && scene.returnAt !== undefined && (
        <p>
          {t(
            text(
              `This page comes back by itself in ${seconds(scene.returnAt - now)} s.`,
              `本页将在 ${seconds(scene.returnAt - now)} 秒后自动返回。`,
            ),
          )}
        </p>
      )}
      <div class="choices">
        {(scene.name === 'silent' || (!isOpen && connection.status !== 'connecting')) && (
          <button type="button" class="primary" onClick={session.comeBack}>
            {t(
              scene.name === 'silent'
                ? text('Let it beat again', '恢复心跳')
                : connection.code === 4001
                  ? text('Play here again', '在这里继续玩')
                  : text('Come back now', '立即返回'),
            )}
          </button>
        )}
        {scene.name === 'closed' && scene.returnAt !== undefined && (
          <button type="button" onClick={session.stayAway}>
            {t(text('Stay away', '先不回来'))}
          </button>
        )}
      </div>
    </div>
  );
}

function Countdown({ left, of }: { readonly left: number; readonly of: number }): ComponentChild {
  const t = useText();
  const label = text('Time until the server logs you out', '距离服务器让你下线');
  return (
    <div class="countdown">
      <p>
        {t(label)}: <strong>{seconds(left)} s</strong>
      </p>
      <meter min={0} max={of} value={Math.max(0, left)} aria-label={t(label)} />
    </div>
  );
}

function Heart({ beatAt, now }: { readonly beatAt: number; readonly now: number }): ComponentChild {
  const t = useText();
  const ago = Math.floor(Math.max(0, now - beatAt) / 1000);
  return (
    <p>
      <span key={beatAt} class="heart" aria-hidden="true">
        ♥
      </span>{' '}
      {t(text(`Last heartbeat ${ago} s ago.`, `上次心跳：${ago} 秒前。`))}
    </p>
  );
}
