import { describe, expect, it } from 'vitest';
import { HTTP_TIMEOUT_MS } from './simulated-node.ts';
import { nodesOf, stageOn } from './stage.ts';

const onStage = stageOn('the rules');

/** A tick, the way to Redis, and a renewal. */
const FOUND_WITHIN_MS = 1200;

const HOUR_MS = 3_600_000;

describe('the row of a user on two nodes', () => {
  it(
    '[trap 15] [ST5] names the remaining node: its signs of life count if Redis loses its data later',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const device = stage.device(1);
      stage.connect(device, n1);
      const period = stage.period(1);
      // This login comes later, so the row names its node.
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
    '[PR1] [PR7] a take-over keeps the proof by HTTP: the user stays online by it',
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

describe('a heartbeat by HTTP that has to wait for the store', () => {
  it(
    '[ST5] proves life at its arrival, even behind another one, and not at the time of the answer',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      stage.loginByHttp(n1, 1);
      stage.redis.wipe();
      const answered: number[] = [];
      const beat = (): void =>
        stage.request(n2, async () => {
          expect(await n2.tracker.heartbeat(1)).toMatchObject({ ok: true });
          answered.push(stage.redis.wall);
        });
      beat();
      stage.advance(800);
      beat();
      const arrivedAt = stage.redis.wall;
      stage.advance(4000);
      expect(answered).toHaveLength(2);
      expect(answered[0] ?? 0).toBeGreaterThan(arrivedAt + 500);
      stage.advance(HTTP_TIMEOUT_MS);
      expect(stage.ends).toHaveLength(1);
      expect(Math.abs((stage.ends[0]?.logoutAt ?? 0) - arrivedAt - HTTP_TIMEOUT_MS)).toBeLessThan(50);
    }),
  );
});
