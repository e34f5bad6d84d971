import { describe, expect, it } from 'vitest';
import { nodesOf, stageOn } from './stage.ts';

const onStage = stageOn('the rules');

/** A tick, the way to Redis, and a renewal. */
const FOUND_WITHIN_MS = 1200;

const HOUR_MS = 3_600_000;

describe('the row of a user whom two nodes hold', () => {
  it(
    '[trap 15] [ST5] names the one that is left: its life counts where Redis is lost later',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const device = stage.device(1);
      stage.connect(device, n1);
      const period = stage.period(1);
      // It comes later, and so the row is of this node.
      stage.loginByHttp(n2, 1);
      stage.advance(1000);
      expect(stage.sql.rows.get(`1:${period}`)?.node).toBe(n2.name);
      void n2.stop();
      stage.advance(HOUR_MS);
      expect(stage.period(1)).toBe(period);
      expect(stage.sql.rows.get(`1:${period}`)?.node).toBe(n1.name);
      const diedAt = stage.redis.wall;
      n1.kill();
      stage.redis.wipe();
      stage.startNode();
      stage.advance(30_000);
      const row = stage.sql.rows.get(`1:${period}`);
      expect(row).toMatchObject({ reason: 'reconciled' });
      expect(row?.logoutAt ?? 0).toBeGreaterThan(diedAt + 10_000 - 5500);
    }),
  );
});

describe('proofs of life after a logout elsewhere', () => {
  it.each(['logout', 'kick'] as const)(
    '[PR7] a %s elsewhere voids the proof by HTTP here: it does not keep the next period alive',
    (reason) =>
      onStage({}, (stage) => {
        const [n1, n2] = nodesOf(stage);
        stage.loginByHttp(n1, 1);
        const first = stage.period(1);
        stage.request(n2, () => n2.tracker.logout({ userId: 1, reason }));
        stage.advance(200);
        const device = stage.device(1);
        stage.connect(device, n2);
        const second = stage.period(1);
        expect(second).toBeGreaterThan(first);
        stage.advance(1000);
        const leftAt = stage.scheduler.now;
        device.socket?.leave(1000);
        stage.advance(10_000 + FOUND_WITHIN_MS);
        expect(stage.holders(1)).toEqual([]);
        expect(stage.ends.map(({ period }) => period)).toEqual([first, second]);
        expect(stage.ends[1]?.now ?? 0).toBeLessThanOrEqual(leftAt + 10_000 + FOUND_WITHIN_MS);
      })(),
  );

  it(
    '[PR1] [PR7] a take-over leaves the proof by HTTP: the user stays online by it',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const [first, second] = [stage.device(1, 'a'), stage.device(1, 'b')];
      stage.connect(first, n1);
      const period = stage.period(1);
      stage.advance(4000);
      stage.loginByHttp(n1, 1);
      const provenAt = stage.scheduler.now;
      stage.connect(second, n2);
      stage.advance(1000);
      second.socket?.vanish();
      stage.advance(12_500);
      expect(stage.period(1)).toBe(period);
      stage.advance(5000);
      expect(stage.ends).toHaveLength(1);
      expect(stage.ends[0]?.now ?? 0).toBeGreaterThanOrEqual(provenAt + 14_500);
    }),
  );
});
