import { type Action, actionOf, codeOf } from './actions.ts';
import { isRule, type RuleName } from './broken-rules.ts';

/** Simulated time moves in ticks. Every action of a visitor happens between two ticks. */
export const TICK_MS = 50;
/** A history ends after ten simulated minutes. */
export const MAX_TICKS = 12_000;
export const MAX_PRESSES = 1000;
export const MAX_SEED = 4_294_967_295;
/** Longer than the text of {@link MAX_PRESSES} actions. */
const MAX_LINK_LENGTH = 12_000;

export interface Press {
  readonly tick: number;
  readonly action: Action;
}

/** Everything that defines a history. */
export interface Plan {
  readonly seed: number;
  /** The rule that the visitor broke on purpose. */
  readonly rule: RuleName;
  readonly presses: readonly Press[];
}

export interface Link extends Plan {
  /** The tick at which the link was copied. */
  readonly at: number;
  /** Parts of the text without a meaning, which were omitted. */
  readonly isDamaged: boolean;
}

/** The part of an address after `#`. */
export function linkOf({ seed, rule, presses }: Plan, at: number): string {
  let last = 0;
  const told = presses.map(({ tick, action }) => {
    const since = tick - last;
    last = tick;
    return `${since.toString(36)}.${codeOf(action)}`;
  });
  const parts = [`seed=${seed}`];
  if (rule !== 'none') parts.push(`rule=${rule}`);
  if (told.length > 0) parts.push(`do=${told.join('~')}`);
  if (at > 0) parts.push(`at=${at.toString(36)}`);
  return `#${parts.join('&')}`;
}

/** Reads any text. Undefined: it has no seed, so there is no history to play. */
export function readLink(hash: string): Link | undefined {
  const text = hash.replace(/^#/, '');
  if (text === '') return undefined;
  const isShort = text.length <= MAX_LINK_LENGTH;
  const parts = new Map(
    text
      .slice(0, MAX_LINK_LENGTH)
      .split('&')
      .map((part): [string, string] => {
        const [name = '', ...rest] = part.split('=');
        return [name, rest.join('=')];
      }),
  );
  const seed = readSeed(parts.get('seed') ?? '');
  if (seed === undefined) return undefined;
  const rule = parts.get('rule') ?? 'none';
  const { presses, isWhole } = readPresses(parts.get('do') ?? '');
  const at = readNumber(parts.get('at') ?? '0', 36, MAX_TICKS);
  const isKnown = [...parts.keys()].every((name) => ['seed', 'rule', 'do', 'at'].includes(name));
  return {
    seed,
    presses,
    rule: isRule(rule) ? rule : 'none',
    at: at ?? 0,
    isDamaged: !isShort || !isKnown || !isWhole || !isRule(rule) || at === undefined,
  };
}

export function readSeed(text: string): number | undefined {
  return readNumber(text.trim(), 10, MAX_SEED);
}

function readPresses(text: string): { presses: readonly Press[]; isWhole: boolean } {
  const presses: Press[] = [];
  if (text === '') return { presses, isWhole: true };
  let tick = 0;
  for (const part of text.split('~')) {
    const [since = '', code = '', ...more] = part.split('.');
    const waited = readNumber(since, 36, MAX_TICKS);
    const action = actionOf(code);
    const isGood = waited !== undefined && action !== undefined && more.length === 0;
    // The actions after this one would come at a wrong time.
    if (!isGood || tick + waited > MAX_TICKS || presses.length >= MAX_PRESSES)
      return { presses, isWhole: false };
    tick += waited;
    presses.push({ tick, action });
  }
  return { presses, isWhole: true };
}

function readNumber(text: string, base: 10 | 36, max: number): number | undefined {
  const digits = base === 10 ? /^\d{1,10}$/ : /^[\da-z]{1,6}$/;
  if (!digits.test(text)) return undefined;
  const value = Number.parseInt(text, base);
  return value <= max ? value : undefined;
}
