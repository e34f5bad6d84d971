import { describe, expect, it } from 'vitest';
import { type Counts, readCounts } from '../../../pages/dashboard/counts.ts';
import { History, namesBelow, ratesBetween } from '../../../pages/dashboard/history.ts';

function counts(at: number, totals: object, more: object = {}): Counts {
  const read = readCounts({ at, basis: 'one', users: { online: 5, lingering: 1 }, totals, ...more });
  if (read === undefined) throw new Error('these are counts');
  return read;
}

describe('rates', () => {
  it('are the growth of the totals per second', () => {
    const earlier = counts(1_000, { logins: 10, logouts: { timeout: 3 } });
    const later = counts(3_000, { logins: 30, logouts: { timeout: 4, kick: 2 } });
    expect(ratesBetween(earlier, later)).toEqual({ logins: 10, 'logouts.timeout': 0.5, 'logouts.kick': 1 });
  });

  it.each([
    ['the totals began anew', counts(2_000, { logins: 20 }, { basis: 'two' })],
    ['the time stands still', counts(1_000, { logins: 20 })],
    ['the time went back', counts(500, { logins: 20 })],
    ['a total went back', counts(2_000, { logins: 9 })],
    ['nothing came for long', counts(60_000, { logins: 20 })],
  ])('are not known where %s', (_, later) => {
    expect(ratesBetween(counts(1_000, { logins: 10 }), later)).toEqual({});
  });

  it('of the tiles are means of the last 5 seconds', () => {
    const history = new History();
    for (let step = 0; step <= 40; step += 1) {
      // 100 a second for 15 s, then nothing.
      history.push(counts(step * 500, { logins: 50 * Math.min(step, 30) }), step * 500);
    }
    expect(history.rates['logins']).toBe(0);
    const busy = new History();
    for (let step = 0; step <= 40; step += 1)
      busy.push(counts(step * 500, { logins: 50 * step }), step * 500);
    expect(busy.rates['logins']).toBe(100);
  });

  it('begin again with the totals', () => {
    const history = new History();
    history.push(counts(0, { logins: 10 }), 0);
    history.push(counts(500, { logins: 20 }), 500);
    history.push(counts(1_000, { logins: 5 }, { basis: 'two' }), 1_000);
    expect(history.rates).toEqual({});
    history.push(counts(1_500, { logins: 6 }, { basis: 'two' }), 1_500);
    expect(history.rates).toEqual({ logins: 2 });
  });
});

describe('the history for the charts', () => {
  it('keeps one sample a second, and an hour of them', () => {
    const history = new History();
    for (let step = 0; step < 8_000; step += 1)
      history.push(counts(step * 500, { logins: step }), step * 500);
    expect(history.samples).toHaveLength(3_600);
    const [last, earlier] = [history.samples.at(-1), history.samples.at(-2)];
    expect((last?.at ?? 0) - (earlier?.at ?? 0)).toBe(1_000);
    expect(last?.values).toMatchObject({ online: 5, lingering: 1, logins: 2 });
  });

  it('breaks the lines after a silence, and draws no rate over it', () => {
    const history = new History();
    history.push(counts(0, { logins: 1 }), 0);
    history.push(counts(30_000, { logins: 900 }), 30_000);
    expect(history.samples.map(({ at }) => at)).toEqual([0, 1_000, 30_000]);
    expect(history.samples[1]?.values).toEqual({});
    expect(history.samples[2]?.values['logins']).toBeUndefined();
  });

  it('only goes forward: if the clock of the page was set back, it begins again', () => {
    const history = new History();
    history.push(counts(0, {}), 100_000);
    history.push(counts(1_000, {}), 20_000);
    expect(history.samples.map(({ at }) => at)).toEqual([20_000]);
  });

  it('has new names beside the known ones, up to a limit', () => {
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`drops.new-${index}`, 1]));
    const names = namesBelow([{ 'drops.rate': 1, 'logouts.kick': 1 }, many], {
      kind: 'drops',
      known: ['rate', 'ttl'],
      most: 4,
    });
    expect(names).toEqual(['rate', 'ttl', 'new-0', 'new-1']);
  });
});

describe('the values of the legends', () => {
  it('are those of the tiles, also between two samples', () => {
    const history = new History();
    history.push(counts(0, { logins: 1 }, { connections: 3 }), 0);
    history.push(counts(500, { logins: 1 }, { connections: 0, users: { online: 4, lingering: 4 } }), 500);
    expect(history.samples).toHaveLength(1);
    expect(history.newest).toMatchObject({ online: 4, lingering: 4, connections: 0 });
  });
});
