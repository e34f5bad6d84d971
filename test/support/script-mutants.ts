import { readFileSync } from 'node:fs';
import type { ScriptName } from '../../src/presence/store/redis/scripts.ts';

/** One line of one script, broken on purpose. */
export interface ScriptMutant {
  readonly part: ScriptName | 'prelude';
  readonly rule: string;
  /** What breaks. */
  readonly name: string;
  readonly from: string;
  readonly to: string;
}

const LIST = new URL('../mutants/scripts.txt', import.meta.url);

/** The list in `test/mutants/scripts.txt`, which says how to read it. */
export function readScriptMutants(): readonly ScriptMutant[] {
  const blocks = readFileSync(LIST, 'utf8').split(/\n{2,}/);
  return blocks.filter((block) => !block.startsWith('#')).map((block) => readBlock(block.trimEnd()));
}

function readBlock(block: string): ScriptMutant {
  const [title = '', ...lines] = block.split('\n');
  const [, part, rule, name] = /^(\w+) ([A-Z]{2}\d+) (.+)$/.exec(title) ?? [];
  const text = (mark: '-' | '+') =>
    lines.filter((line) => line[0] === mark || line[0] === ' ').map((line) => line.slice(1));
  if (part === undefined || rule === undefined || name === undefined || lines.length < 2)
    throw new Error(`no mutant: ${block}`);
  return {
    part: part as ScriptMutant['part'],
    rule,
    name,
    from: text('-').join('\n'),
    to: text('+').join('\n'),
  };
}
