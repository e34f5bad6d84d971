import type { ComponentChild } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { useValue } from '../shared/value.ts';
import { Config } from './config.tsx';
import { Header } from './header.tsx';
import { counts, follow, liveState } from './live.ts';
import { route } from './navigation.ts';
import { Notices } from './notices.tsx';
import { Overview } from './overview.tsx';
import { Poller } from './poller.ts';
import { readConfig } from './readers.ts';
import { noteAccess, type Session, session } from './session.ts';
import { SignIn } from './sign-in.tsx';
import { useSay } from './use-say.ts';
import { UserPage } from './user.tsx';
import { UsersPage } from './users.tsx';

export function App(): ComponentChild {
  const present = useValue(session);
  return present === undefined ? <SignIn /> : <SignedIn key={present.key} session={present} />;
}

function SignedIn({ session: { key, access } }: { readonly session: Session }): ComponentChild {
  const { say } = useSay();
  useEffect(() => follow(key), [key]);
  useAccess(key, access === undefined);
  return (
    <>
      <a class="skip" href="#content" onClick={skip}>
        {say('skip')}
      </a>
      <Header />
      <main id="content" tabIndex={-1}>
        <View keyInUse={key} />
      </main>
      <Notices />
      <Title />
    </>
  );
}

/** The address after `#` belongs to the views. */
function skip(event: Event): void {
  event.preventDefault();
  document.querySelector<HTMLElement>('#content')?.focus();
}

function View({ keyInUse }: { readonly keyInUse: string }): ComponentChild {
  const { view, userId } = useValue(route);
  const shown = useRef(`${view}${userId}`);
  useEffect(() => {
    // A new view begins at its heading, for those who hear the page and for those who see it.
    if (shown.current === `${view}${userId}`) return;
    shown.current = `${view}${userId}`;
    scrollTo(0, 0);
    document.querySelector<HTMLElement>('#content h1')?.focus({ preventScroll: true });
  }, [view, userId]);
  switch (view) {
    case 'overview':
      return <Overview />;
    case 'users':
      return <UsersPage keyInUse={keyInUse} />;
    case 'user':
      return <UserPage key={userId} keyInUse={keyInUse} userId={userId} />;
    case 'config':
      return <Config keyInUse={keyInUse} />;
  }
}

/** The title of the tab shows the number of online users, and that something is wrong. */
function Title(): ComponentChild {
  const { say } = useSay();
  const online = useValue(counts)?.online;
  const isLive = useValue(liveState).status === 'live';
  useEffect(() => {
    const number = online === undefined ? '' : ` · ${online}`;
    document.title = `${isLive ? '' : '⚠ '}${say('brand')}${number}`;
  }, [online, isLive, say]);
  return null;
}

/** Asks the server for the rights of the key. */
function useAccess(key: string, isUnknown: boolean): void {
  useEffect(() => {
    if (!isUnknown) return;
    const poller = new Poller({ key, everyMs: 2_000, read: readConfig });
    const stop = poller.state.subscribe(() => {
      const found = poller.state.now.answer?.body.access;
      if (found !== undefined) noteAccess(key, found);
    });
    poller.follow('dashboard/config', true);
    return () => {
      stop();
      poller.stop();
    };
  }, [key, isUnknown]);
}
