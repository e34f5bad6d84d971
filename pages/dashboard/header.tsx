import type { ComponentChild } from 'preact';
import { LanguageSwitch, ThemeSwitch } from '../shared/switches.tsx';
import { useValue } from '../shared/value.ts';
import { liveState } from './live.ts';
import { route } from './navigation.ts';
import { session, signOut } from './session.ts';
import { useSay } from './use-say.ts';

export function Header(): ComponentChild {
  const { say } = useSay();
  const isReadOnly = useValue(session)?.access === 'view';
  return (
    <header class="top">
      <strong class="brand">{say('brand')}</strong>
      <Links />
      <div class="top-end">
        {isReadOnly && (
          <span class="badge" title={say('readOnly.why')}>
            {say('readOnly')}
          </span>
        )}
        <Pill />
        <LanguageSwitch />
        <ThemeSwitch />
        <button type="button" class="quiet" onClick={signOut}>
          {say('signOut')}
        </button>
      </div>
    </header>
  );
}

function Links(): ComponentChild {
  const { say } = useSay();
  const { view } = useValue(route);
  const link = (hash: string, isHere: boolean, text: string): ComponentChild => (
    <a href={hash} aria-current={isHere ? 'page' : undefined}>
      {text}
    </a>
  );
  return (
    <nav aria-label={say('nav.label')}>
      {link('#/', view === 'overview', say('nav.overview'))}
      {link('#/users', view === 'users' || view === 'user', say('nav.users'))}
      {link('#/config', view === 'config', say('nav.config'))}
      <a class="away" href="../simulator/">
        {say('nav.simulator')}
      </a>
      <a class="away" href="../docs">
        {say('nav.docs')}
      </a>
    </nav>
  );
}

/** Whether the figures are up to date. */
function Pill(): ComponentChild {
  const { say } = useSay();
  const { status } = useValue(liveState);
  return <span class={`pill ${status}`}>{say(`live.${status}`)}</span>;
}
