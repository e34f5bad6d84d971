import { describe, expect, it } from 'vitest';
import type { ClaimAnswer } from '../../src/presence/store/port.ts';
import { checkHealed } from './checks.ts';
import { callerOf, claimOf, dutyOf, found, playedOn } from './excuse-scenes.ts';
import { nodesOf, type Stage, stageOn } from './stage.ts';

const played = playedOn(stageOn('the rules'));

/** Steps the clock of Redis, with a moment before and after it. */
function steps(stage: Stage, ms: number): void {
  stage.scheduler.suspend(1);
  stage.witness.redisStepped(ms);
  stage.scheduler.suspend(1);
}

interface Freeze {
  readonly beforeMs: number;
  readonly afterMs: number;
  readonly overMs?: number;
}

describe('a step of the clock of Redis', () => {
  it.each([
    ['after the last proof', false, false],
    ['before the last proof', true, true],
  ])('[ST5] %s may make a logout early', (_, isBefore, isFound) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      if (isBefore) steps(stage, 5000);
      stage.witness.proved(n1, { userId: 1, period, kind: 'socket' });
      if (!isBefore) steps(stage, 5000);
      stage.scheduler.suspend(11_000);
      const logoutAt = stage.redis.wall - 3000;
      stage.witness.ended(dutyOf(stage, period, { reason: 'timeout', logoutAt }));
      expect(found(stage).includes('ms too early')).toBe(isFound);
    })(),
  );

  /** If the node is dead, Redis may have recorded an older proof. */
  it.each([
    ['4.9 s before the last proof of a dead node', 4900, false],
    ['5.1 s before it', 5100, true],
  ])('[ST5] %s may make a logout early', (_, ms, isFound) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      steps(stage, 5000);
      stage.scheduler.suspend(ms);
      stage.witness.proved(n1, { userId: 1, period, kind: 'socket' });
      const logoutAt = stage.redis.wall - 60_000;
      stage.scheduler.suspend(5500);
      n1.kill();
      stage.scheduler.suspend(11_500);
      stage.witness.ended(dutyOf(stage, period, { reason: 'node-lost', logoutAt }));
      expect(found(stage).includes('ms too early')).toBe(isFound);
    })(),
  );

  it.each([
    ['may have the greater number', -5000, -1, false],
    ['has the lower number if the clock went forward', 5000, -1, true],
    ['has the lower number if it was opened later', -5000, 1, true],
  ])('[PR2] [ST2] backward: an earlier period %s', (_, ms, openedAfterMs, isFound) =>
    played((stage, period) => {
      const opened = period - (stage.redis.wall - stage.scheduler.now);
      const next = period + 1000;
      const row = { userId: 1, node: 'n1', lastSeenAt: null, settledAt: 1, reason: 'logout' } as const;
      stage.sql.rows.set(`1:${period}`, { ...row, period, loginAt: period, logoutAt: period + 5000 });
      stage.sql.rows.set(`1:${next}`, { ...row, period: next, loginAt: next, logoutAt: next + 1000 });
      stage.witness.told.set(`1:${next}`, { userId: 1, period: next, loginTime: next });
      stage.witness.openings.note(`1:${next}`, opened + openedAfterMs);
      steps(stage, ms);
      checkHealed(stage);
      expect(found(stage).includes('ms after the next login')).toBe(isFound);
    })(),
  );

  /** As in history 79136 of seed 20261212: Redis had forgotten an opening that was given up. */
  it.each([
    ['was given again after the step', true, false],
    ['was given only before the step', false, true],
  ])(
    '[ST2] backward: a logout is later than the next login; the number of that login %s',
    (_, isAgain, isFound) =>
      played((stage, period) => {
        const next = period + 1000;
        const row = { userId: 1, node: 'n1', lastSeenAt: null, settledAt: 1, reason: 'logout' } as const;
        stage.sql.rows.set(`1:${period}`, { ...row, period, loginAt: period, logoutAt: next + 5000 });
        stage.sql.rows.set(`1:${next}`, { ...row, period: next, loginAt: next, logoutAt: next + 1000 });
        stage.witness.told.set(`1:${next}`, { userId: 1, period: next, loginTime: next });
        stage.witness.openings.note(`1:${next}`, stage.scheduler.now, 1);
        steps(stage, -5000);
        stage.witness.openings.note(`1:${next}`, stage.scheduler.now, isAgain ? 2 : 1);
        checkHealed(stage);
        expect(found(stage).includes('ms after the next login')).toBe(isFound);
      })(),
  );

  it.each([
    ['may delay a logout until a node finds it', true, 0, false],
    ['delays no logout beyond that', true, 50, true],
    ['that did not happen delays no logout', false, 0, true],
  ])('[ST5] %s', (_, hasStepped, laterMs, isFound) =>
    played((stage, period) => {
      if (hasStepped) steps(stage, -5000);
      stage.witness.proved(nodesOf(stage)[0], { userId: 1, period, kind: 'socket' });
      stage.scheduler.suspend(11_000);
      const logoutAt = stage.redis.wall + laterMs;
      stage.witness.ended(dutyOf(stage, period, { reason: 'timeout', logoutAt }));
      expect(found(stage).includes('after its last proof')).toBe(isFound);
    })(),
  );

  it.each([
    ['after a proof is charged with 2 s', 0, 1, 8100, false],
    ['after a proof is not charged with more', 0, 1, 7900, true],
    ['before a proof is not charged', 1, 0, 8100, true],
    ['and another one after a proof are charged with 4 s', 0, 2, 6100, false],
    ['and another one after a proof are not charged with more', 0, 2, 5900, true],
  ])('[HB1] %s', (_, before, after, ms, isFound) =>
    played((stage, period) => {
      for (let step = 0; step < before; step += 1) steps(stage, 5000);
      stage.witness.proved(nodesOf(stage)[0], { userId: 1, period, kind: 'socket' });
      for (let step = 0; step < after; step += 1) steps(stage, 5000);
      stage.scheduler.suspend(ms);
      stage.witness.ended(dutyOf(stage, period, { reason: 'node-lost' }));
      expect(found(stage).includes('[HB1]')).toBe(isFound);
    })(),
  );

  it.each([
    ['while it could record nothing is charged with 2 s', true, 3000, false],
    ['while it could record nothing is not charged with more', true, 2900, true],
    ['before that is not charged', false, 4900, true],
    ['before that does not shorten the unrecorded time', false, 5000, false],
  ])('[HB1] a proof that a dead node could not record for 5 s: a step %s', (_, isDuring, ms, isFound) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      if (!isDuring) steps(stage, 5000);
      stage.scheduler.suspend(1);
      const { now } = stage.scheduler;
      n1.troubles.add(now, now + 5000);
      if (isDuring) steps(stage, 5000);
      stage.scheduler.suspend(5000);
      stage.witness.proved(n1, { userId: 1, period, kind: 'socket' });
      n1.kill();
      stage.scheduler.suspend(ms);
      stage.witness.ended(dutyOf(stage, period, { reason: 'node-lost' }));
      expect(found(stage).includes('[HB1]')).toBe(isFound);
    })(),
  );

  /** As in history 60984 of seed 20261212: the node's last sign of life is older than the proof. */
  it.each([
    ['0.5 s before a proof of a dead node', true, 500, 8000, false],
    ['0.5 s before it is not charged with more', true, 500, 7900, true],
    ['0.7 s before it is not charged', true, 700, 8000, true],
    ['0.5 s before a proof of a living node is not charged', false, 500, 8000, true],
  ])('[HB1] %s', (_, isDead, beforeMs, ms, isFound) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      steps(stage, 5000);
      stage.scheduler.suspend(beforeMs);
      stage.witness.proved(n1, { userId: 1, period, kind: 'socket' });
      if (isDead) n1.kill();
      stage.scheduler.suspend(ms);
      stage.witness.ended(dutyOf(stage, period, { reason: 'node-lost' }));
      expect(found(stage).includes('[HB1]')).toBe(isFound);
    })(),
  );

  /** As in history 54480 of seed 20261221: the node freezes before it can give another sign of life. */
  it.each([
    ['0.3 s before a proof is charged with 2 s', { beforeMs: 300, afterMs: 290 }, 8000, false],
    ['0.3 s before it is not charged with more', { beforeMs: 300, afterMs: 290 }, 7900, true],
    ['0.7 s before it is not charged', { beforeMs: 700, afterMs: 290 }, 8000, true],
    [
      '0.3 s before a proof 0.7 s before the freeze is not charged',
      { beforeMs: 300, afterMs: 700 },
      8000,
      true,
    ],
    ['is not charged if the freeze is over', { beforeMs: 300, afterMs: 290, overMs: 500 }, 8000, true],
  ])('[HB1] a step before a node freezes: %s', (_, { beforeMs, afterMs, overMs = 0 }: Freeze, ms, isFound) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      steps(stage, 5000);
      stage.scheduler.suspend(beforeMs);
      stage.witness.proved(n1, { userId: 1, period, kind: 'socket' });
      stage.scheduler.suspend(afterMs);
      n1.trouble(stage.scheduler.now, ms - afterMs - overMs);
      stage.scheduler.suspend(ms - afterMs);
      stage.witness.ended(dutyOf(stage, period, { reason: 'node-lost' }));
      expect(found(stage).includes('[HB1]')).toBe(isFound);
    })(),
  );

  it.each([
    ['of a dead node is charged with 2 s', true, 8000, false],
    ['of a dead node is not charged with more', true, 7900, true],
    ['of a living node is not charged', false, 8000, true],
  ])('[HB1] a proof %s, if the user times out on another node last', (_, isDead, ms, isFound) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      stage.witness.proved(n1, { userId: 1, period, kind: 'socket' });
      if (isDead) n1.kill();
      steps(stage, 5000);
      stage.scheduler.suspend(ms);
      stage.witness.ended(dutyOf(stage, period, { reason: 'timeout' }));
      expect(found(stage).includes('[HB1]')).toBe(isFound);
    })(),
  );

  it.each([
    ['makes a node look dead if it is frozen for 7.1 s', true, 7100, false],
    ['makes no node look dead if it is frozen for 6.9 s', true, 6900, true],
    ['that did not happen makes no node look dead after 7.1 s', false, 7100, true],
  ])('[HB1] %s', (_, hasStepped, ms, isFound) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      stage.witness.proved(n1, { userId: 1, period, kind: 'socket' });
      n1.trouble(stage.scheduler.now, ms);
      if (hasStepped) steps(stage, 5000);
      stage.scheduler.suspend(ms);
      stage.witness.ended(dutyOf(stage, period, { reason: 'node-lost' }));
      expect(found(stage).includes('[HB1]')).toBe(isFound);
    })(),
  );

  /** As in history 29853 of seed 20261223: the step comes between the node's last sign of life and the cut. */
  it.each([
    ['0.5 s before a cut of 8.5 s makes the node look dead', 500, 8500, false],
    ['0.5 s before a cut of 8.3 s makes no node look dead', 500, 8300, true],
    ['0.7 s before a cut of 8.5 s makes no node look dead', 700, 8500, true],
  ])('[HB1] [ST5] %s', (_, beforeMs, cutMs, isFound) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      steps(stage, 5000);
      stage.scheduler.suspend(beforeMs);
      n1.trouble(stage.scheduler.now, cutMs);
      stage.scheduler.suspend(cutMs - 900);
      stage.witness.proved(n1, { userId: 1, period, kind: 'socket' });
      stage.scheduler.suspend(900);
      const logoutAt = stage.redis.wall - 7000;
      stage.witness.ended(dutyOf(stage, period, { reason: 'node-lost', logoutAt }));
      expect(found(stage).includes('[HB1]')).toBe(isFound);
      expect(found(stage).includes('[ST5]')).toBe(isFound);
    })(),
  );

  it.each([
    ['14.9 s before', 14_900, false],
    ['15.1 s before', 15_100, true],
  ])('[HB1] %s may end a proof by HTTP early', (_, ms, isFound) =>
    played((stage, period) => {
      stage.witness.redisStepped(5000);
      stage.scheduler.suspend(ms);
      stage.strict.claimed(claimOf({ mode: 'http', httpMs: 5000 }), { kind: 'held' }, callerOf('n2'));
      stage.strict.ended(dutyOf(stage, period, { reason: 'timeout' }));
      expect(found(stage).includes('before a claimed proof by HTTP')).toBe(isFound);
    })(),
  );

  it.each([
    ['backward, and a wipe', -5000, true, false],
    ['forward, and a wipe', 5000, true, true],
    ['backward, and no wipe', -5000, false, true],
  ])('[PR2] [PR3] %s: a number may be given again', (_, ms, isWiped, isFound) =>
    played((stage, period) => {
      steps(stage, ms);
      if (isWiped) stage.witness.forgot();
      stage.witness.minted(claimOf({}), { kind: 'joined', period, epoch: 1, loginTime: period });
      expect(found(stage).includes('[PR3]')).toBe(isFound);
      const login = { userId: 1, connectionId: 'c', username: 'u1', epoch: 1, resumed: false } as const;
      stage.strict.accepted({ ...login, period: period - 1, loginTime: period });
      expect(found(stage).includes('[PR2]')).toBe(isFound);
      stage.witness.told.set(`1:${period}`, { userId: 1, period, loginTime: period + 1 });
      checkHealed(stage);
      expect(found(stage).includes('in SQL at')).toBe(isFound);
    })(),
  );
});

