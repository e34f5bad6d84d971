import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { BOUNDS } from './bounds.ts';
import { checkHealed } from './checks.ts';
import { dutyOf, found, playedOn } from './excuse-scenes.ts';
import { Spells, troubledSince } from './spells.ts';
import { nodesOf, stageOn } from './stage.ts';

const onStage = stageOn('the rules');
const played = playedOn(onStage);

const FOLDER = new URL('.', import.meta.url);
const DOCS = new URL('../../docs/', import.meta.url);
const plain = (text: string): string => text.replace(/[\s*]+/g, ' ');

interface LooksDead {
  readonly cutMs: number;
  readonly laterMs?: number;
  readonly hasNewer?: boolean;
  readonly earlierBy?: number;
}

describe('the bounds of the witnesses', () => {
  it.each(Object.entries(BOUNDS))('the documents have the words of %s', (_, { document, says }) => {
    expect(plain(readFileSync(new URL(`${document}.md`, DOCS), 'utf8'))).toContain(says);
  });

  it('the excuses name each of them, and no others', () => {
    const named = new Set<string>();
    for (const file of readdirSync(FOLDER).filter((name) =>
      /^(strict|((group|heartbeat)-)?witness(-(openings|treated-as-past))?|troubles|checks)\.ts$/.test(name),
    )) {
      const text = readFileSync(new URL(file, FOLDER), 'utf8').replace(/\n\s*(\/\/|\*)/g, '');
      expect(text, file).not.toContain('bounds of the protocol');
      for (const [group] of text.matchAll(/\bbounds? (`[a-z-]+`(?:, | and )?)+/g))
        for (const [, name] of group.matchAll(/`([a-z-]+)`/g)) named.add(name ?? '');
    }
    expect([...named].sort()).toEqual(Object.keys(BOUNDS).sort());
  });
});

describe('times of trouble', () => {
  it('count as one if the pause between them is short, and begin with the first', () => {
    const [one, other] = [new Spells(), new Spells()];
    one.add(1000, 2000);
    other.add(2500, 4000);
    one.add(9000, 9500);
    expect(troubledSince(4500, 1000, one, other)).toBe(1000);
    expect(troubledSince(4500, 400, one, other)).toBe(4500);
    expect(troubledSince(4400, 400, one, other)).toBe(2500);
    expect(troubledSince(8000, 1000, one, other)).toBe(8000);
    expect(one.msWithin(0, 9200)).toBe(1200);
  });

  it('are counted once if they overlap', () => {
    const stalls = new Spells();
    for (const from of [1000, 1500, 1900, 5000]) stalls.add(from, from + 600);
    expect(stalls.countWithin(0, 9000)).toBe(2);
    expect(stalls.countWithin(3000, 4000)).toBe(0);
    expect(stalls.msWithin(0, 9000)).toBe(1500 + 600);
    stalls.heal(5100);
    expect(stalls.touches(5200, 6000)).toBe(false);
  });

  it('[PR10] no node looks dead because Redis is away for all nodes, however often', () =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      const { now } = stage.scheduler;
      for (let from = now; from < now + 12_000; from += 1500)
        stage.witness.redisTroubles.add(from, from + 400);
      stage.scheduler.suspend(12_000);
      stage.witness.proved(n1, { userId: 1, period, kind: 'socket' });
      stage.scheduler.suspend(1000);
      stage.witness.ended(dutyOf(stage, period, { reason: 'node-lost' }));
      expect(found(stage)).toContain('[HB1]');
    })());
});

