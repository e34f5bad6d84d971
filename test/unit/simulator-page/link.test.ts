import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ACTIONS, actionOf, codeOf } from '../../../pages/simulator/model/actions.ts';
import { RULE_NAMES } from '../../../pages/simulator/model/broken-rules.ts';
import {
  linkOf,
  MAX_PRESSES,
  MAX_SEED,
  MAX_TICKS,
  type Press,
  readLink,
} from '../../../pages/simulator/model/link.ts';

const plans = fc.record({
  seed: fc.integer({ min: 0, max: MAX_SEED }),
  rule: fc.constantFrom(...RULE_NAMES),
  presses: fc
    .array(fc.record({ waits: fc.integer({ min: 0, max: 100 }), action: fc.constantFrom(...ACTIONS) }), {
      maxLength: 100,
    })
    .map((waiting) => {
      let tick = 0;
      return waiting.map(({ waits, action }): Press => {
        tick += waits;
        return { tick, action };
      });
    }),
});

describe('the link of a history', () => {
  it('has a different code for each action', () => {
    const codes = ACTIONS.map(codeOf);
    expect(new Set(codes).size).toBe(ACTIONS.length);
    expect(codes.map(actionOf)).toEqual(ACTIONS);
  });

  it('returns its contents unchanged', () => {
    fc.assert(
      fc.property(plans, fc.integer({ min: 0, max: MAX_TICKS }), (plan, at) => {
        expect(readLink(linkOf(plan, at))).toEqual({ ...plan, at, isDamaged: false });
      }),
    );
  });

  it('may be any text: its values are within the bounds', () => {
    const texts = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc
        .array(
          fc.constantFrom(
            '#',
            'seed=',
            'do=',
            'at=',
            'rule=',
            '&',
            '~',
            '.',
            '0',
            'zz',
            'kA',
            '%00',
            '-1',
            'none',
            '__proto__',
            '9e9',
          ),
        )
        .map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const link = readLink(`#seed=5&${text}`) ?? readLink(text);
        if (link === undefined) return;
        expect(link.seed).toBeLessThanOrEqual(MAX_SEED);
        expect(link.at).toBeLessThanOrEqual(MAX_TICKS);
        expect(link.presses.length).toBeLessThanOrEqual(MAX_PRESSES);
        expect(RULE_NAMES).toContain(link.rule);
        let last = 0;
        for (const { tick, action } of link.presses) {
          expect(tick).toBeGreaterThanOrEqual(last);
          expect(tick).toBeLessThanOrEqual(MAX_TICKS);
          expect(actionOf(codeOf(action))).toEqual(action);
          last = tick;
        }
      }),
      { numRuns: 500 },
    );
  });

  it('reports damaged links, and keeps the part before the damage', () => {
    expect(readLink('#seed=1&do=5.kA~1.??~1.w')).toMatchObject({
      isDamaged: true,
      presses: [{ tick: 5, action: { kind: 'kill', node: 'A' } }],
    });
    expect(readLink('#seed=1&rule=__proto__')).toMatchObject({ isDamaged: true, rule: 'none' });
    expect(readLink('#seed=1&rule=toString')).toMatchObject({ isDamaged: true, rule: 'none' });
    expect(readLink('#seed=1&at=zzzzzzz')).toMatchObject({ isDamaged: true, at: 0 });
    expect(readLink(`#seed=1&do=${'0.w~'.repeat(5000)}`)).toMatchObject({ isDamaged: true });
    for (const hash of ['', '#', '#seed=', '#seed=-1', '#seed=4294967296', '#seed=1e5', '#<img>'])
      expect(readLink(hash)).toBeUndefined();
  });
});
