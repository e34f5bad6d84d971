import { describe, expect, it, vi } from 'vitest';
import { groupsOf } from '../../src/presence/rules/groups.ts';
import type { RecordState } from '../../src/presence/rules/record.ts';
import type { PeriodRow } from '../../src/protocol/periods.ts';
import { checkHealed } from './checks.ts';
import { callerOf, claimOf, dutyOf, found, playedOn } from './excuse-scenes.ts';
import { nodesOf, type Stage, stageOn } from './stage.ts';

const onStage = stageOn('the rules');
const played = playedOn(onStage);

/** A node is cut off from Redis until `backMs` before the settlement, and the logout is `earlierMs` before it. */
interface Cut {
  readonly cutMs?: number;
  readonly backMs?: number;
  readonly earlierMs?: number;
}

describe('a socket whose token is revoked while it opens', () => {
  it(
    '[ST5] proves life when it opens',
    played((stage) => {
      const [n1] = nodesOf(stage);
      const device = stage.device(1, 'b');
      const before = n1.tracker.newestEpochHere(1);
      vi.spyOn(n1, 'refuses').mockReturnValueOnce(false).mockReturnValue(true);
      device.connect(n1);
      while (n1.tracker.newestEpochHere(1) === before) stage.advance(1);
      n1.clock.freeze();
      stage.advance(60);
      n1.clock.thaw();
      stage.advance(20_000);
      expect(stage.ends).toHaveLength(1);
      expect(found(stage)).toBe('');
    }),
  );
});

describe('a proof of life on a node that was cut off when Redis lost its data', () => {
  it.each([
    ['counts until the node has claimed it again', 8000, 6000, false],
    ['counts for 1.9 s after the node can claim it', 8000, 9900, false],
    ['does not count 2.1 s after that', 8000, 10_100, true],
    ['does not count 6 s later if nothing hindered the node', 0, 6000, true],
  ])('[ST5] %s', (_, cutMs, ms, isFound) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      const { now } = stage.scheduler;
      if (cutMs > 0) n1.troubles.add(now, now + cutMs);
      stage.witness.forgot();
      stage.redis.wipe();
      stage.witness.disturbedUntil = Number.NEGATIVE_INFINITY;
      stage.scheduler.suspend(ms);
      stage.witness.proved(n1, { userId: 1, period, kind: 'socket' });
      stage.scheduler.suspend(11_000);
      const logoutAt = stage.redis.wall - 1000;
      stage.witness.ended(dutyOf(stage, period, { reason: 'timeout', logoutAt }));
      expect(found(stage).includes('after its last proof')).toBe(isFound);
    })(),
  );
});

describe('a user of a node that died in trouble', () => {
  it.each([
    ['that began 4.9 s after the last proof', 4900, false],
    ['that began 5.1 s after it', 5100, true],
  ])(
    '[ST5] may be logged out by an older proof than the last one if the node was in trouble %s',
    (_, ms, isFound) =>
      played((stage, period) => {
        const [n1] = nodesOf(stage);
        const { now } = stage.scheduler;
        stage.witness.proved(n1, { userId: 1, period, kind: 'socket' });
        n1.troubles.add(now + ms, now + 12_000);
        const logoutAt = stage.redis.wall - 60_000;
        stage.scheduler.suspend(11_000);
        n1.kill();
        stage.scheduler.suspend(11_500);
        stage.witness.ended(dutyOf(stage, period, { reason: 'node-lost', logoutAt }));
        expect(found(stage).includes('ms too early')).toBe(isFound);
      })(),
  );
});

describe('a logout if one node had lost the user before Redis lost its data', () => {
  it.each([
    ['follows the proofs of the other node', true, false],
    ['follows the proofs of both while both hold the user', false, true],
  ])('[ST5] %s', (_, hasLetGo, isFound) =>
    played((stage, period) => {
      const [n1, n2] = nodesOf(stage);
      const logoutAt = stage.redis.wall + 15_000;
      stage.loginByHttp(n2, 1);
      stage.scheduler.suspend(6000);
      stage.witness.proved(n1, { userId: 1, period, kind: 'socket' });
      stage.scheduler.suspend(1);
      if (hasLetGo) stage.redis.world.records.get(1)?.holds.delete(n1.name);
      stage.witness.forgot();
      stage.witness.disturbedUntil = Number.NEGATIVE_INFINITY;
      stage.scheduler.suspend(11_000);
      stage.witness.ended(dutyOf(stage, period, { reason: 'timeout', logoutAt }));
      expect(found(stage).includes('ms too early')).toBe(isFound);
    })(),
  );
});