interface TreatedAsPast {
  readonly steppedMs?: number;
  readonly knownMs?: number;
  readonly isFailover?: boolean;
  readonly isRunning?: boolean;
  readonly restatedBy?: string;
  readonly restatedMs?: number;
  readonly answer?: 'gone' | 'joined';
  readonly beforeWipe?: 'gone' | 'opened';
  readonly isWiped?: boolean;
  readonly afterWipe?: 'held' | 'joined' | 'gone';
}

/**
 * As in history 65972 of seed 20261501. User 1 had a period with a greater number before the current one. Redis fails over to a
 * snapshot with that period, treats the current one as past, and is wiped.
 */
function treatedAsPast(stage: Stage, period: number, changed: TreatedAsPast): void {
  const { witness, scheduler, redis } = stage;
  const { steppedMs = -5000, knownMs = 1000, restatedBy = 'n1', restatedMs = 0 } = changed;
  const {
    isFailover = true,
    isRunning = true,
    answer = 'gone',
    isWiped = true,
    beforeWipe,
    afterWipe,
  } = changed;
  const opened = period - (redis.wall - scheduler.now);
  const [known, restated] = [period + knownMs, period + restatedMs];
  witness.openings.note(`1:${known}`, opened - 1, known);
  witness.openings.note(`1:${restated}`, opened, period);
  steps(stage, steppedMs);
  for (const kind of ['socket', 'http'] as const)
    witness.proved(nodesOf(stage)[0], { userId: 1, period, kind });
  const gets = (mode: 'restate' | 'state', of: number, kind: string, by = 'n1'): void => {
    const answered = { kind, period: of, epoch: 1, loginTime: of } as ClaimAnswer;
    witness.claimed(claimOf({ mode, period: of }), answered, callerOf(by));
  };
  witness.forgot();
  if (isFailover) witness.wentBack();
  const record = redis.world.records.get(1);
  if (record !== undefined) record.period = known;
  if (!isRunning) record?.holds.clear();
  gets('restate', restated, answer, restatedBy);
  gets('state', period, 'young');
  if (beforeWipe !== undefined) gets('state', period, beforeWipe);
  scheduler.suspend(1000);
  if (isWiped) witness.forgot();
  gets('state', period, 'young');
  if (afterWipe !== undefined) gets('state', period, afterWipe);
  const next = period + 2000;
  const opening = { period: next, epoch: next, loginTime: next, unsettled: undefined };
  witness.minted(claimOf({ epoch: 1 }), { kind: 'opened', ...opening });
}

