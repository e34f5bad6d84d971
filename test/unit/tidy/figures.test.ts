import { describe, expect, it } from 'vitest';
import { textOf } from './repository.ts';

const { pageOf } = (await import(new URL('../../../scripts/figures/page.mjs', import.meta.url).href)) as {
  readonly pageOf: (figures: object) => string;
};

const RELIABILITY = textOf('docs/RELIABILITY.md') ?? '';
/** A bound has a word such as "within" in "within 2 s". A measured value has none, or is a range such as "2 to 3 s". */
const DURATION = /(\S+ \S+ )?\b\d[\d.,]* ?(?:ms|s|seconds|minutes)\b/g;
const BOUND = /(?:within|at most|over|in|timeout \+) $/;
const RANGE = /\d to \d/;

interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** The first table below a heading. */
function tableBelow(page: string, heading: string): Table {
  const [, section = ''] = page.split(`${heading}\n`);
  const [table = ''] = /(?:^\|.*\n)+/m.exec(section) ?? [];
  const lines = table.trimEnd().split('\n').map(cellsOf);
  return { head: lines[0] ?? [], rows: lines.slice(2) };
}

function cellsOf(line: string): readonly string[] {
  return line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
}

/** Cells with a measured value: a range, or a duration in the column of targets that is not a bound. */
function measuredIn({ head, rows }: Table): readonly string[] {
  const target = head.indexOf('target');
  return rows.flatMap((cells) =>
    cells.filter(
      (cell, column) =>
        RANGE.test(cell) ||
        (column === target && [...cell.matchAll(DURATION)].some(([, words = '']) => !BOUND.test(words))),
    ),
  );
}

describe('docs/FIGURES.md', () => {
  it('is what `npm run figures` writes from docs/figures.json', () => {
    expect(textOf('docs/FIGURES.md')).toBe(pageOf(JSON.parse(textOf('docs/figures.json') ?? '') as object));
  });
});

describe('docs/RELIABILITY.md has targets, no measured values', () => {
  it.each([
    ['## Targets', ['test', 'target', 'how to repeat it']],
    ['### Scenarios', ['scenario', 'what happens', 'target']],
  ] as const)('%s', (heading, head) => {
    const table = tableBelow(RELIABILITY, heading);
    expect(table.head).toEqual(head);
    expect(table.rows.length).toBeGreaterThan(5);
    expect(measuredIn(table)).toEqual([]);
  });

  it.each([
    'settled 10.3 to 11.3 s after the death',
    'ready after 440 ms',
    'all within 3 s, back 90 ms later',
  ])('a measured value is reported: %s', (cell) => {
    const page = `### Scenarios\n\n| scenario | what happens | target |\n| --- | --- | --- |\n| 2 | a | ${cell} |\n`;
    expect(measuredIn(tableBelow(page, '### Scenarios'))).toEqual([cell]);
  });
});
