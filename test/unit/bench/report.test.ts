import { describe, expect, it } from 'vitest';
import { whyBusy } from '../../../bench/machine.ts';
import type { Report } from '../../../bench/main.ts';
import { costsOf, modelTable } from '../../../bench/report/model.ts';
import { pageWith } from '../../../bench/report/pages.ts';
import type { Cell } from '../../../bench/report/rows.ts';
import { svgOf } from '../../../bench/report/svg.ts';
import { pageTable, terminalTable } from '../../../bench/report/table.ts';
import { barsOf, plot } from '../../../src/cli/bench/plot.ts';
import { summarize } from '../../../src/cli/bench/statistics.ts';
import { textOf } from '../tidy/repository.ts';

const CELLS: readonly Cell[] = [
  { line: 'B1 opens/s, 1000 connections', subject: 'lingxi-bun', value: 1234.6, unit: '/s' },
  { line: 'B1 opens/s, 1000 connections', subject: 'floor', value: 40_000, unit: '/s' },
  {
    ...{ line: 'B1 CPU for 8 s, one ping a second each', subject: 'lingxi-bun' },
    ...{ value: 0.08, unit: 's', digits: 2 },
  },
  { line: 'B2 resident memory a connection', subject: 'lingxi-bun', value: 5, unit: 'KB', digits: 1 },
  { line: 'B2 kernel memory a connection', subject: 'lingxi-bun', value: 3, unit: 'KB', digits: 1 },
  { line: 'B3 CPU of a login', subject: 'lingxi-bun', value: 120, unit: 'µs' },
  {
    line: 'B11 Redis, 100000 users held: share of a core',
    subject: 'lingxi-bun-redis',
    value: 10,
    unit: '%',
  },
  {
    line: 'B11 Redis, 100000 users held: memory a user',
    subject: 'lingxi-bun-redis',
    value: 600,
    unit: 'bytes',
  },
];

describe('the comparison table', () => {
  it('has a column for each server, in one order, and marks what was not measured', () => {
    expect(terminalTable(CELLS.slice(0, 3))).toEqual([
      '                                           floor (C)  Lingxi, Bun',
      'B1 opens/s, 1000 connections                  40,000        1,235',
      'B1 CPU for 8 s, one ping a second each, s          –         0.08',
    ]);
    expect(pageTable(CELLS.slice(0, 1))).toEqual([
      '|  | Lingxi, Bun |',
      '| --- | ---: |',
      '| B1 opens/s, 1000 connections | 1,235 |',
    ]);
  });
});

describe('the model', () => {
  it('multiplies the cost of one user', () => {
    const costs = costsOf(CELLS, 'lingxi-bun');
    expect(costs.ping).toBeCloseTo(10);
    expect(costs).toMatchObject({ connection: 8_192, login: 120, redisBytes: 600 });
    expect(costs.redisShare).toBeCloseTo(1e-6);
    const table = modelTable(costs);
    expect(table).toContain('| cores for pings, one a second each | 0.10 | 1.00 | 10.00 |');
    expect(table).toContain('| Redis: cores, and as many primaries at least | 0.01 | 0.10 | 1.00 |');
  });

  it('shows a question mark if a figure is missing', () => {
    expect(modelTable(costsOf([], 'lingxi-bun')).at(-1)).toBe('| Redis: memory | ? | ? | ? |');
  });
});

describe('a histogram', () => {
  const summary = summarize([0.05, 3, 4, 4, 70_000]);

  it('shows the buckets from the first to the last non-empty one', () => {
    const bars = barsOf(summary);
    expect(bars[0]).toEqual({ label: '<= 0.1 ms', count: 1, share: 0.2 });
    expect(bars.at(-1)).toEqual({ label: '> 10000 ms', count: 1, share: 0.2 });
    expect(bars.find(({ count }) => count === 3)?.label).toBe('<= 5 ms');
    expect(plot('Delivery', summary)[0]).toBe('Delivery');
  });

  it('of nothing says so', () => {
    expect(plot('Delivery', summarize([]))).toEqual(['Delivery: nothing arrived']);
  });

  it('is a picture whose title cannot break it', () => {
    const svg = svgOf('a <b> & "c"', summary);
    expect(svg).toContain('<title>a &lt;b&gt; &amp; &quot;c&quot;</title>');
    expect(svg.match(/<rect /g)).toHaveLength(barsOf(summary).length);
  });
});

describe('a busy machine', () => {
  it.each([
    [{ coreShare: 0.99, floorPerSecond: 100 }, { coreShare: 0.97, floorPerSecond: 60 }, undefined],
    [{ coreShare: 0.99, floorPerSecond: 100 }, { coreShare: 0.5, floorPerSecond: 100 }, /got 50 % of one/],
    [{ coreShare: 0.99, floorPerSecond: 49 }, { coreShare: 0.99, floorPerSecond: 100 }, /sent 49 .* and 100/],
    [
      { coreShare: 0.99, floorPerSecond: undefined },
      { coreShare: 0.9, floorPerSecond: undefined },
      undefined,
    ],
  ])('%j and %j: %s', (before, after, sentence) => {
    const why = whyBusy([before, after]);
    if (sentence === undefined) expect(why).toBeUndefined();
    else expect(why).toMatch(sentence);
  });
});

describe('docs/PERFORMANCE.md', () => {
  const report: Report = {
    ...{ gaps: [], busy: undefined, seconds: 590 },
    machine: {
      ...{ date: '2026-12-01', commit: 'abc', cores: 2, processor: 'one', memoryGb: 24, system: 'linux' },
      ...{ versions: { node: '20' }, load: 0 },
    },
    measured: [
      {
        scenario: { names: ['B7'], title: 'detection' },
        outcome: {
          cells: CELLS,
          curves: [{ id: 'detection', title: 'Detection', summary: summarize([1]) }],
          rows: [{ what: 'B7 99 %', measured: '120 ms', goal: '<= 100 ms', met: false }],
        },
      },
    ],
  };

  it('gets the table, the histograms and the model between its marks, each time that it is written', () => {
    const once = pageWith(textOf('docs/PERFORMANCE.md') ?? '', report);
    for (const part of [
      '2026-12-01, commit abc, in 590 s',
      '| B7 99 % | 120 ms | <= 100 ms |',
      '![Detection](performance/detection.svg)',
      '| cores for pings, one a second each | 0.10 | 1.00 | 10.00 |',
    ])
      expect(once).toContain(part);
    expect(pageWith(once, report)).toBe(once);
  });

  it('without its marks is refused', () => {
    expect(() => pageWith('', report)).toThrow('docs/PERFORMANCE.md has no marks of its table');
  });
});
