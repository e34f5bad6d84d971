import { describe, expect, test } from 'vitest';
import { MAX_SUSPECTS, Suspects } from '../../../src/settlement/suspects.ts';

const row = (userId: number) => ({ userId, period: 1 });

describe('Suspects', () => {
  test('[ST4] count their age from the first check, once a third check found them unknown', () => {
    const suspects = new Suspects();
    expect([100, 200, 350].map((now) => suspects.ageMs(row(1), now))).toEqual([0, 0, 250]);
  });

  test('[ST4] begin again once they were cleared, or all were removed', () => {
    const suspects = new Suspects();
    for (const now of [0, 100]) for (const userId of [1, 2, 3]) suspects.ageMs(row(userId), now);
    suspects.clear(row(1));
    expect([suspects.ageMs(row(1), 500), suspects.ageMs(row(2), 500)]).toEqual([0, 500]);
    suspects.forget();
    expect(suspects.ageMs(row(3), 900)).toBe(0);
  });

  test('[ST4] free their places for waiting ones once a round does not see them', () => {
    const suspects = new Suspects();
    for (let userId = 0; userId < MAX_SUSPECTS; userId += 1) suspects.ageMs(row(userId), 0);
    const late = row(MAX_SUSPECTS);
    // The list is full, so it is never recorded.
    for (const now of [0, 500, 1_000]) expect(suspects.ageMs(late, now)).toBe(0);
    suspects.endRound();
    suspects.ageMs(row(0), 500);
    expect(suspects.ageMs(row(0), 1_000)).toBe(1_000);
    suspects.endRound();
    for (const now of [2_000, 2_500]) suspects.ageMs(late, now);
    expect(suspects.ageMs(late, 3_000)).toBe(1_000);
    expect(suspects.ageMs(row(0), 3_000)).toBe(3_000);
    for (const now of [3_000, 3_100]) expect(suspects.ageMs(row(1), now)).toBe(0);
  });
});