describe('a period that is reconciled while its node is cut off since a wipe', () => {
  /** As in history 88110 of seed 20261401. The user shows life up to that moment, and no logout lies in the future. */
  it(
    '[ST5] ends at the moment of the settlement',
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      const settled = (): PeriodRow | undefined => stage.sql.rows.get(`1:${period}`);
      stage.witness.forgot();
      stage.redis.wipe();
      n1.trouble(stage.scheduler.now, 60_000);
      n1.link.cut = true;
      for (let ms = 0; ms < 60_000 && settled()?.settledAt === null; ms += 10) stage.advance(10);
      expect(settled()).toMatchObject({
        reason: 'reconciled',
        node: n1.name,
        settledAt: settled()?.logoutAt,
      });
      stage.strict.checkHealed();
      expect(found(stage)).toBe('');
    }),
  );

  it.each<[string, Cut, boolean]>([
    ['may end at the moment of the settlement', {}, false],
    ['may not end 1 ms before it', { earlierMs: 1 }, true],
    ['may end then if its node was back for 1.9 s', { backMs: 1900 }, false],
    ['may not if its node was back for 2.1 s', { backMs: 2100 }, true],
    ['may not if its node was cut off for 11.9 s', { cutMs: 11_900 }, true],
    ['may not if its node was not cut off', { cutMs: 0 }, true],
  ])('[ST5] %s', (_, { earlierMs = 0, backMs = 0, cutMs = 12_100 }, isFound) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      const at = stage.scheduler.now + 13_000;
      if (cutMs > 0) n1.troubles.add(at - cutMs, at - backMs);
      stage.scheduler.suspend(13_000);
      stage.strict.proved(1, period, n1.name);
      const settledAt = stage.redis.wall;
      const row = { userId: 1, period, loginAt: period, node: n1.name, lastSeenAt: null, settledAt };
      const logoutAt = settledAt - earlierMs;
      stage.sql.rows.set(`1:${period}`, { ...row, logoutAt, reason: 'reconciled' });
      stage.strict.checkHealed();
      expect(found(stage).includes('ms too early, on')).toBe(isFound);
    })(),
  );
});

describe('a logout with an older epoch, once nodes have restored what they hold', () => {
  it.each([
    ['may end a period that was ended in SQL before that', true, false],
    ['does not end a period that was open in SQL', false, true],
  ])('[PR7] %s', (_, isSettled, isFound) =>
    played((stage, period) => {
      stage.connect(stage.device(1, 'b'), nodesOf(stage)[0]);
      if (isSettled) stage.sql.settle([{ id: '1', ...dutyOf(stage, period, {}) }], 1);
      stage.witness.forgot();
      stage.scheduler.suspend(2100);
      const end = { userId: 1, period, epoch: period, loginTime: period, logoutTime: stage.redis.wall };
      stage.witness.ended(dutyOf(stage, period, {}));
      stage.witness.endAsked(
        { userId: 1, reason: 'logout', epoch: period, proofAgeMs: -1 },
        { kind: 'ended', end: { ...end, reason: 'logout' } },
      );
      expect(found(stage).includes('[PR7]')).toBe(isFound);
    })(),
  );
});

describe('a period that its node claims again while a later one has followed it', () => {
  it.each([
    ['may overlap with it: SQL was silent 1.4 s before the claim', 20_000 - 1400, true, false],
    ['may not: SQL was silent 1.6 s before the claim', 20_000 - 1600, true, true],
    ['may: SQL was silent 4.9 s before the later one opened', -4900, true, false],
    ['may not: SQL was silent 5.1 s before that', -5100, true, true],
    ['may: SQL fell silent 1.4 s after the later one opened', 1400, true, false],
    ['may not: SQL fell silent 1.6 s after that', 1600, true, true],
    ['may not: SQL was silent, and nothing claimed it again', 20_000 - 1400, false, true],
  ])('[ST2] %s', (_, silentAfterMs, isClaimed, isFound) =>
    played((stage, period) => {
      const { now } = stage.scheduler;
      const next = stage.redis.wall;
      stage.witness.openings.note(`1:${next}`, now);
      stage.witness.told.set(`1:${next}`, { userId: 1, period: next, loginTime: next });
      stage.witness.sqlTroubles.add(now + silentAfterMs, now + silentAfterMs);
      stage.scheduler.suspend(20_000);
      const claim = claimOf({ mode: 'restate', period });
      const answer = { kind: 'joined', period, epoch: 1, loginTime: period } as const;
      if (isClaimed) stage.witness.claimed(claim, answer, callerOf('n1'));
      const row = { userId: 1, node: 'n1', lastSeenAt: null, settledAt: 1, reason: 'logout' } as const;
      stage.sql.rows.set(`1:${period}`, { ...row, period, loginAt: period, logoutAt: next + 5000 });
      stage.sql.rows.set(`1:${next}`, { ...row, period: next, loginAt: next, logoutAt: next + 1000 });
      checkHealed(stage);
      expect(found(stage).includes('ms after the next login')).toBe(isFound);
    })(),
  );
});

