import { describe, expect, it } from 'vitest';
import { CLOSES } from '../../../src/protocol/close-codes.ts';
import { LOGOUT_REASONS } from '../../../src/protocol/reasons.ts';
import { LOGOUTS, sentenceOf } from '../../../src/protocol/timeline-sentences.ts';

/** Every entry that the timeline may have. */
const ENTRIES: readonly (readonly [event: string, cause: string])[] = [
  ['online', 'login'],
  ['connected', 'socket'],
  ['replaced', 'newer-connection'],
  ...[...Object.keys(CLOSES), 'abandoned'].map((cause) => ['disconnected', cause] as const),
  ['released', 'timeout'],
  ['released', 'node-lost'],
  ...LOGOUT_REASONS.map((reason) => ['offline', reason] as const),
];

describe('the sentences of lingxi why', () => {
  it.each(ENTRIES)('%s by %s has its own sentence in English and Chinese', (event, cause) => {
    const [en, zh] = (['en', 'zh'] as const).map((language) =>
      sentenceOf({ event, cause, reason: undefined }, language),
    );
    expect(en).toMatch(/^[A-Z][ -~]+[A-Za-z)]$/);
    expect(zh).toMatch(/[\u4e00-\u9fff]/);
    const others = ENTRIES.filter((entry) => entry[0] !== event || entry[1] !== cause);
    expect(others.map(([e, c]) => sentenceOf({ event: e, cause: c, reason: undefined }, 'en'))).not.toContain(
      en,
    );
  });

  it('shows unknown values unchanged', () => {
    expect(sentenceOf({ event: 'moved', cause: 'rebalance', reason: undefined }, 'en')).toBe(
      'moved: rebalance',
    );
    expect(sentenceOf({ event: 'offline', cause: 'toString', reason: undefined }, 'en')).toBe(
      'Offline: toString',
    );
  });

  it('repeats the reason of the service', () => {
    const kick = { event: 'offline', cause: 'kick', reason: 'cheating' };
    expect(sentenceOf(kick, 'en')).toBe(`Offline: ${LOGOUTS.kick.en}, and said: cheating`);
    expect(sentenceOf(kick, 'zh')).toBe(`下线：${LOGOUTS.kick.zh}，说明：cheating`);
  });
});
