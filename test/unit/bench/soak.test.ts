import { describe, expect, it } from 'vitest';
import { judge, type Sample } from '../../../src/cli/bench/soak.ts';

const SEEN = { joined: 100, lags: [20, 30] };

function samples(change: (minutes: number) => Partial<Sample>): readonly Sample[] {
  return Array.from({ length: 60 }, (_, minutes) => ({
    ...{ minutes, rssBytes: 100_000_000, descriptors: 30, lagMs: 25 },
    ...change(minutes),
  }));
}

describe('a soak', () => {
  it('finds nothing where nothing grows, whatever the warm-up takes', () => {
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

  it('of two looks says nothing, and says so', () => {
    expect(() => judge(samples(() => ({})).slice(0, 2), SEEN)).toThrow('too short');
  });

  it('nobody who timed out makes no lag', () => {
    const silent = samples(() => ({ lagMs: Number.NaN }));
    expect(judge(silent, { joined: 1, lags: [] })).toMatchObject({ findings: [], lagFirstMs: Number.NaN });
  });
});
