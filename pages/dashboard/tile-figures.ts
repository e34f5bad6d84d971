import type { Language } from '../shared/language.ts';
import type { Counts } from './counts.ts';
import { duration, measured } from './format.ts';
import { labelOf, type Say } from './texts.ts';

/** Shown for an unknown value. It never means "none", which is a known value. */
export const UNKNOWN = '–';

export interface Telling {
  readonly last: Counts | undefined;
  /** Empty until there are two events to compare, and after the totals begin again. */
  readonly rates: Readonly<Record<string, number>>;
  readonly say: Say;
  readonly spoken: Language;
}

type Part = 'cause' | 'status' | 'drop';

/** The sum of all rates with this name as a prefix, and its parts, the largest first. */
export function sumOf(
  { last, rates, say, spoken }: Telling,
  name: 'logouts' | 'messages' | 'drops',
  kind: Part,
): { readonly sum: number; readonly figure: string; readonly note: string } {
  if (last === undefined || Object.keys(rates).length === 0)
    return { sum: 0, figure: UNKNOWN, note: UNKNOWN };
  const parts = Object.entries(rates)
    .filter(([key, rate]) => key.startsWith(`${name}.`) && rate > 0)
    .sort(([, left], [, right]) => right - left);
  const sum = parts.reduce((total, [, rate]) => total + rate, 0);
  const note = parts
    .map(([key, rate]) => `${labelOf(kind, key.slice(name.length + 1), say)} ${measured(rate, spoken)}`)
    .join(' · ');
  return { sum, figure: measured(sum, spoken), note: note === '' ? say('tile.none') : note };
}

/** The largest lag, or the time without any. */
export function lagNote({ last, say, spoken }: Telling): string {
  const { max, overMs } = last?.lag ?? { max: null, overMs: 0 };
  if (max !== null) return say('tile.max', { time: duration(max, spoken) });
  return overMs === 0 ? UNKNOWN : say('tile.noTimeouts', { time: duration(overMs, spoken) });
}
