import { describe, expect, it } from 'vitest';
import { type Beat, type Login, UserFacts } from '../../support/ledger/facts.ts';
import { judgeTimes } from '../../support/ledger/judge-rows.ts';
import { UserCase } from '../../support/ledger/user-case.ts';
import { NodeLife, World } from '../../support/ledger/world.ts';

const START = 1_000_000;
const TIMEOUTS = { socket: 2_000, http: 3_000 };
const BEAT_AT = START + 5_000;

/**
 * A user whose last heartbeat was at `BEAT_AT`. Then the user was refused, or sent a heartbeat by HTTP without an answer, and
 * lost the node. Returns the findings for a logout at `logoutAt`.
 */
function judge(
  logoutAt: number,
  refusal: Partial<Login> | undefined,
  unanswered?: Partial<Beat>,
  timeouts = TIMEOUTS,
): string[] {
  const world = new World(timeouts.socket);
  const life = new NodeLife('n1');
  Object.assign(life, { end: 'killed', endedAt: BEAT_AT + 100 });
  world.lives.push(life);
  const facts = new UserFacts(1);
  const login = { via: 'v1', life, from: START - 10, to: START, outcome: 'in' } as const;
  const welcome = { period: START, epoch: START, resumed: false };
  facts.logins.push({ ...login, welcome, loginTime: undefined, code: undefined });
  facts.beats.push({ via: 'socket', life, from: BEAT_AT - 2, to: BEAT_AT });
  if (unanswered !== undefined)
    facts.beats.push({ via: 'http', life, from: BEAT_AT + 50, to: undefined, ...unanswered });
  if (refusal !== undefined) {
    const times = { from: BEAT_AT + 5, to: BEAT_AT + 10, outcome: 'refused' } as const;
    facts.logins.push({
      ...login,
      ...times,
      welcome: undefined,
      loginTime: undefined,
      code: '409',
      ...refusal,
    });
  }
  const row = { userId: 1, period: START, loginAt: START, lastSeenAt: BEAT_AT, reason: 'node-lost' };
  const rows = [{ ...row, logoutAt, settledAt: logoutAt + 1_000, node: 'n1' }];
  const user = new UserCase({ facts, rows, time: logoutAt, world, timeouts });
  return judgeTimes(user).map(({ text }) => text);
}

describe('the ledger judges a logout time', () => {
  it('[ST5] by the last proof and the timeout of a socket', () => {
    expect(judge(BEAT_AT + 2_000, undefined)).toEqual([]);
    expect(judge(BEAT_AT + 2_000 + 760, undefined).join()).toContain('ms too late');
  });

  it('[DR4] [ST5] by a login that was refused: it proves life by HTTP', () => {
    expect(judge(BEAT_AT + 10 + 3_000, {})).toEqual([]);
    expect(judge(BEAT_AT + 10 + 3_000, { code: '503', outcome: 'unknown' })).toEqual([]);
    expect(judge(BEAT_AT + 10 + 3_000 + 300, {}).join()).toContain('ms too late');
  });

  it('[ST5] by a login without an answer: it may have been accepted, so a longer timeout of a socket counts', () => {
    const shorter = { socket: 3_000, http: 2_000 };
    const late = BEAT_AT + 10 + 1_000 + 3_000;
    expect(judge(late, { code: '0 ', outcome: 'unknown' }, undefined, shorter)).toEqual([]);
    expect(judge(late + 1_100, { code: '0 ', outcome: 'unknown' }, undefined, shorter).join()).toContain(
      'too late',
    );
    expect(judge(late, {}, undefined, shorter).join()).toContain('too late');
  });

  it('[ST5] by a heartbeat by HTTP without an answer, at any time until its client gave up', () => {
    expect(judge(BEAT_AT + 5_050 + 3_000, undefined, { gaveUpAt: BEAT_AT + 5_050 })).toEqual([]);
    expect(judge(BEAT_AT + 5_050 + 1_000 + 3_300, undefined, { gaveUpAt: BEAT_AT + 5_050 }).join()).toContain(
      'too late',
    );
  });
});