describe('an opening of a period that had ended', () => {
  it.each([
    ['may come back by a failover, 4.9 s after SQL was silent', true, 4900, false],
    ['may not, 5.1 s after SQL was silent', true, 5100, true],
    ['may not come back by itself', false, 4900, true],
  ])('[ST4] %s', (_, isBack, ms, isFound) =>
    played((stage, period) => {
      stage.witness.ended(dutyOf(stage, period, {}));
      stage.sql.settle([{ id: '1', ...dutyOf(stage, period, {}) }], 1);
      stage.witness.rolledBack = isBack;
      stage.witness.sqlTroubles.add(stage.scheduler.now, stage.scheduler.now);
      stage.scheduler.suspend(ms);
      const answer = { period, epoch: 2 * period, loginTime: period, unsettled: undefined };
      stage.witness.minted(claimOf({}), { kind: 'opened', ...answer });
      stage.strict.check();
      expect(found(stage).includes('[ST4]')).toBe(isFound);
    })(),
  );
});

describe('a login by HTTP that continues an opening of an ended period', () => {
  /** User 2 logs in and out by HTTP. Then Redis goes back to the opening, and SQL is silent. Returns the period. */
  function comesBack(stage: Stage, isFailover = true): string {
    const [n1] = nodesOf(stage);
    stage.sql.slowMs = 300;
    stage.loginByHttp(n1, 2);
    stage.advance(250);
    expect(stage.redis.world.records.get(2)?.recorded).toBe(false);
    const restore = stage.redis.snapshot();
    stage.sql.slowMs = 0;
    stage.advance(1000);
    const key = `2:${stage.period(2)}`;
    stage.logout(n1, 2);
    stage.advance(500);
    expect(stage.sql.rows.get(key)?.settledAt).toEqual(expect.any(Number));
    stage.sql.hanging = true;
    stage.witness.forgot();
    stage.witness.rolledBack = isFailover;
    stage.failover(restore, 100);
    return key;
  }

  /** As in history 43832 of seed 20261218. SQL does not answer the second login, whatever the witness knows about that. */
  it.each([
    ['may do so after a failover, while SQL is silent', { isFailover: true, silentAgoMs: 0 }, false],
    ['may not if SQL was silent 5 s before the login', { isFailover: true, silentAgoMs: 5000 }, true],
    ['may not if SQL was never silent', { isFailover: true, silentAgoMs: undefined }, true],
    ['may not without a failover', { isFailover: false, silentAgoMs: 0 }, true],
  ])('[ST4] %s', (_, { isFailover, silentAgoMs }, isFound) =>
    played((stage) => {
      const key = comesBack(stage, isFailover);
      const silentAt = stage.scheduler.now - (silentAgoMs ?? 0);
      if (silentAgoMs !== undefined) stage.witness.sqlTroubles.add(silentAt, silentAt);
      stage.loginByHttp(nodesOf(stage)[0], 2);
      stage.advance(4000);
      expect(`2:${stage.period(2)}`).toBe(key);
      stage.strict.check();
      expect(found(stage).includes(`[ST4] ${key} is settled while it runs`)).toBe(isFound);
    })(),
  );

  it(
    '[ST4] is a new claim, not a claim that the network delivers twice',
    played((stage) => {
      const [n1] = nodesOf(stage);
      const claims = vi.spyOn(stage.redis, 'claim');
      const renewals = vi.spyOn(stage.redis, 'renew');
      const key = comesBack(stage);
      stage.witness.sqlTroubles.add(stage.scheduler.now, stage.scheduler.now);
      renewals.mockClear();
      stage.advance(600);
      const caller = renewals.mock.calls.map(([by]) => by).findLast(({ node }) => node === n1.name);
      const opening = claims.mock.calls.flatMap(([, batch]) => batch).filter(({ mode }) => mode === 'http');
      expect(stage.redis.claim(caller ?? callerOf('n1'), opening)).toMatchObject([{ kind: 'opened' }]);
      expect(stage.witness.broughtBack.has(key)).toBe(false);
    }),
  );
});

