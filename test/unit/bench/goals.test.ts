import { describe, expect, it } from 'vitest';
import { limitOf } from '../../../bench/limit.ts';
import { announcement } from '../../../bench/main.ts';
import { bounded, linesOf, none, unmeasured, withoutSpeedGoals } from '../../../bench/report/rows.ts';
import { NAMES } from '../../../bench/scenarios/all.ts';

describe('a quick run', () => {
  it('shows figures without goals on speed, and keeps the checks', () => {
    const rows = withoutSpeedGoals([
      bounded('latency', 9, { atMost: 3, unit: ' ms' }),
      unmeasured('× floor', 'there is no floor'),
      none('lost messages', 2),
    ]);
    expect(linesOf(rows)).toEqual([
      'latency         9 ms',
      '× floor         not measured: there is no floor',
      'lost messages   2   goal 0: MISSED',
    ]);
  });
});

describe('the limit', () => {
  const idle = { ms: 1_000, cpuMs: 240 };
  const full = { ms: 1_000, cpuMs: 990 };

  it('at a fixed pace is the pace if both had time left', () => {
    expect(limitOf('pace', idle, idle)).toBe('the pace (server 24 % of a core, load 24 %)');
  });

  it('as fast as possible is neither if both had time left', () => {
    expect(limitOf('fast', idle, idle)).toMatch(/^neither \(.*\): other work on the machine, or waiting$/);
  });

  it.each(['pace', 'fast'] as const)('with %s is the process that used a whole core', (sending) => {
    expect(limitOf(sending, full, idle)).toMatch(/^the server/);
    expect(limitOf(sending, idle, full)).toMatch(/^the load .*: the server could do more$/);
  });
});

describe('the first line of a run', () => {
  it('says what runs, how long, what to leave alone, how to run less, and that Ctrl-C is safe', () => {
    expect(announcement({ isQuick: false, only: NAMES })).toBe(
      'Running all scenarios with all cores, about 10 minutes. Nothing else should run meanwhile. --quick (2 minutes) or --only B3,B4 run less. Ctrl-C is safe: it ends all servers.',
    );
    expect(announcement({ isQuick: true, only: ['B3'] })).toContain(
      'Running the scenarios B3 with all cores, part of 2 minutes.',
    );
  });
});