describe('an end', () => {
  it(
    '[PR7] without an epoch is never allowed, whatever the answer',
    played((stage) => {
      const request = { userId: 1, reason: 'logout', epoch: 0, proofAgeMs: -1 } as const;
      stage.witness.endAsked(request, { kind: 'young' });
      expect(found(stage)).toContain('[PR7] user 1: a node asks for an end without an epoch');
    }),
  );

  it.each([
    ['1.9 s after Redis lost its data', 0, 1900, false],
    ['2.1 s after that', 0, 2100, true],
    ['1.9 s after Redis returned without its data', 6000, 7900, false],
    ['2.1 s after it returned', 6000, 8100, true],
  ])('[PR7] of an older epoch that ends a newer one %s', (_, awayMs, ms, isFound) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      stage.connect(stage.device(1, 'b'), n1);
      stage.witness.forgot();
      if (awayMs > 0) stage.witness.redisAway.add(stage.scheduler.now, stage.scheduler.now + awayMs);
      stage.advance(ms);
      const end = { userId: 1, period, epoch: period, loginTime: period, logoutTime: stage.redis.wall };
      stage.witness.ended(dutyOf(stage, period, {}));
      stage.witness.endAsked(
        { userId: 1, reason: 'logout', epoch: period, proofAgeMs: -1 },
        { kind: 'ended', end: { ...end, reason: 'logout' } },
      );
      expect(found(stage).includes('[PR7]')).toBe(isFound);
    })(),
  );

  it.each([
    ['while a request without an epoch is in progress', 1, 0, 0, false],
    ['of the next period', 1, 0, 1, true],
    ['after that request has its answer', 1, 1, 0, true],
    ['without such a request', 0, 0, 0, true],
  ])('[PR7] of an older epoch that ends a newer one %s', (_, asked, answered, earlierBy, isFound) =>
    played((stage, period) => {
      stage.connect(stage.device(1, 'b'), nodesOf(stage)[0]);
      for (let count = 0; count < asked; count += 1) stage.witness.asksForAnyEnd(1, 1);
      for (let count = 0; count < answered; count += 1) stage.witness.asksForAnyEnd(1, -1);
      const end = {
        userId: 1,
        period: period - earlierBy,
        epoch: period,
        loginTime: period,
        logoutTime: stage.redis.wall,
      };
      stage.witness.ended(dutyOf(stage, period, {}));
      stage.witness.endAsked(
        { userId: 1, reason: 'logout', epoch: period, proofAgeMs: -1 },
        { kind: 'ended', end: { ...end, reason: 'logout' } },
      );
      expect(found(stage).includes('[PR7]')).toBe(isFound);
    })(),
  );

  it.each([
    ['before it was settled', true],
    ['after it was settled', false],
  ])('[ST2] with a duty that Redis lost %s', (_, isExcused) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      if (isExcused) stage.sql.hanging = true;
      stage.logout(n1, 1);
      if (!isExcused) stage.advance(500);
      stage.witness.forgot();
      const row = { userId: 1, period, loginAt: period, node: 'n1', lastSeenAt: null, settledAt: 1 };
      stage.sql.rows.set(`1:${period}`, { ...row, logoutAt: period, reason: 'reconciled' });
      stage.strict.checkHealed();
      expect(found(stage).includes('[ST2]')).toBe(!isExcused);
    })(),
  );
});

describe('a period that is settled while it runs', () => {
  it.each([
    ['although nothing brought it back', false, false],
    ['although SQL failed, because a failing SQL settles nothing by itself', true, false],
    ['after a rollback brought it back', false, true],
  ])('[ST4] %s', (_, isSqlBad, isBack) =>
    played((stage, period) => {
      const restore = stage.redis.snapshot();
      if (isSqlBad) stage.witness.sqlTroubles.add(stage.scheduler.now - 5000, stage.scheduler.now + 5000);
      if (isBack) {
        stage.logout(nodesOf(stage)[0], 1);
        stage.advance(500);
        stage.witness.forgot();
        restore();
        stage.witness.wentBack();
      } else stage.sql.settle([{ id: '1', ...dutyOf(stage, period, {}) }], 1);
      stage.strict.check();
      expect(found(stage).includes('[ST4]')).toBe(!isBack);
    })(),
  );
});

describe('a period that is reconciled', () => {
  /** The last sign of life may be 6.5 s old. If SQL took nothing before the newest proof, it may be older by that time. */
  it.each([
    ['from a sign of life 6.4 s before the last proof', 0, 6400, false],
    ['from one 6.7 s before it', 0, 6700, true],
    ['from one 6.4 s before SQL fell silent', 3000, 9300, false],
    ['from one 6.7 s before SQL fell silent', 3000, 9700, true],
  ])('[ST5] %s', (_, silentMs, behindMs, isFound) =>
    played((stage, period) => {
      stage.advance(12_000);
      const provenAt = stage.scheduler.now;
      const provenWall = stage.redis.wall;
      if (silentMs > 0) stage.witness.sqlTroubles.add(provenAt - silentMs, provenAt + 1000);
      stage.strict.proved(1, period, 'n1');
      const logoutAt = provenWall - behindMs + 10_000;
      const row = { userId: 1, period, loginAt: period, node: 'n1', lastSeenAt: null, settledAt: 1 };
      stage.sql.rows.set(`1:${period}`, { ...row, logoutAt, reason: 'reconciled' });
      stage.strict.checkHealed();
      expect(found(stage).includes('[ST5]')).toBe(isFound);
    })(),
  );

  it.each([
    ['came before that counts', true],
    ['comes once SQL has the end is too late', false],
  ])('[ST5] a proof of life that %s', (_, isBefore) =>
    played((stage, period) => {
      stage.advance(12_000);
      stage.scheduler.suspend(1000);
      const row = { userId: 1, period, loginAt: period, node: 'n1', lastSeenAt: null, settledAt: 1 };
      const logoutAt = stage.redis.wall - 6700 + 10_000;
      if (isBefore) stage.strict.proved(1, period, 'n1');
      stage.sql.rows.set(`1:${period}`, { ...row, logoutAt, reason: 'reconciled' });
      if (!isBefore) stage.strict.proved(1, period, 'n1');
      stage.strict.checkHealed();
      expect(found(stage).includes('[ST5]')).toBe(isBefore);
    })(),
  );
});