describe('a period that Redis treats as past after a failover, because an earlier one has the greater number', () => {
  it.each<[string, TreatedAsPast, boolean]>([
    ['may be followed by another period after a wipe', {}, false],
    ['may be followed by it also if Redis answers after the wipe', { afterWipe: 'gone' }, false],
    ['is followed by none without the wipe', { isWiped: false }, true],
    ['is followed by none if the node had the answer before the wipe', { beforeWipe: 'gone' }, true],
    ['is followed by none if the node connected the user before it', { beforeWipe: 'opened' }, true],
    ['is followed by none if Redis has the user after the wipe', { afterWipe: 'held' }, true],
    ['is followed by none if the node gave the user back after it', { afterWipe: 'joined' }, true],
    ['does not count if Redis took the claim', { answer: 'joined' }, true],
    ['does not count if it refused another period', { restatedMs: 500 }, true],
    ['does not count if it refused another node', { restatedBy: 'n2' }, true],
    ['does not count if Redis was only wiped', { isFailover: false }, true],
    ['does not count if the earlier period has the lower number', { knownMs: -1000 }, true],
    ['does not count if the earlier period has ended', { isRunning: false }, true],
    ['does not count if the clock of Redis went forward', { steppedMs: 5000 }, true],
  ])('[PR2] %s', (_, changed, isFound) =>
    played((stage, period) => {
      treatedAsPast(stage, period, changed);
      expect(found(stage).match(/\[PR2\] user 1 opens a period/g)?.length ?? 0).toBe(isFound ? 2 : 0);
    })(),
  );
});