describe('an opening that another period has followed', () => {
  /** As in history 23622 of seed 20261215: the two periods overlap. */
  it.each([
    [
      'may come back by a failover, 4.9 s after SQL was silent',
      { isBack: true, isFollowed: true, ms: 4900 },
      false,
    ],
    ['may not, 5.1 s after SQL was silent', { isBack: true, isFollowed: true, ms: 5100 }, true],
    ['may not come back by itself', { isBack: false, isFollowed: true, ms: 4900 }, true],
    [
      'does not come back if the other period was not opened',
      { isBack: true, isFollowed: false, ms: 4900 },
      true,
    ],
  ])('[ST2] %s', (_, { isBack, isFollowed, ms }, isFound) =>
    played((stage, period) => {
      const next = period + 2000;
      const begun = { epoch: period, unsettled: undefined, period, loginTime: period };
      const opens = (opened: typeof begun): void =>
        stage.witness.minted(claimOf({}), { kind: 'opened', ...opened });
      stage.witness.openings.note(`1:${period}`, stage.scheduler.now - 5000, period);
      const told = { userId: 1, period: next, loginTime: next };
      if (isFollowed) stage.witness.openings.note(`1:${next}`, stage.scheduler.now, next);
      stage.witness.told.set(`1:${next}`, told);
      stage.witness.rolledBack = isBack;
      stage.witness.sqlTroubles.add(stage.scheduler.now, stage.scheduler.now);
      stage.scheduler.suspend(ms);
      opens({ ...begun, epoch: 2 * period });
      const row = { userId: 1, node: 'n1', lastSeenAt: null, settledAt: 1, reason: 'timeout' } as const;
      stage.sql.rows.set(`1:${period}`, { ...row, period, loginAt: period, logoutAt: next + 5000 });
      stage.sql.rows.set(`1:${next}`, { ...row, period: next, loginAt: next, logoutAt: next + 5000 });
      checkHealed(stage);
      expect(found(stage).includes('ms after the next login')).toBe(isFound);
    })(),
  );
});

describe('the groups of a period that comes back', () => {
  it.each([
    ['may be older ones if the period had ended', true, false],
    ['are the newest ones if it had not', false, true],
  ])('[GR1] %s', (_, hasEnded, isFound) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      const restore = stage.redis.snapshot();
      stage.request(n1, () => n1.tracker.changeGroup({ group: 'g1', add: [1], remove: [] }));
      stage.advance(200);
      stage.groups.check();
      if (hasEnded) stage.groups.ended({ userId: 1, period });
      stage.witness.forgot();
      stage.groups.forgot();
      restore();
      stage.witness.redisAway.add(stage.scheduler.now, stage.scheduler.now + 4500);
      stage.scheduler.suspend(4500 + 2100);
      stage.groups.check();
      expect(found(stage).includes('[GR1]')).toBe(isFound);
    })(),
  );
});

describe('groups that a node brings back after a failover', () => {
  /** As in histories 4616 and 70309 of seed 20261223: the node was cut off, and came back while the faults healed. */
  it.each([
    ['may be unknown to another node for 5.9 s', { isLost: true, ms: 5900 }, false],
    ['must be known there after 6.1 s', { isLost: true, ms: 6100 }, true],
    ['must be known there at once if Redis had not lost them', { isLost: false, ms: 5900 }, true],
  ])('[GR1] %s', (_, { isLost, ms }, isFound) =>
    onStage({ policy: 'multi' }, (stage) => {
      const [n1, n2] = nodesOf(stage);
      stage.connect(stage.device(1, 'a'), n1);
      stage.connect(stage.device(1, 'b'), n2);
      stage.advance(3000);
      const before = stage.redis.snapshot();
      stage.request(n2, () => n2.tracker.changeGroup({ group: 'g1', add: [1], remove: [] }));
      stage.advance(100);
      const after = stage.redis.snapshot();
      n2.link.cut = true;
      stage.witness.forgot();
      stage.groups.forgot();
      stage.failover(isLost ? before : after, 50);
      stage.advance(5000);
      const record = (): RecordState => stage.redis.world.records.get(1) as RecordState;
      const rev = record().holds.get(n2.name)?.rev;
      n2.link.cut = false;
      while (record().holds.get(n2.name)?.rev === rev) stage.advance(1);
      expect(groupsOf(record())).toEqual(new Set(['g1']));
      vi.spyOn(n1.tracker, 'groupsHere').mockReturnValue('');
      stage.scheduler.suspend(ms);
      stage.groups.checkCalm();
      expect(found(stage).includes('and n1 knows')).toBe(isFound);
    })(),
  );
});
