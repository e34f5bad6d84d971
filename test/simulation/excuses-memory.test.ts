import { describe, expect, it } from 'vitest';
import type { ClientConnection } from '../../src/connection/client-connection.ts';
import { checkHealed } from './checks.ts';
import { callerOf, claimOf, dutyOf, found, playedOn } from './excuse-scenes.ts';
import { RESPONSIVE_FOR_MS } from './simulated-node.ts';
import { nodesOf, type Stage, stageOn } from './stage.ts';

const played = playedOn(stageOn('the rules'));

/** Redis loses its data and is down for `ms`. */
function loses(stage: Stage, ms = 0): void {
  stage.witness.forgot();
  if (ms > 0) stage.witness.redisAway.add(stage.scheduler.now, stage.scheduler.now + ms);
}

describe('a period that was settled before its node restored it', () => {
  it.each([
    ['1.9 s after the node could restore it', 3000, 1900, false],
    ['2.1 s after the node could restore it', 3000, 2100, true],
    ['although nothing had hindered the node', 0, 100, true],
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

describe('a period that lies within the previous one', () => {
  it.each([
    ['and no client knew it', false],
    ['and a client knew it', true],
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
    ['14.9 s after a wipe, because a wipe brings no proof back', false, 0, 14_900, true],
  ])('[ST5] is logged out later than any claim said, %s', (_, isBack, awayMs, ms, isFound) =>
    played((stage, period) => {
      stage.witness.rolledBack = isBack;
      loses(stage, awayMs);
      stage.scheduler.suspend(ms);
      const logoutAt = stage.redis.wall + 60_000;
      stage.strict.ended(dutyOf(stage, period, { reason: 'node-lost', logoutAt }));
      expect(found(stage).includes('later than claimed')).toBe(isFound);
    })(),
  );

  it.each([
    ['14.9 s after a step of the clock of Redis', 14_900, false],
    ['15.1 s after it', 15_100, true],
  ])('[ST5] is logged out later than any claim said, %s', (_, ms, isFound) =>
    played((stage, period) => {
      stage.witness.redisStepped(-5000);
      stage.scheduler.suspend(ms);
      const logoutAt = stage.redis.wall + 60_000;
      stage.strict.ended(dutyOf(stage, period, { reason: 'node-lost', logoutAt }));
      expect(found(stage).includes('later than claimed')).toBe(isFound);
    })(),
  );
});

describe('a reconciled period that a rollback brought back', () => {
  it.each([
    ['keeps the later of two logout times', true, 1, false],
    ['does not keep the earlier one', true, -1, true],
    ['keeps neither if nothing had brought it back', false, 1, true],
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
  /** The node does not know yet that its socket was taken over. */
  it.each([
    ['1.9 s after Redis lost its data', 1900, false],
    ['2.1 s after that', 2100, true],
  ])('[ST5] allows an early logout if the proof came %s', (_, ms, isFound) =>
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
    ['before that, in a period that was ended in SQL', true, true, false],
    ['2.1 s after that, in such a period', true, false, true],
    ['before that, in a period that was open in SQL', false, true, true],
  ])('[ST5] [PR11] allows an early logout if the proof came %s', (_, isSettled, isBefore, isFound) =>
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
    ['that was ended in SQL', true, false],
    ['that was open in SQL', false, true],
  ])(
    '[ST5] [PR11] allows an early logout of the next period if it came in a period %s',
    (_, isSettled, isFound) =>
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
      expect(found(stage).includes('before a claimed proof by HTTP')).toBe(isFound);
    })(),
  );
});

describe('a user who is online again after a logout that Redis has forgotten', () => {
  it.each([
    ['14.9 s after Redis returned', true, 14_900, false],
    ['15.1 s after it returned', true, 15_100, true],
    ['although Redis had lost its data 2.1 s before the logout', false, 0, true],
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

describe('a refusal by the session policy although no socket shows life', () => {
  const WITHIN_MS = RESPONSIVE_FOR_MS + 2300;
  it.each([
    ['within the ping interval + 3.3 s of a cut', 'cut', WITHIN_MS - 10, false],
    ['later than that', 'cut', WITHIN_MS + 10, true],
    ['within that time of an outage of Redis', 'away', WITHIN_MS - 10, false],
    ['later than that', 'away', WITHIN_MS + 10, true],
    ['within that time of a wipe', 'lost', WITHIN_MS - 10, false],
    ['later than that', 'lost', WITHIN_MS + 10, true],
    ['within that time of an outage of SQL', 'sql', WITHIN_MS - 10, false],
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

describe('a node that was cut off before it could restore', () => {
  /** As in history 83747 of seed 20261212: proofs of its socket in this time count. */
  it.each([
    ['0.5 s after Redis lost its data', 500, 9000, false],
    ['2.1 s after that', 2100, 9000, true],
    ['0.5 s after that, and has been back for 2.1 s', 500, 3400, true],
  ])('[ST5] %s', (_, afterMs, cutMs, isFound) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      const proves = (): void => stage.witness.proved(n1, { userId: 1, period, kind: 'socket' });
      loses(stage);
      stage.redis.wipe();
      stage.scheduler.suspend(afterMs);
      n1.troubles.add(stage.scheduler.now, stage.scheduler.now + cutMs);
      stage.scheduler.suspend(4900 - afterMs);
      proves();
      stage.scheduler.suspend(1100);
      proves();
      const logoutAt = stage.redis.wall + 10_000;
      stage.scheduler.suspend(15_000);
      stage.witness.ended(dutyOf(stage, period, { reason: 'timeout', logoutAt }));
      expect(found(stage).includes('after its last proof')).toBe(isFound);
    })(),
  );
});

describe('a connection with a revoked token after Redis has lost the revocation', () => {
  /** As in history 34121 of seed 20261201: the node that took the revocation was already stopping. */
  it.each([
    ['and a node that ran at the revocation has ended since', true, false],
    ['although no such node has ended, only an earlier one', false, true],
  ])('[CR3] %s', (_, hasEnded, isFound) =>
    played((stage) => {
      const [n1, n2] = nodesOf(stage);
      stage.witness.diedAt = stage.scheduler.now;
      stage.scheduler.suspend(100);
      stage.revocations.kept({ userId: 1, at: stage.redis.wall });
      if (hasEnded) n1.kill();
      loses(stage);
      stage.scheduler.suspend(7100);
      const isOld = { userId: 1, tokenIssuedAt: 0, isOpen: true } as ClientConnection;
      stage.revocations.look(n2, isOld);
      expect(found(stage).includes('[CR3]')).toBe(isFound);
    })(),
  );
});

describe('a node that restores groups of a period that came back while SQL was silent', () => {
  /** As in history 1429 of seed 20261215. */
  it.each([
    ['still runs', { isSilent: true, endsAgain: false, serviceGroups: '5;g2' }, false],
    ['has ended again', { isSilent: true, endsAgain: true, serviceGroups: '5;g2' }, true],
    ['never came back', { isSilent: false, endsAgain: false, serviceGroups: '5;g2' }, true],
    ['still runs, but has no groups', { isSilent: true, endsAgain: false, serviceGroups: '' }, true],
  ])('[PR7] if that period %s', (_, { isSilent, endsAgain, serviceGroups }, isFound) =>
    played((stage, period) => {
      const joined = { kind: 'joined', period, epoch: period, loginTime: period } as const;
      const restores = (): void =>
        stage.strict.claimed(claimOf({ mode: 'restate', period, serviceGroups }), joined, callerOf('n1'));
      stage.strict.ended(dutyOf(stage, period, {}));
      if (isSilent) {
        stage.witness.sqlTroubles.add(stage.scheduler.now, stage.scheduler.now + 100);
        restores();
      }
      stage.scheduler.suspend(5000);
      if (endsAgain) stage.strict.ended(dutyOf(stage, period, {}));
      expect(found(stage)).toBe('');
      restores();
      expect(found(stage).includes('is restored by n1 and had ended')).toBe(isFound);
    })(),
  );
});
