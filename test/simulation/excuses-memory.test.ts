import { describe, expect, it } from 'vitest';
import { checkHealed } from './checks.ts';
import { callerOf, claimOf, dutyOf, found, playedOn } from './excuse-scenes.ts';
import { RESPONSIVE_FOR_MS } from './simulated-node.ts';
import { nodesOf, type Stage, stageOn } from './stage.ts';

const played = playedOn(stageOn('the rules'));

/** Redis loses its memory and is away for `ms`. */
function loses(stage: Stage, ms = 0): void {
  stage.witness.forgot();
  if (ms > 0) stage.witness.redisAway.add(stage.scheduler.now, stage.scheduler.now + ms);
}

describe('a period that was settled before its node restored it', () => {
  it.each([
    ['1.9 s after it could', 3000, 1900, false],
    ['2.1 s after it could', 3000, 2100, true],
    ['though nothing had hindered it', 0, 100, true],
  ])('[ST4] %s', (_, cutMs, ms, isFound) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      const { now } = stage.scheduler;
      if (cutMs > 0) n1.troubles.add(now, now + cutMs);
      loses(stage);
      stage.scheduler.suspend(cutMs + ms);
      const claim = claimOf({ mode: 'restate', period });
      stage.witness.claimed(claim, { kind: 'joined', period, epoch: 1, loginTime: period }, callerOf('n1'));
      stage.sql.settle([{ id: '1', ...dutyOf(stage, period, {}) }], 1);
      stage.strict.check();
      expect(found(stage).includes('[ST4]')).toBe(isFound);
    })(),
  );
});

describe('a period that lies within the one before', () => {
  it.each([
    ['and that no client was told of', false],
    ['and that a client was told of', true],
  ])('[ST2] %s', (_, isTold) =>
    played((stage, period) => {
      const next = period + 1000;
      const row = { userId: 1, node: 'n1', lastSeenAt: null, settledAt: 1, reason: 'logout' } as const;
      stage.sql.rows.set(`1:${period}`, { ...row, period, loginAt: period, logoutAt: period + 5000 });
      stage.sql.rows.set(`1:${next}`, { ...row, period: next, loginAt: next, logoutAt: next + 1000 });
      if (isTold) stage.witness.told.set(`1:${next}`, { userId: 1, period: next, loginTime: next });
      checkHealed(stage);
      expect(found(stage).includes('ms after the next login')).toBe(isTold);
    })(),
  );
});

describe('a user of a dead node', () => {
  it.each([
    ['14.9 s after a rollback', true, 0, 14_900, false],
    ['15.1 s after one', true, 0, 15_100, true],
    ['14.9 s after Redis returned from one', true, 4000, 18_900, false],
    ['15.1 s after it returned', true, 4000, 19_100, true],
    ['14.9 s after a wipe, which brings no proof back', false, 0, 14_900, true],
  ])('[ST5] is logged out later than any node had stated, %s', (_, isBack, awayMs, ms, isFound) =>
    played((stage, period) => {
      stage.witness.rolledBack = isBack;
      loses(stage, awayMs);
      stage.scheduler.suspend(ms);
      const logoutAt = stage.redis.wall + 60_000;
      stage.strict.ended(dutyOf(stage, period, { reason: 'node-lost', logoutAt }));
      expect(found(stage).includes('later than stated')).toBe(isFound);
    })(),
  );

  it.each([
    ['14.9 s after a step of the clock of Redis', 14_900, false],
    ['15.1 s after it', 15_100, true],
  ])('[ST5] is logged out later than any node had stated, %s', (_, ms, isFound) =>
    played((stage, period) => {
      stage.witness.redisStepped(-5000);
      stage.scheduler.suspend(ms);
      const logoutAt = stage.redis.wall + 60_000;
      stage.strict.ended(dutyOf(stage, period, { reason: 'node-lost', logoutAt }));
      expect(found(stage).includes('later than stated')).toBe(isFound);
    })(),
  );
});

describe('a period that was reconciled and that a rollback brought back', () => {
  it.each([
    ['keeps the later of two logout times', true, 1, false],
    ['does not keep the earlier one', true, -1, true],
    ['keeps none where nothing had brought it back', false, 1, true],
  ])('[ST2] %s', (_, isBack, laterMs, isFound) =>
    played((stage, period) => {
      if (isBack) stage.witness.broughtBack.add(`1:${period}`);
      const duty = dutyOf(stage, period, {});
      stage.strict.ended(duty);
      const row = { userId: 1, period, loginAt: period, node: 'n1', lastSeenAt: null, settledAt: 1 };
      const logoutAt = duty.logoutAt + laterMs;
      stage.sql.rows.set(`1:${period}`, { ...row, logoutAt, reason: 'reconciled' });
      stage.strict.checkHealed();
      expect(found(stage).includes('[ST2]')).toBe(isFound);
    })(),
  );
});

