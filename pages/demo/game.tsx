import type { ComponentChild } from 'preact';
import { Plain } from '../shared/plain.tsx';
import { useText } from './hooks.ts';
import type { Session } from './session.ts';
import type { User } from './user.ts';
import type { View } from './view.ts';
import { type Text, text } from './words.ts';

export function Spirit(props: {
  readonly user: User;
  readonly view: View;
  readonly leave: () => void;
}): ComponentChild {
  const t = useText();
  const { spirit, state, known, connection } = props.view;
  const value = Math.max(spirit?.newSpirit ?? 0, state?.spirit ?? 0);
  const isGrowing = known?.status === 'online' && connection.status === 'open';
  const level = 1 + Math.floor(Math.log2(1 + value / 60));
  return (
    <section class="card spirit" aria-labelledby="spirit">
      <div class="row">
        <h2 id="spirit">{t(text('Spirit', '灵力'))}</h2>
        <button type="button" class="quiet" onClick={props.leave}>
          {t(text('Other user', '换个用户'))}
        </button>
      </div>
      <p class="who">
        <Plain
          text={
            props.user.name === ''
              ? t(text(`User ${props.user.id}`, `用户 ${props.user.id}`))
              : props.user.name
          }
        />
        <span class="muted"> · #{props.user.id}</span>
      </p>
      <p class={isGrowing ? 'value growing' : 'value'} data-spirit={value}>
        {value.toFixed(1)}
      </p>
      <p class="muted">
        {isGrowing
          ? t(
              text(
                `+${(spirit?.spiritRate ?? state?.spiritRate ?? 1).toFixed(2)} a second, level ${level}`,
                `每秒 +${(spirit?.spiritRate ?? state?.spiritRate ?? 1).toFixed(2)}，等级 ${level}`,
              ),
            )
          : t(stillness(props.view))}
      </p>
    </section>
  );
}

/** Why the number does not change. */
function stillness({ connection, known, spirit, state }: View): Text {
  if (spirit === undefined && state === undefined)
    return text('The server has sent no value yet.', '服务器还没有发来数值。');
  if (connection.status !== 'open')
    return text(
      'This page is not connected. The number is the last that it received.',
      '本页没有连接。这是它最后收到的数值。',
    );
  if (known === undefined) return text('The page asks who is online.', '正在查询在线状态。');
  return text(
    'For the server you are offline: your spirit does not grow.',
    '在服务器看来你已离线：灵力不再增长。',
  );
}

export function Dungeon({
  session,
  view,
}: {
  readonly session: Session;
  readonly view: View;
}): ComponentChild {
  const t = useText();
  const [newest] = view.dungeon;
  const isFighting = newest?.eventType === 'start' || newest?.eventType === 'combat_round';
  const hp = view.dungeon.find(({ eventType }) => eventType === 'combat_round') ?? newest;
  return (
    <section class="card" aria-labelledby="dungeon">
      <div class="row">
        <h2 id="dungeon">{t(text('Dungeon', '秘境'))}</h2>
        <button
          type="button"
          disabled={!isPlaying(view) || isFighting}
          onClick={() => session.act('game:dungeon')}
        >
          {t(text('Fight', '战斗'))}
        </button>
      </div>
      {newest === undefined || hp === undefined ? (
        <p class="muted">{t(text('Each round comes from the server.', '每个回合都来自服务器。'))}</p>
      ) : (
        <>
          <Bar label={t(text('You', '你'))} value={hp.playerHp} />
          <Bar label={t(text('Stone ape', '石猿'))} value={hp.enemyHp} />
          <ol class="lines">
            {view.dungeon.slice(0, 6).map((event) => (
              <li key={`${event.roundNum}${event.eventType}`}>
                {event.message}
                {event.eventType === 'combat_round' && (
                  <span class="muted">
                    {' '}
                    −{event.damageDealt} / −{event.damageTaken}
                  </span>
                )}
                {event.loot !== '' && <strong> {event.loot}</strong>}
              </li>
            ))}
          </ol>
        </>
      )}
    </section>
  );
}

export function Exploration({
  session,
  view,
}: {
  readonly session: Session;
  readonly view: View;
}): ComponentChild {
  const t = useText();
  const { exploration, finds } = view;
  const isAway = exploration !== undefined && !['complete', 'failure'].includes(exploration.eventType);
  return (
    <section class="card" aria-labelledby="exploration">
      <div class="row">
        <h2 id="exploration">{t(text('Exploration', '探索'))}</h2>
        <button
          type="button"
          disabled={!isPlaying(view) || isAway}
          onClick={() => session.act('game:explore')}
        >
          {t(text('Explore', '出发'))}
        </button>
      </div>
      {exploration === undefined ? (
        <p class="muted">{t(text('Twelve seconds through the mist.', '穿过迷雾，需要十二秒。'))}</p>
      ) : (
        <>
          <Bar label={exploration.exploreName} value={exploration.progress} />
          <ol class="lines">
            {finds.slice(0, 4).map((event) => (
              <li key={`${event.timestamp}${event.eventType}`}>
                {event.message}
                {event.discovery !== '' && <strong> {event.discovery}</strong>}
              </li>
            ))}
          </ol>
        </>
      )}
    </section>
  );
}

function Bar({ label, value }: { readonly label: string; readonly value: number }): ComponentChild {
  return (
    <div class="meter">
      <span>{label}</span>
      <meter min={0} max={100} value={value} aria-label={label} />
      <span class="mono">{value}</span>
    </div>
  );
}

export function Leaderboard({ view, own }: { readonly view: View; readonly own: number }): ComponentChild {
  const t = useText();
  const { board } = view;
  return (
    <section class="card" aria-labelledby="board">
      <h2 id="board">{t(text('Leaderboard', '排行榜'))}</h2>
      {board === undefined ? (
        <p class="muted">{t(text('It comes once you are online.', '上线后就会显示。'))}</p>
      ) : (
        <>
          <table>
            <thead>
              <tr>
                <th scope="col">#</th>
                <th scope="col">{t(text('Name', '名字'))}</th>
                <th scope="col" class="number">
                  {t(text('Spirit', '灵力'))}
                </th>
                <th scope="col" class="number">
                  {t(text('Level', '等级'))}
                </th>
              </tr>
            </thead>
            <tbody>
              {board.top10.map(({ rank, userId, username, spirit, level }) => (
                <tr key={userId} class={userId === own ? 'own' : undefined}>
                  <td>{rank}</td>
                  <td>
                    <Plain text={username === '' ? `#${userId}` : username} most={24} />
                  </td>
                  <td class="number">{spirit.toFixed(0)}</td>
                  <td class="number">{level}</td>
                </tr>
              ))}
            </tbody>
          </table>
          <p class="muted">
            {t(
              text(
                `You are number ${board.userRank.rank} among the players of this node.`,
                `你在本节点的玩家中排第 ${board.userRank.rank} 名。`,
              ),
            )}
          </p>
        </>
      )}
    </section>
  );
}

/** A click is a proof of life too. So with a silent heartbeat, there is nothing to click. */
function isPlaying({ connection, scene }: View): boolean {
  return connection.status === 'open' && scene.name === 'playing';
}
