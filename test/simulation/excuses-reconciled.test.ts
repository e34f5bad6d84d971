import { describe, expect, it, vi } from 'vitest';
import type { LogoutReason } from '../../src/protocol/reasons.ts';
import { callerOf, claimOf, dutyOf, found, playedOn } from './excuse-scenes.ts';
import { nodesOf, STAGES, type Stage, stageOn } from './stage.ts';

const HOUR_MS = 3_600_000;
const played = playedOn(stageOn('the rules'));

/** User 1 plays on the first node, which freezes while Redis loses its data. Returns once the other node is about to reconcile. */
function isAboutToBeReconciled(stage: Stage): string {
  const [n1] = nodesOf(stage);
  stage.connect(stage.device(1), n1);
  const key = `1:${stage.period(1)}`;
  n1.trouble(stage.scheduler.now, 60_000);
  n1.clock.freeze();
  stage.witness.forgot();
  stage.redis.wipe();
  // From the third look on, the row has been unknown to presence for 12 s.
  const looks = vi.spyOn(stage.sql, 'openPeriods');
  while (looks.mock.calls.length < 4) stage.advance(1);
  looks.mockRestore();
  stage.advance(3);
  return key;
}

describe.each(STAGES)('a node that restores a period while another node reconciles it, on %s', (where) => {
  const onStage = stageOn(where);

  /** As in history 1163 of seed 20261401. */
  it.each([
    ['keeps it running: its logout counts, because it is the later one', 0, 'timeout'],
    ['keeps it running: the reconciled logout counts if the clock of Redis goes back', HOUR_MS, 'reconciled'],
  ])('[ST2] %s', (_, backMs, reason) =>
    onStage({}, (stage) => {
      const [n1] = nodesOf(stage);
      const key = isAboutToBeReconciled(stage);
      stage.sql.slowMs = 3000;
      n1.clock.thaw();
      n1.troubledUntil = stage.scheduler.now;
      n1.troubles.heal(stage.scheduler.now);
      stage.advance(5000);
      stage.strict.check();
      expect(`1:${stage.period(1)}`).toBe(key);
      expect(stage.sql.rows.get(key)?.settledAt).toBe(null);
      stage.advance(3000);
      expect(stage.sql.rows.get(key)).toMatchObject({ reason: 'reconciled' });
      expect(`1:${stage.period(1)}`).toBe(key);
      stage.sql.slowMs = 0;
      if (backMs > 0) stage.witness.redisStepped(-backMs);
      stage.redis.skewMs -= backMs;
      for (const { socket } of stage.devices) if (socket !== undefined) socket.pings = false;
      stage.advance(30_000);
      expect(stage.ends).toMatchObject([{ reason: 'timeout' }]);
      expect(stage.sql.rows.get(key)).toMatchObject({ reason });
      stage.strict.checkHealed();
      expect(found(stage)).toBe('');
    })(),
  );
});

interface Crossed {
  /** Time from the restore to the settlement. */
  readonly ms: number;
  readonly isLate?: boolean;
  readonly frozenMs?: number;
  readonly laterBy?: number;
  readonly reason?: LogoutReason;
}

describe('a reconciled logout of a period that its node has restored', () => {
  it.each([
    ['may be the later one, 8.9 s after the restore', { ms: 8900 }, false],
    ['may not, 9.1 s after it', { ms: 9100 }, true],
    ['may 9.1 s after it if a node was frozen for 0.3 s of them', { ms: 9100, frozenMs: 300 }, false],
    ['may not if the node was never late', { ms: 8900, isLate: false }, true],
    ['may not be as late as the logout', { ms: 8900, laterBy: 0 }, true],
    ['may not be the earlier one', { ms: 8900, laterBy: -1 }, true],
    ['must be reconciled', { ms: 8900, reason: 'logout' }, true],
  ] satisfies [string, Crossed, boolean][])('[ST2] %s', (_, crossed: Crossed, isFound) =>
    played((stage, period) => {
      const { ms, isLate = true, frozenMs = 0, laterBy = 1, reason = 'reconciled' } = crossed;
      const [n1, n2] = nodesOf(stage);
      const { now } = stage.scheduler;
      if (isLate) n1.troubles.add(now, now + 15_000);
      stage.witness.forgot();
      stage.witness.redisTroubles.heal(now);
      stage.scheduler.suspend(15_000);
      const joined = { kind: 'joined', period, epoch: period, loginTime: period } as const;
      stage.witness.claimed(claimOf({ mode: 'restate', period }), joined, callerOf(n1.name));
      const restoredAt = stage.scheduler.now;
      stage.strict.check();
      stage.scheduler.suspend(ms);
      n2.frozen.add(restoredAt + 100, restoredAt + 100 + frozenMs);
      stage.strict.check();
      const duty = dutyOf(stage, period, { reason: 'timeout' });
      const logoutAt = duty.logoutAt + laterBy;
      const row = { userId: 1, period, loginAt: period, node: 'n1', lastSeenAt: null, settledAt: 1 };
      stage.sql.rows.set(`1:${period}`, { ...row, logoutAt, reason });
      stage.strict.ended(duty);
      stage.strict.checkHealed();
      expect(found(stage).includes(`[ST2] 1:${period} ended for timeout`)).toBe(isFound);
    })(),
  );
});
