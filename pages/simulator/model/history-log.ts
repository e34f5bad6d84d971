import type { Action } from './actions.ts';

/** One line of a history. Each language has its own sentence for it. */
export type Told =
  | { readonly kind: 'press'; readonly action: Action; readonly byChance: boolean }
  | { readonly kind: 'connected'; readonly user: number; readonly tab: string; readonly node: string }
  | { readonly kind: 'closed'; readonly user: number; readonly node: string; readonly code: number }
  | { readonly kind: 'refused'; readonly user: number; readonly node: string; readonly why: string }
  | { readonly kind: 'ended'; readonly user: number; readonly period: number; readonly why: string }
  | {
      readonly kind: 'settled' | 'corrected' | 'repeated' | 'twice';
      readonly user: number;
      readonly period: number;
      readonly gainedMs: number;
    }
  | { readonly kind: 'lost'; readonly user: number; readonly period: number }
  | { readonly kind: 'promoted' | 'full' }
  | { readonly kind: 'violated'; readonly text: string };

export type Entry = Told & { readonly tick: number };

const PATTERNS: readonly [RegExp, (...found: readonly string[]) => Told][] = [
  [
    /^(\d)(\w) is connected to (\w+), epoch/,
    (user = '', tab = '', node = '') => ({ kind: 'connected', user: Number(user), tab, node }),
  ],
  [
    /^(\w+) closes the socket of (\d)\w: (\d+)/,
    (node = '', user = '', code = '') => ({ kind: 'closed', user: Number(user), node, code: Number(code) }),
  ],
  [
    /^(\d)\w is refused by (\w+): (\S+)$/,
    (user = '', node = '', why = '') => ({ kind: 'refused', user: Number(user), node, why }),
  ],
  [
    /^Redis ends (\d):(\d+) for (\S+) at/,
    (user = '', period = '', why = '') => ({
      kind: 'ended',
      user: Number(user),
      period: Number(period),
      why,
    }),
  ],
  [/^VIOLATION (.*)$/, (text = '') => ({ kind: 'violated', text })],
];

/** What a line of the simulator's trace means to a visitor; undefined if nothing. */
export function toldBy(line: string): Told | undefined {
  const text = line.replace(/^ *\d+ /, '');
  for (const [pattern, read] of PATTERNS) {
    const found = pattern.exec(text);
    if (found !== null) return read(...found.slice(1));
  }
  return undefined;
}