describe('a proof that Redis has forgotten', () => {
  /** Heard by a node that has yet to learn that its socket was taken over. */
  it.each([
    ['1.9 s after it lost its memory', 1900, false],
    ['2.1 s after it', 2100, true],
  ])('[ST5] makes no logout too early that came %s', (_, ms, isFound) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      loses(stage);
      stage.scheduler.suspend(ms);
      stage.witness.proved(n1, { userId: 1, period, kind: 'socket' });
      stage.scheduler.suspend(11_000);
      const logoutAt = stage.redis.wall - 3000;
      stage.witness.ended(dutyOf(stage, period, { reason: 'timeout', logoutAt }));
      expect(found(stage).includes('ms too early')).toBe(isFound);
    })(),
  );

  it.each([
    ['before that, of a period that SQL had as ended', true, true, false],
    ['2.1 s after that, of such a period', true, false, true],
    ['before that, of a period that SQL had as open', false, true, true],
  ])('[ST5] [PR11] makes no logout too early that came %s', (_, isSettled, isBefore, isFound) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      const proves = (): void => stage.witness.proved(n1, { userId: 1, period, kind: 'socket' });
      if (isSettled) stage.sql.settle([{ id: '1', ...dutyOf(stage, period, {}) }], 1);
      if (isBefore) proves();
      stage.scheduler.suspend(100);
      loses(stage);
      stage.scheduler.suspend(2100);
      if (!isBefore) proves();
      stage.scheduler.suspend(10_000);
      const logoutAt = stage.redis.wall - 5000;
      stage.witness.ended(dutyOf(stage, period, { reason: 'timeout', logoutAt }));
      expect(found(stage).includes('ms too early')).toBe(isFound);
    })(),
  );

  it.each([
    ['that SQL had as ended', true, false],
    ['that SQL had as open', false, true],
  ])('[ST5] [PR11] makes no logout of the next period too early, of a period %s', (_, isSettled, isFound) =>
    played((stage, period) => {
      stage.witness.proved(nodesOf(stage)[0], { userId: 1, period, kind: 'socket' });
      if (isSettled) stage.sql.settle([{ id: '1', ...dutyOf(stage, period, {}) }], 1);
      stage.scheduler.suspend(100);
      loses(stage);
      stage.scheduler.suspend(10_000);
      const logoutAt = stage.redis.wall - 5000;
      stage.witness.ended(dutyOf(stage, period + 1, { reason: 'timeout', logoutAt }));
      expect(found(stage).includes('ms too early')).toBe(isFound);
    })(),
  );

  it.each([
    ['14.9 s after Redis returned', 14_900, false],
    ['15.1 s after it returned', 15_100, true],
  ])('[HB1] by HTTP does not count %s', (_, ms, isFound) =>
    played((stage, period) => {
      loses(stage, 4000);
      stage.scheduler.suspend(4000 + ms);
      const claim = claimOf({ mode: 'http', httpMs: 5000 });
      stage.strict.claimed(claim, { kind: 'held' }, callerOf('n2'));
      stage.strict.ended(dutyOf(stage, period, { reason: 'timeout' }));
      expect(found(stage).includes('before a stated proof by HTTP')).toBe(isFound);
    })(),
  );
});

describe('a user who is online again after a logout that Redis has forgotten', () => {
  it.each([
    ['14.9 s after Redis returned', true, 14_900, false],
    ['15.1 s after it returned', true, 15_100, true],
    ['though it had lost its memory 2.1 s before the logout', false, 0, true],
  ])('[PR7] %s', (_, isAfter, ms, isFound) =>
    played((stage, period) => {
      if (!isAfter) {
        loses(stage);
        stage.scheduler.suspend(2100);
      }
      stage.witness.ended(dutyOf(stage, period, {}));
      stage.scheduler.suspend(1);
      if (isAfter) {
        loses(stage, 4000);
        stage.scheduler.suspend(4000 + ms);
      }
      const next = stage.redis.wall;
      const answer = { period: next, epoch: next, loginTime: next, unsettled: undefined };
      stage.witness.minted(claimOf({ epoch: 1 }), { kind: 'opened', ...answer });
      expect(found(stage).includes('[PR7]')).toBe(isFound);
    })(),
  );
});

describe('a refusal by the session policy, where no socket shows life', () => {
  const WITHIN_MS = RESPONSIVE_FOR_MS + 2300;
  it.each([
    ['within the ping interval + 3.3 s of a cut', 'cut', WITHIN_MS - 10, false],
    ['later than that', 'cut', WITHIN_MS + 10, true],
    ['within that time of an outage of Redis', 'away', WITHIN_MS - 10, false],
    ['later than that', 'away', WITHIN_MS + 10, true],
    ['within that time of a wipe', 'lost', WITHIN_MS - 10, false],
    ['later than that', 'lost', WITHIN_MS + 10, true],
    ['within that time of a time without SQL', 'sql', WITHIN_MS - 10, false],
    ['later than that', 'sql', WITHIN_MS + 10, true],
    ['within that time of a bad line', 'line', WITHIN_MS - 10, false],
    ['later than that', 'line', WITHIN_MS + 10, true],
    ['within that time of the bad line of a node that is gone', 'gone', WITHIN_MS - 10, false],
    ['later than that', 'gone', WITHIN_MS + 10, true],
    ['within that time of a step of the clock of Redis', 'step', WITHIN_MS - 10, false],
    ['later than that', 'step', WITHIN_MS + 10, true],
    ['with nothing before', 'nothing', 0, true],
  ] as const)('[PR4] %s (%s)', (_, kind, ms, isFound) =>
    played((stage) => {
      const { now } = stage.scheduler;
      if (kind === 'cut') nodesOf(stage)[0].troubles.add(now, now + 1000);
      if (kind === 'away') stage.witness.redisAway.add(now, now + 1000);
      if (kind === 'sql') stage.witness.sqlTroubles.add(now, now + 1000);
      if (kind === 'line' || kind === 'gone') nodesOf(stage)[0].badLine.add(now, now + 1000);
      stage.strict.check();
      if (kind === 'gone') stage.nodes.shift();
      stage.scheduler.suspend(1000);
      if (kind === 'lost') loses(stage);
      if (kind === 'step') stage.witness.redisStepped(5000);
      stage.scheduler.suspend(ms);
      stage.strict.refused(2, 'session-flapping');
      expect(found(stage).includes('[PR4]')).toBe(isFound);
    })(),
  );
});
