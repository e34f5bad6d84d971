import { describe, expect, it } from 'vitest';
import { lateness } from '../../../src/cli/doctor/timeout-checks.ts';

const TIMEOUT_MS = 10_000;
const closedAfter = (ms: number) => lateness({ code: 4100, reason: '', at: 500 + ms }, 500, TIMEOUT_MS);

describe("the doctor's check of the timeout", () => {
  it('[HB1] accepts a close at the timeout, and up to 0.2 s later', () => {
    expect([closedAfter(TIMEOUT_MS), closedAfter(TIMEOUT_MS + 200)]).toEqual([0, 200]);
  });

  it('[HB1] refuses a close that is too early', () => {
    expect(() => closedAfter(TIMEOUT_MS - 2)).toThrow('closed 4100 9.998 s after the last ping');
  });

  it('[HB5] says what is right, and that a machine may have stood still, if the close is too late', () => {
    expect(() => closedAfter(TIMEOUT_MS + 256)).toThrow(
      'closed 4100 10.256 s after the last ping, at most 10.2 s are right: if this machine or that of the server stood still meanwhile, run the doctor again; such a server logs stall-credited',
    );
  });
});