describe('a period in SQL that ends before it begins', () => {
  it.each([
    ['by a logout, if the clock of Redis was stepped in between', 'logout', 'meanwhile', false],
    ['by a logout, if another node completed the opening after the step', 'logout', 'opening', false],
    ['by a logout, if the clock of Redis was stepped earlier', 'logout', 'before', true],
    ['by a logout, if the clock of a node was stepped', 'logout', 'node', true],
    ['because a node with a stepped clock reconciled it', 'reconciled', 'node', false],
    ['because a node reconciled it, and no clock was stepped', 'reconciled', 'never', true],
  ] as const)('[ST2] %s', (_, reason, when, isFound) =>
    played((stage) => {
      const [n1] = nodesOf(stage);
      stage.logout(n1, 1);
      if (when === 'before') steps(stage, 5000);
      stage.connect(stage.device(1, 'b'), n1);
      const period = stage.period(1);
      if (when === 'meanwhile' || when === 'opening') steps(stage, 5000);
      if (when === 'opening') {
        const epochs = { period, epoch: 2 * period, loginTime: period, unsettled: undefined };
        stage.witness.minted(claimOf({}), { kind: 'opened', ...epochs });
      }
      if (when === 'node') stage.witness.stepped = true;
      const row = { userId: 1, period, loginAt: period, node: 'n1', lastSeenAt: null, settledAt: 1 };
      stage.sql.rows.set(`1:${period}`, { ...row, logoutAt: period - 1, reason });
      checkHealed(stage);
      expect(found(stage).includes('ends before it began')).toBe(isFound);
    })(),
  );
});
