import { describe, expect, it } from 'vitest';
import { UserFacts } from '../../support/ledger/facts.ts';
import { judgeClosings } from '../../support/ledger/judge-events.ts';
import { UserCase } from '../../support/ledger/user-case.ts';
import { NodeLife, World } from '../../support/ledger/world.ts';

const START = 1_000_000;
const AGAIN = START + 5_000;
const TIMEOUTS = { socket: 2_000, http: 2_000 };

/** A socket opened at `START`; the period of a login by HTTP began at `period`; a logout right after it was denied. */
function judge(period: number, epoch: number | undefined): string[] {
  const world = new World(TIMEOUTS.socket);
  const life = new NodeLife('n1');
  world.lives.push(life);
  const facts = new UserFacts(1);
  const login = { life, outcome: 'in', code: undefined } as const;
  const welcome = { period: START, epoch: START, resumed: false };
  facts.logins.push({ ...login, via: 'v1', from: START - 10, to: START, welcome, loginTime: undefined });
  facts.logins.push({
    ...login,
    ...{ via: 'http', from: AGAIN - 10, to: AGAIN, welcome: undefined, loginTime: period },
  });
  facts.denials.push({
    ...{ life, from: AGAIN + 100, to: AGAIN + 110, what: 'logout' },
    ...(epoch === undefined ? {} : { epoch }),
  });
  const row = { userId: 1, lastSeenAt: AGAIN, reason: 'timeout', logoutAt: AGAIN + 2_000, node: 'n1' };
  const rows = [{ ...row, period, loginAt: period, settledAt: AGAIN + 3_000 }];
  const user = new UserCase({ facts, rows, time: AGAIN + 2_000, world, timeouts: TIMEOUTS });
  return judgeClosings(user).map(({ text }) => text);
}

describe('the ledger judges a logout with the answer "not online"', () => {
  it('[PR7] by the open period: an earlier epoch ends nothing', () => {
    expect(judge(AGAIN - 5, START)).toEqual([]);
    expect(judge(START, START).join()).toContain('got "not online"');
  });

  it('by the last proof if it names no epoch', () => {
    expect(judge(AGAIN - 5, undefined).join()).toContain('got "not online"');
  });
});
