import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ACTIONS, type Action } from '../../../pages/simulator/model/actions.ts';
import type { RuleName } from '../../../pages/simulator/model/broken-rules.ts';
import { type Check, checkOf, verdictOn } from '../../../pages/simulator/model/checks.ts';
import { type Plan, type Press, TICK_MS } from '../../../pages/simulator/model/link.ts';
import { Play } from '../../../pages/simulator/model/play.ts';

const SECOND = 1000 / TICK_MS;
/** `LINGXI_TEST_PRESSES` plays more histories, each with a different seed. */
const MORE = Number(process.env['LINGXI_TEST_PRESSES'] ?? 0);
/** Many simulated minutes, on a busy machine. */
const LONG_MS = Math.max(120_000, MORE * 2000);
/** A rare long history may exceed the rules of the witnesses (docs/RELIABILITY.md), so these seeds are fixed. */
const RUNS = MORE > 0 ? { numRuns: MORE } : { numRuns: 25, seed: 1 };

const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

async function played(plan: Partial<Plan>, seconds: number): Promise<Play> {
  const play = new Play({ seed: 1, rule: 'none', presses: [], ...plan }, turn);
  await play.start();
  for (let tick = 0; tick < seconds * SECOND; tick += 1) await play.step();
  return play;
}

function at(second: number, action: Action): Press {
  return { tick: second * SECOND, action };
}

describe('a history on the page of the simulator', () => {
  it('stays exact for any actions of a visitor', { timeout: LONG_MS }, async () => {
    const presses = fc
      .array(
        fc.record({
          waits: fc.oneof(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 200 })),
          action: fc.constantFrom(...ACTIONS.filter(({ kind }) => !kind.startsWith('chance'))),
        }),
        { minLength: 10, maxLength: 80 },
      )
      .map((waiting) => {
        let tick = 0;
        return waiting.map(({ waits, action }) => {
          tick += waits;
          return { tick, action };
        });
      });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0 }), presses, async (seed, pressed) => {
        const play = await played({ seed, presses: pressed }, 60);
        expect(verdictOn(play)).toMatchObject({ violations: [], lost: 0 });
      }),
      RUNS,
    );
  });

  it('stays exact for any draws of chance', { timeout: LONG_MS }, async () => {
    for (let seed = 1; seed <= 15; seed += 1) {
      const play = await played({ seed, presses: [at(3, { kind: 'chance-on' })] }, 90);
      expect({ seed, ...verdictOn(play) }).toMatchObject({ violations: [], lost: 0 });
    }
  });

  it('stays exact when a node is killed, the store is wiped, and a failover happens', async () => {
    const presses = [
      at(3, { kind: 'kill', node: 'A' }),
      at(6, { kind: 'wipe' }),
      at(7, { kind: 'logout', user: 3 }),
      at(10, { kind: 'failover' }),
      at(13, { kind: 'start', node: 'A' }),
      at(15, { kind: 'silent', user: 1 }),
      at(16, { kind: 'close', user: 2 }),
    ];
    const play = await played({ presses }, 45);
    const verdict = verdictOn(play);
    expect(verdict).toMatchObject({ isExact: true, violations: [], pending: 0, lost: 0 });
    expect(verdict.settled).toBeGreaterThanOrEqual(3);
    for (const { state, written } of play.book.lines.values())
      expect(written).toBe(state === 'settled' ? 1 : 0);
  });

  it('shows a logout as pending while SQL is stopped, and writes it once SQL is back', async () => {
    const stopped = [at(3, { kind: 'stop-sql' }), at(4, { kind: 'logout', user: 2 })];
    expect(verdictOn(await played({ presses: stopped }, 60))).toMatchObject({
      ...{ isExact: true, pending: 1, settled: 0, lost: 0 },
    });
    const back = [...stopped, at(60, { kind: 'start-sql' })];
    expect(verdictOn(await played({ presses: back }, 75))).toMatchObject({ pending: 0, settled: 1 });
  });

  it('counts no time after the last sign of life', async () => {
    const play = await played({ presses: [at(5, { kind: 'silent', user: 2 })] }, 20);
    const line = [...play.book.lines.values()].find(({ user, state }) => user === 2 && state === 'settled');
    // The last ping plus the timeout of 10 s, for which the user still counts as online.
    expect((line?.openedAt ?? 0) + (line?.gainedMs ?? 0)).toBeLessThanOrEqual(3000 + 5000 + 10_000 + TICK_MS);
    expect(line?.reason).toBe('timeout');
  });

  it('is the same again for the same seed and actions', async () => {
    const presses = [at(2, { kind: 'chance-on' }), at(20, { kind: 'kill', node: 'A' })];
    const [first, again] = [await played({ seed: 5, presses }, 60), await played({ seed: 5, presses }, 60)];
    expect(again.trace).toEqual(first.trace);
    expect(again.log).toEqual(first.log);
    const other = await played({ seed: 6, presses }, 60);
    expect(other.trace).not.toEqual(first.trace);
  });

  it('is the same for actions by hand and for replayed ones', async () => {
    const byHand = await played({ seed: 5 }, 4);
    expect(byHand.press({ kind: 'freeze', node: 'B' })).toBe(true);
    for (let tick = 0; tick < 20 * SECOND; tick += 1) await byHand.step();
    const { presses } = byHand;
    const replayed = await played({ seed: 5, presses }, 24);
    expect(replayed.log).toEqual(byHand.log);
  });

  it('ignores actions without a meaning, and drops later planned ones', async () => {
    const planned = [at(30, { kind: 'wipe' })];
    const play = await played({ presses: planned }, 2);
    expect(play.press({ kind: 'thaw', node: 'A' })).toBe(false);
    expect(play.planned).toEqual(planned);
    expect(play.press({ kind: 'kill', node: 'A' })).toBe(true);
    expect(play.planned).toEqual([]);
    expect(play.press({ kind: 'kill', node: 'A' })).toBe(false);
  });

  const PLANTED: readonly [RuleName, Check, readonly Press[], number][] = [
    ['no-order', 'none-lost', [at(5, { kind: 'logout', user: 2 })], 6],
    ['written-twice', 'once', [at(5, { kind: 'logout', user: 2 })], 45],
    [
      'hasty-death',
      'not-back',
      [at(5, { kind: 'freeze', node: 'B' }), at(11, { kind: 'thaw', node: 'B' })],
      15,
    ],
    ['never-restored', 'not-back', [at(5, { kind: 'wipe' })], 12],
    ['absence-counts', 'exact-time', [at(5, { kind: 'silent', user: 2 })], 20],
  ];

  it.each(PLANTED)('with the rule %s broken, the check %s fails', async (rule, check, presses, seconds) => {
    const broken = await played({ seed: 7, rule, presses }, seconds);
    expect(verdictOn(broken).isExact).toBe(false);
    expect(verdictOn(broken).broken).toContain(check);
    const whole = await played({ seed: 7, presses }, seconds);
    expect(verdictOn(whole)).toMatchObject({ isExact: true, violations: [] });
  });

  it('names the check of each kind of violation', () => {
    expect(checkOf('1 ms: [ST2] 1:2 is written a second time')).toBe('once');
    expect(checkOf('1 ms: [HB1] 1:2 ended')).toBe('not-back');
    expect(checkOf('1 ms: [ST5] 1:2 ends 3 ms too early')).toBe('exact-time');
    expect(checkOf('1 ms: [PR3] user 1 got epoch 1 after 2')).toBe('other');
  });
});
