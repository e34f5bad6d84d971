import { describe, expect, test } from 'vitest';
import { MAX_SUSPECTS, Suspects } from '../../../src/settlement/suspects.ts';

const row = (userId: number) => ({ userId, period: 1 });

describe('Suspects', () => {
  test('[ST4] age from the moment at which they were first seen', () => {
    const suspects = new Suspects();
    expect([suspects.ageMs(row(1), 100), suspects.ageMs(row(1), 350)]).toEqual([0, 250]);
  });

  test('[ST4] begin anew once they were cleared, or all were removed', () => {
    const suspects = new Suspects();
    for (const userId of [1, 2, 3]) suspects.ageMs(row(userId), 0);
    suspects.clear(row(1));
    expect([suspects.ageMs(row(1), 500), suspects.ageMs(row(2), 500)]).toEqual([0, 500]);
    suspects.forget();
    expect(suspects.ageMs(row(3), 900)).toBe(0);
  });

  test('[ST4] free their places once a round does not see them, for those that wait', () => {
    const suspects = new Suspects();
    for (let userId = 0; userId < MAX_SUSPECTS; userId += 1) suspects.ageMs(row(userId), 0);
    const late = row(MAX_SUSPECTS);
    suspects.ageMs(late, 0);
    // Full: it was not noted.
    expect(suspects.ageMs(late, 1_000)).toBe(0);
    suspects.endRound();
    expect(suspects.ageMs(row(0), 1_000)).toBe(1_000);
    suspects.endRound();
    suspects.ageMs(late, 2_000);
    expect(suspects.ageMs(late, 3_000)).toBe(1_000);
    expect(suspects.ageMs(row(0), 3_000)).toBe(3_000);
    expect(suspects.ageMs(row(1), 3_000)).toBe(0);
  });
});
