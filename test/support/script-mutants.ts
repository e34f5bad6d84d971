import { readFileSync } from 'node:fs';
import type { ScriptName } from '../../src/presence/store/redis/scripts.ts';
import type { StoryName } from './script-stories.ts';

/** One line of one script, broken on purpose. */
export interface ScriptMutant {
  readonly part: ScriptName | 'prelude';
  readonly rule: string;
  /** What shows it: the seed of a history of the model test, or a story of its own. */
  readonly shownBy: number | StoryName;
  /** What breaks. */
  readonly name: string;
  readonly from: string;
  readonly to: string;
}

const LIST = new URL('../mutants/scripts.txt', import.meta.url);
const TITLE = /^(\w+) ([A-Z]{2}\d+) (\d+|[a-z-]+:) (.+)$/;

/** The list in `test/mutants/scripts.txt`, which says how to read it. */
export function readScriptMutants(): readonly ScriptMutant[] {
  const blocks = readFileSync(LIST, 'utf8').split(/\n{2,}/);
  return blocks.filter((block) => !block.startsWith('#')).map((block) => readBlock(block));
}

function readBlock(block: string): ScriptMutant {
  const [title = '', ...lines] = block.trimEnd().split('\n');
  const [, part, rule, shown = '', name] = TITLE.exec(title) ?? [];
  if (part === undefined || rule === undefined || name === undefined) throw new Error(`no mutant: ${block}`);
  const textWith = (mark: '-' | '+'): string =>
    lines.flatMap((line) => (line[0] === mark || line[0] === ' ' ? [line.slice(1)] : [])).join('\n');
  const [from, to] = [textWith('-'), textWith('+')];
  const shownBy = shown.endsWith(':') ? (shown.slice(0, -1) as StoryName) : Number(shown);
  return { part: part as ScriptMutant['part'], rule, shownBy, name, from, to };
}
