import { describe, expect, it } from 'vitest';
import { readCounts } from '../../../pages/dashboard/counts.ts';
import { clockTime, dayAndTime, duration, measured, wholeNumber } from '../../../pages/dashboard/format.ts';
import { labelOf, sayer, TEXTS, type TextKey } from '../../../pages/dashboard/texts.ts';
import { lagNote, sumOf, type Telling } from '../../../pages/dashboard/tile-figures.ts';
import { isolated, visibleText } from '../../../pages/shared/visible-text.ts';
import { DELIVERY_STATUSES, DROP_REASONS } from '../../../src/protocol/delivery.ts';
import { LOGOUT_REASONS } from '../../../src/protocol/reasons.ts';

describe('the texts of the dashboard', () => {
  const entries = Object.entries(TEXTS);
  const placeholders = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(([name]) => name).sort();

  it.each(entries)('%s exists in both languages, with the same values', (_, [en, zh]) => {
    expect(en.trim()).not.toBe('');
    expect(zh.trim()).not.toBe('');
    expect(placeholders(zh)).toEqual(placeholders(en));
  });

  it('contain Chinese in the Chinese version', () => {
    const alike = entries.filter(([, [en, zh]]) => en === zh).map(([key]) => key);
    expect(alike.sort()).toEqual(['series.lag.p50', 'series.lag.p99', 'state.http']);
  });

  it('name every cause, status and reason of the server', () => {
    const missing = [
      ...LOGOUT_REASONS.map((name) => `cause.${name}`),
      ...DELIVERY_STATUSES.map((name) => `status.${name}`),
      ...DROP_REASONS.map((name) => `drop.${name}`),
    ].filter((key) => !(key in TEXTS));
    expect(missing).toEqual([]);
  });

  it('fit both one and many', () => {
    const plural = entries.filter(([, [en]]) => /\{(?:count|matched|bytes|total)\}\s+\w+s\b/.test(en));
    expect(plural).toEqual([]);
  });

  it('have one Chinese word for a node that drains and another for a user who logs out', () => {
    const drains = entries.filter(([key]) => /drain|undoOf/i.test(key) && key !== 'drain.text');
    expect(drains.length).toBeGreaterThan(5);
    for (const [key, [, zh]] of drains) expect(`${key} ${zh}`).not.toContain('下线');
    expect(TEXTS['nodes.drain'][1]).toBe('排空');
  });

  it('put values in their places, whatever the values contain', () => {
    const say = sayer('en');
    expect(say('users.count', { matched: '$&', total: '{matched}' })).toBe('$& of {matched}');
    expect(say('users.count' satisfies TextKey)).toBe('{matched} of {total}');
  });

  it('show an unknown name unchanged', () => {
    expect(labelOf('cause', 'kick', sayer('zh'))).toBe('被踢');
    expect(labelOf('cause', 'meteor\u202e', sayer('zh'))).toBe('meteor⟨202E⟩');
    expect(labelOf('cause', 'x'.repeat(500), sayer('en'))).toHaveLength(32);
  });
});

describe('the tiles', () => {
  const counted = (more: object = {}) =>
    readCounts({ at: 1, users: { online: 0 }, totals: {}, detectionLagMs: { count: 0, ...more } });
  const telling = (more: Partial<Telling>): Telling => ({
    ...{ last: counted(), rates: {}, say: sayer('en'), spoken: 'en' },
    ...more,
  });

  it('say "none" only of known values', () => {
    const unknown = { sum: 0, figure: '–', note: '–' };
    expect(sumOf(telling({}), 'logouts', 'cause')).toEqual(unknown);
    expect(sumOf(telling({ last: undefined }), 'messages', 'status')).toEqual(unknown);
    const rates = { logins: 0, 'logouts.kick': 0, 'drops.ttl': 2, 'drops.rate': 3 };
    expect(sumOf(telling({ rates }), 'logouts', 'cause')).toMatchObject({ figure: '0', note: 'none' });
    expect(sumOf(telling({ rates }), 'drops', 'drop')).toMatchObject({ sum: 5, figure: '5.0' });
  });

  it('show for how long no timeout was seen, which may be less than 10 s', () => {
    const note = (lag: object) => lagNote(telling({ last: counted(lag) }));
    expect(note({ overMs: 10_000 })).toBe('no open socket timed out in 10 s');
    expect(note({ overMs: 1_500 })).toBe('no open socket timed out in 1 s');
    expect([note({ overMs: 0 }), note({}), lagNote(telling({ last: undefined }))]).toEqual(['–', '–', '–']);
    expect(note({ overMs: 500, max: 50 })).toBe('at most 50 ms');
  });
});

describe('foreign text', () => {
  it.each([
    ['<b>bold</b>', '<b>bold</b>'],
    ['李白 שלום 👨‍👩‍👧‍👦', '李白 שלום 👨‍👩‍👧‍👦'],
    ['\u202egnp.exe', '⟨202E⟩gnp.exe'],
    ['a\u0000\n\t\u001b[31m', 'a⟨0⟩⟨A⟩⟨9⟩⟨1B⟩[31m'],
    ['\u2066a\u2069\u200b\ufeff', '⟨2066⟩a⟨2069⟩⟨200B⟩⟨FEFF⟩'],
    ['\ud800x', '⟨D800⟩x'],
    ['Z\u0351\u0352\u0353\u0354\u0355', 'Z\u0351\u0352\u0353'],
    ['\u{e0041}', '⟨E0041⟩'],
  ])('shows what it hides: %j', (text, shown) => {
    expect(visibleText(text)).toBe(shown);
  });

  it('is cut, between characters', () => {
    expect(Array.from(visibleText('x'.repeat(10_000)))).toHaveLength(64);
    expect(visibleText('😀'.repeat(100), 3)).toBe('😀😀…');
    expect(Array.from(visibleText('\u202e'.repeat(10_000), 10)).length).toBeLessThanOrEqual(10);
  });

  it('in a sentence keeps its direction to itself', () => {
    expect(isolated('\u2069שלום')).toBe('\u2068⟨2069⟩שלום\u2069');
  });
});

describe('numbers and times', () => {
  it.each([
    [0, '0 ms', '0 毫秒'],
    [-5, '0 ms', '0 毫秒'],
    [999, '999 ms', '999 毫秒'],
    [1_000, '1 s', '1 秒'],
    [59_999, '59 s', '59 秒'],
    [185_000, '3 min 05 s', '3 分 05 秒'],
    [7_500_000, '2 h 05 min', '2 小时 05 分'],
    [273_600_000, '3 d 04 h', '3 天 04 小时'],
  ])('%i ms is said as %s', (ms, en, zh) => {
    expect([duration(ms, 'en'), duration(ms, 'zh')]).toEqual([en, zh]);
  });

  it('are written in full, small rates with decimals', () => {
    expect([wholeNumber(1_234_567, 'en'), wholeNumber(1_234_567, 'zh')]).toEqual(['1,234,567', '1,234,567']);
    expect([0, 0.123, 5.25, 99.95, 1_234.5].map((rate) => measured(rate, 'en'))).toEqual([
      '0',
      '0.12',
      '5.3',
      '100.0',
      '1,235',
    ]);
  });

  it('that no calendar has cause no error', () => {
    expect(clockTime(Number.NaN, 'en')).toBe('–');
    expect(dayAndTime(1e20, 'zh')).toBe('–');
  });
});