describe('a user of a dead node', () => {
  /** Recorded at most 5 s late, plus the time in which the node could not reach Redis. */
  it.each([
    ['5 s before the last proof', 0, 4900, false],
    ['more than 5 s before it', 0, 5200, true],
    ['5 s before the node was cut off', 4000, 8900, false],
    ['more than 5 s before it was cut off', 4000, 9200, true],
  ])('[ST5] is logged out by a proof from %s', (_, cutMs, behindMs, isFound) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      const provenAt = stage.scheduler.now;
      stage.witness.proved(n1, { userId: 1, period, kind: 'socket' });
      if (cutMs > 0) n1.troubles.add(provenAt - cutMs, provenAt + 1000);
      const logoutAt = stage.redis.wall + 10_000 - behindMs;
      // Nobody could record the last proofs of the node, so they do not count.
      stage.scheduler.suspend(5500);
      n1.kill();
      stage.scheduler.suspend(11_500);
      stage.witness.ended(dutyOf(stage, period, { reason: 'node-lost', logoutAt }));
      expect(found(stage).includes('ms too early')).toBe(isFound);
    })(),
  );

  it.each([
    ['for too short a time to look dead', 8000, true],
    ['for so long that it looks dead', 9500, false],
  ])('[HB1] is logged out although the node lives: it was cut off %s', (_, cutMs, isFound) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      n1.troubles.add(stage.scheduler.now - cutMs, stage.scheduler.now);
      stage.witness.proved(n1, { userId: 1, period, kind: 'socket' });
      stage.witness.ended(dutyOf(stage, period, { reason: 'node-lost' }));
      expect(found(stage).includes('[HB1]')).toBe(isFound);
    })(),
  );
});

describe('a logout that counts a claim of a node that died later', () => {
  it.each([
    ['and Redis stalled after its proof', true, 1, false],
    ['and Redis stalled before its proof', true, -1, true],
    ['and Redis stalled, but the node lives and claims again', false, 1, true],
  ])('[ST5] %s', (_, isDead, disturbedAfterMs, isFound) =>
    played((stage, period) => {
      const [n1, n2] = nodesOf(stage);
      stage.witness.proved(n1, { userId: 1, period, kind: 'http' });
      stage.witness.disturbedUntil = stage.scheduler.now + disturbedAfterMs;
      stage.advance(100);
      stage.connect(stage.device(1, 'b'), n2);
      if (isDead) n1.kill();
      stage.scheduler.suspend(16_000);
      const logoutAt = stage.redis.wall;
      stage.witness.ended(dutyOf(stage, period, { reason: 'timeout', logoutAt }));
      expect(found(stage).includes('after its last proof')).toBe(isFound);
    })(),
  );
});

describe('a node that was cut off before Redis stalled for all nodes', () => {
  /** As in history 3917 of seed 5: a node answers a heartbeat by HTTP during the stall, and then the period ends. */
  it.each([
    ['looked dead before the stall', 11_000, false],
    ['would not have looked dead by itself', 4000, true],
  ])('[HB1] [ST5] %s', (_, cutMs, isFound) =>
    played((stage, period) => {
      const [n1] = nodesOf(stage);
      const { now } = stage.scheduler;
      const logoutAt = stage.redis.wall;
      n1.troubles.add(now, now + cutMs);
      stage.witness.redisTroubles.add(now + cutMs - 500, now + cutMs + 22_000);
      stage.scheduler.suspend(cutMs + 20_000);
      stage.witness.proved(n1, { userId: 1, period, kind: 'http' });
      stage.scheduler.suspend(1500);
      stage.witness.ended(dutyOf(stage, period, { reason: 'node-lost', logoutAt }));
      expect(found(stage).includes('[HB1]')).toBe(isFound);
      expect(found(stage).includes('[ST5]')).toBe(isFound);
    })(),
  );
});

