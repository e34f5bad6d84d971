import { lastingStorage } from './storage.ts';
import { Value } from './value.ts';

export type Theme = 'light' | 'dark';

const NAME = 'lingxi-theme';
const system = matchMedia('(prefers-color-scheme: dark)');

/** The present theme. It follows the system until the user chooses one. `:root` has it as `data-theme`. */
export const theme = new Value<Theme>(chosen() ?? ofSystem());

system.addEventListener('change', () => theme.set(chosen() ?? ofSystem()));
theme.subscribe(show);
show();

export function chooseTheme(next: Theme): void {
  // If the choice equals that of the system, nothing is stored. So the page follows the system again.
  lastingStorage.set(NAME, next === ofSystem() ? undefined : next);
  theme.set(next);
}

function chosen(): Theme | undefined {
  const stored = lastingStorage.get(NAME);
  return stored === 'light' || stored === 'dark' ? stored : undefined;
}

function ofSystem(): Theme {
  return system.matches ? 'dark' : 'light';
}

function show(): void {
  document.documentElement.dataset['theme'] = theme.now;
}
