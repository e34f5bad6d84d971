import { describe, expect, it } from 'vitest';
import {
  judge,
  MINUTES_FOR_MEMORY,
  type Sample,
  sampleLine,
  verdictOf,
} from '../../../src/cli/bench/soak.ts';

const SEEN = { joined: 100, lags: [20, 30] };

function samples(change: (minutes: number) => Partial<Sample>): readonly Sample[] {
  return Array.from({ length: 60 }, (_, minutes) => ({
    ...{ minutes, rssBytes: 100_000_000, descriptors: 30, lagMs: 25 },
    ...change(minutes),
  }));
}

describe('a soak', () => {
  it('finds nothing if nothing grows, whatever the warm-up adds', () => {
    const steady = samples((minutes) => (minutes < 10 ? { rssBytes: 50_000_000, descriptors: 5 } : {}));
    expect(judge(steady, SEEN)).toMatchObject({ findings: [], bytesPerMinute: 0 });
  });

  it.each([
    [
      'memory',
      (minutes: number) => ({ rssBytes: 100_000_000 + minutes * 1_000_000 }),
      /memory grew by 44.0 MB/,
    ],
    ['descriptors', (minutes: number) => ({ descriptors: 30 + minutes }), /grew from 45 to 89/],
    ['the lag', (minutes: number) => ({ lagMs: minutes < 40 ? 25 : 250 }), /lag grew from 25.0 to 250.0 ms/],
  ])('finds %s that grows', (_, change, sentence) => {
    const { findings } = judge(samples(change), SEEN);
    expect(findings).toHaveLength(1);
    expect(findings[0]).toMatch(sentence);
  });

  it('reports the slope of the memory after the warm-up', () => {
    const growing = samples((minutes) => ({ rssBytes: 100_000_000 + minutes * 1_000 }));
    expect(judge(growing, SEEN).bytesPerMinute).toBeCloseTo(1_000);
  });

  it('with less than ten minutes after the warm-up has no verdict on memory, and claims none', () => {
    const growing = samples((minutes) => ({ minutes: minutes / 60, rssBytes: 1e8 + minutes * 1e7 }));
    const report = judge(growing, SEEN);
    expect(report).toMatchObject({ findings: [], bytesPerMinute: undefined });
    expect(verdictOf(report)).toEqual([
      'No growth of open descriptors and the detection lag. Too short to say whether memory grows: give more minutes.',
    ]);
  });

  it('of the minutes that it asks for has a verdict on memory', () => {
    const report = judge(
      samples((index) => ({ minutes: (index * MINUTES_FOR_MEMORY) / 60 })),
      SEEN,
    );
    expect(report.bytesPerMinute).toBe(0);
    expect(verdictOf(report)).toEqual(['Nothing grew.']);
  });

  it('without a timeout does not claim that the lag did not grow', () => {
    const silent = judge(
      samples(() => ({ lagMs: Number.NaN })),
      SEEN,
    );
    expect(verdictOf(silent).join()).toBe(
      'No growth of memory and open descriptors. Too short to say whether the detection lag grows: give more minutes.',
    );
  });

  it('labels a line by minutes and seconds', () => {
    const line = sampleLine({ minutes: 1.17, rssBytes: 1e8, descriptors: 30, lagMs: 25 });
    expect(line).toBe('1 min 10 s: 100.0 MB, 30 descriptors, detection lag 25.0 ms');
  });

  it('with two samples has no verdict, and says so', () => {
    expect(() => judge(samples(() => ({})).slice(0, 2), SEEN)).toThrow('too short');
  });

  it('without a timeout there is no lag', () => {
    const silent = samples(() => ({ lagMs: Number.NaN }));
    expect(judge(silent, { joined: 1, lags: [] })).toMatchObject({ findings: [], lagFirstMs: Number.NaN });
  });
});