describe('a period that a client knows and SQL does not have', () => {
  it.each([
    ['and did not have when Redis lost its data', true],
    ['although SQL had it then', false],
  ])('[ST2] %s', (_, isExcused) =>
    played((stage, period) => {
      const key = `1:${period}`;
      stage.witness.diedAt = stage.scheduler.now;
      if (isExcused) stage.sql.rows.delete(key);
      stage.witness.forgot();
      stage.sql.rows.delete(key);
      checkHealed(stage);
      expect(found(stage).includes(`[ST2] ${key} is not in SQL`)).toBe(!isExcused);
    })(),
  );
});

describe('a user who connects to a second node', () => {
  /** As in history 41490 of seed 20261212. */
  it.each([
    ['that already had the period by a heartbeat by HTTP', true, false],
    ['that is new to the period', false, true],
  ])('[ST5] %s: a reconciled logout counts the proofs on that node', (_, wasThere, isFound) =>
    played((stage, period) => {
      const [, n2] = nodesOf(stage);
      if (wasThere) stage.strict.isInTwoPlaces(1, period, n2.name);
      stage.strict.came(1, period, n2.name);
      stage.scheduler.suspend(9000);
      stage.strict.proved(1, period, n2.name);
      const row = { userId: 1, period, loginAt: period, node: 'n1', lastSeenAt: null, settledAt: 1 };
      const logoutAt = stage.redis.wall - 5000;
      stage.sql.rows.set(`1:${period}`, { ...row, logoutAt, reason: 'reconciled' });
      stage.strict.checkHealed();
      expect(found(stage).includes('ms too early, on')).toBe(isFound);
    })(),
  );
});

describe('a socket on a node that looked dead, while the period runs on another node', () => {
  /** As in history 16925 of seed 20261221. The node reads what had arrived, and then the socket closes. */
  it(
    '[ST5] proves life when the node thaws',
    onStage({ policy: 'multi' }, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const [first, second] = [stage.device(1, 'a'), stage.device(1, 'b')];
      stage.connect(first, n1);
      stage.connect(second, n2);
      n2.clock.freeze();
      n2.trouble(stage.scheduler.now, 12_500);
      stage.advance(8000);
      first.socket?.leave(1006);
      stage.advance(4500);
      expect(stage.holders(1)).toEqual([n1.name]);
      second.socket?.leave(1006);
      stage.failover(() => undefined, 10);
      n2.clock.thaw();
      const thawedAt = stage.redis.wall;
      stage.advance(13_000);
      expect(stage.ends).toHaveLength(1);
      expect(Math.abs((stage.ends[0]?.logoutAt ?? 0) - thawedAt - 10_000)).toBeLessThan(50);
      expect(found(stage)).toBe('');
    }),
  );

  it.each([
    ['proves life', { cutMs: 12_000 }, false],
    ['proves life until 10 s later, and no longer', { cutMs: 12_000, laterMs: 50 }, true],
    ['would not have looked dead', { cutMs: 8000 }, true],
    ['is not the newest one', { cutMs: 12_000, hasNewer: true }, true],
    ['is of an earlier period', { cutMs: 12_000, earlierBy: 1 }, true],
  ])('[ST5] %s', (_, { cutMs, laterMs = 0, hasNewer = false, earlierBy = 0 }: LooksDead, isFound) =>
    played((stage, period) => {
      const [n1, n2] = nodesOf(stage);
      if (hasNewer) stage.connect(stage.device(1, 'b'), n2);
      else stage.loginByHttp(n2, 1);
      stage.advance(1000);
      stage.redis.world.records.get(1)?.holds.delete(n1.name);
      n1.troubles.add(stage.scheduler.now, stage.scheduler.now + cutMs);
      stage.scheduler.suspend(cutMs);
      stage.witness.proved(n1, { userId: 1, period: period - earlierBy, kind: 'socket' });
      stage.scheduler.suspend(11_000);
      const logoutAt = stage.redis.wall - 1000 + laterMs;
      stage.witness.ended(dutyOf(stage, period, { reason: 'timeout', logoutAt }));
      expect(found(stage).includes('after its last proof')).toBe(isFound);
    })(),
  );
});
