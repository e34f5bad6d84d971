import type { ComponentChild } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { LanguageSwitch, ThemeSwitch } from '../shared/switches.tsx';
import { useValue } from '../shared/value.ts';
import { Experiments } from './experiments.tsx';
import { Dungeon, Exploration, Leaderboard, Spirit } from './game.tsx';
import { useText } from './hooks.ts';
import { Login } from './login.tsx';
import { News, ServerKnows } from './server.tsx';
import { Session } from './session.ts';
import { firstUser } from './user.ts';
import { text } from './words.ts';

const TITLE = text('Lingxi demo: an idle cultivation game', '灵犀演示：放置修仙');
const LEAD = text(
  'Spirit grows on the server while you are online. Try to lose your connection, and watch what the server does.',
  '只要你在线，灵力就在服务器上增长。试着断开连接，看看服务器怎么做。',
);

export function App(): ComponentChild {
  const [session, setSession] = useState(() => {
    const user = firstUser();
    return user === undefined ? undefined : new Session(user);
  });
  const t = useText();
  useEffect(() => {
    document.title = t(TITLE);
  });
  const leave = (): void => {
    session?.end();
    setSession(undefined);
    history.replaceState(null, '', location.pathname);
  };
  return (
    <>
      <header class="bar">
        <div class="brand">
          <h1>{t(TITLE)}</h1>
          <p class="muted">{t(LEAD)}</p>
        </div>
        <nav class="links" aria-label={t(text('Other pages', '其他页面'))}>
          <a href="./dashboard/">{t(text('Dashboard', '控制台'))}</a>
          <a href="./simulator/">{t(text('Simulator', '模拟器'))}</a>
          <a href="./docs">API</a>
          <LanguageSwitch />
          <ThemeSwitch />
        </nav>
      </header>
      <main>
        {session === undefined ? (
          <Login start={(user) => setSession(new Session(user))} />
        ) : (
          <Playing session={session} leave={leave} />
        )}
      </main>
    </>
  );
}

function Playing({
  session,
  leave,
}: {
  readonly session: Session;
  readonly leave: () => void;
}): ComponentChild {
  const view = useValue(session.view);
  return (
    <div class="columns">
      <div class="column">
        <Spirit user={session.user} view={view} leave={leave} />
        <Experiments session={session} view={view} />
      </div>
      <div class="column">
        <News view={view} />
        <ServerKnows view={view} userId={session.user.id} />
      </div>
      <div class="column">
        <Dungeon session={session} view={view} />
        <Exploration session={session} view={view} />
        <Leaderboard view={view} own={session.user.id} />
      </div>
    </div>
  );
}
