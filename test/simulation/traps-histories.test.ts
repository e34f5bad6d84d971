import { describe, expect, it } from 'vitest';
import { GOOD_LINE } from './network.ts';
import { nodesOf, rowsOf, STAGES, stageOn } from './stage.ts';

describe.each(STAGES)('what random histories have found, on %s', (where) => {
  const onStage = stageOn(where);

  it(
    '[PR5] Redis stalls between a take-over and a reconnect: the user lingers by the reconnect, whatever the node lost before',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const [first, second] = [stage.device(1, 'a'), stage.device(1, 'b')];
      stage.connect(first, n1);
      const period = stage.period(1);
      stage.connect(second, n2);
      stage.host.stalled = true;
      stage.connect(second, n1);
      stage.advance(1500);
      stage.host.goOn();
      stage.advance(3000);
      expect(stage.ends).toEqual([]);
      expect(stage.period(1)).toBe(period);
    }),
  );

  it(
    '[PR11] a node that thaws after a wipe opens no period before it has restored',
    onStage({}, (stage) => {
      const [n1] = nodesOf(stage);
      stage.connect(stage.device(1, 'a'), n1);
      const period = stage.period(1);
      n1.clock.freeze();
      stage.redis.wipe();
      stage.advance(5000);
      stage.connect(stage.device(1, 'b'), n1);
      n1.clock.thaw();
      stage.advance(3000);
      expect(stage.period(1)).toBe(period);
      expect(rowsOf(stage, 1)).toBe(1);
    }),
  );

  it(
    '[PR11] SQL has an opening that was given up: the running period is restored all the same',
    onStage({}, (stage) => {
      const [n1] = nodesOf(stage);
      const device = stage.device(1);
      stage.connect(device, n1);
      const period = stage.period(1);
      const later = { userId: 1, period: period + 100, loginAt: period + 100, node: 'n9' };
      stage.sql.open([later]);
      stage.redis.wipe();
      stage.advance(5000);
      expect(stage.period(1)).toBe(period);
      expect(stage.ends).toEqual([]);
    }),
  );

  it(
    '[PR2] a failover brings an opening back, and SQL has a later period: a login does not continue the opening',
    onStage({ loginResetsTime: true }, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const device = stage.device(1);
      stage.sql.slowMs = 300;
      device.connect(n1);
      stage.advance(450);
      expect(stage.redis.world.records.get(1)?.recorded).toBe(false);
      const restore = stage.redis.snapshot();
      stage.sql.slowMs = 0;
      stage.advance(1000);
      stage.logout(n1, 1);
      stage.connect(device, n1);
      const period = stage.period(1);
      expect(period).toBeGreaterThan(0);
      n1.kill();
      n2.kill();
      stage.failover(restore, 100);
      const n3 = stage.startNode();
      stage.advance(4000);
      stage.connect(device, n3);
      expect(stage.period(1)).toBeGreaterThan(period);
    }),
  );

  it.each(['socket', 'HTTP'])(
    '[PR2] a failover brings an opening back, and its period has ended: a login by %s does not continue it',
    (by) =>
      onStage({ loginResetsTime: true }, (stage) => {
        const [n1, n2] = nodesOf(stage);
        const device = stage.device(1);
        stage.sql.slowMs = 300;
        device.connect(n1);
        stage.advance(450);
        expect(stage.redis.world.records.get(1)?.recorded).toBe(false);
        const restore = stage.redis.snapshot();
        stage.sql.slowMs = 0;
        stage.advance(1000);
        const period = stage.period(1);
        expect(period).toBeGreaterThan(0);
        stage.logout(n1, 1);
        stage.advance(500);
        const row = stage.sql.rows.get(`1:${period}`);
        expect(row).toMatchObject({ reason: 'logout', settledAt: expect.any(Number) });
        n1.kill();
        n2.kill();
        stage.failover(restore, 100);
        const n3 = stage.startNode();
        stage.advance(4000);
        if (by === 'HTTP') stage.loginByHttp(n3, 1);
        else stage.connect(device, n3);
        expect(stage.period(1)).toBeGreaterThan(period);
        expect(stage.sql.rows.get(`1:${period}`)).toEqual(row);
      })(),
  );

  it(
    '[ST5] [PR11] a restored period ends by its own proofs, not by those of the previous period',
    onStage({}, (stage) => {
      const [n1] = nodesOf(stage);
      stage.loginByHttp(n1, 1);
      stage.logout(n1, 1);
      const restore = stage.redis.snapshot();
      const device = stage.device(1);
      stage.connect(device, n1);
      if (device.socket !== undefined) device.socket.pings = false;
      stage.failover(restore, 2000);
      stage.advance(14_000);
      const [first, second, ...more] = stage.ends;
      expect([first?.reason, second?.reason, more]).toEqual(['logout', 'timeout', []]);
      expect((second?.logoutAt ?? 0) - (second?.lastSeenAt ?? 0)).toBe(10_000);
    }),
  );

  it(
    '[ST5] [PR11] a failover brings the previous period back, on another node: the restored period does not get its proofs',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      stage.loginByHttp(n1, 1);
      const restore = stage.redis.snapshot();
      stage.logout(n1, 1);
      const device = stage.device(1);
      stage.connect(device, n2);
      const period = stage.period(1);
      if (device.socket !== undefined) device.socket.pings = false;
      stage.failover(restore, 500);
      stage.advance(20_000);
      const [first, second, ...more] = stage.ends;
      expect([first?.reason, second?.reason, more]).toEqual(['logout', 'timeout', []]);
      expect(second?.period).toBe(period);
      expect((second?.logoutAt ?? 0) - (second?.lastSeenAt ?? 0)).toBe(10_000);
    }),
  );

  it(
    '[PR7] [PR11] a thawed node does not restore a period if a newer one has followed, even if the record has expired',
    onStage({ lastSeenTtlMs: 0 }, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const restore = stage.redis.snapshot();
      stage.loginByHttp(n2, 1);
      const period = stage.period(1);
      n2.clock.freeze();
      stage.failover(restore, 500);
      stage.advance(4000);
      stage.loginByHttp(n1, 1);
      expect(stage.period(1)).toBeGreaterThan(period);
      stage.logout(n1, 1);
      stage.advance(1000);
      expect(stage.redis.world.recordOf(1, stage.redis.wall)).toBeUndefined();
      // The node cannot ask SQL which periods have ended.
      stage.sql.down = true;
      n2.clock.thaw();
      stage.advance(2000);
      expect(stage.holders(1)).toEqual([]);
    }),
  );

  it(
    '[PR3] [PR7] the answer to a claim is lost, and a logout elsewhere follows: the same claim sent again opens nothing',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      stage.loginByHttp(n2, 1);
      n1.link.quality.lostReplies = 1;
      stage.device(1).connect(n1);
      stage.advance(20);
      expect(stage.holders(1)).toContain(n1.name);
      Object.assign(n1.link.quality, GOOD_LINE);
      stage.logout(n2, 1);
      // The node learns of the logout by renewals, while it waits for that answer.
      stage.advance(600);
      n1.link.quality.doubled = Number.EPSILON;
      n1.link.disconnect();
      Object.assign(n1.link.quality, GOOD_LINE);
      stage.advance(55);
      expect(stage.redis.world.records.get(1)?.holds.size ?? 0).toBe(0);
      // The node claims again, with its present state.
      stage.advance(1000);
      expect(stage.holders(1)).toEqual([n1.name]);
      expect(rowsOf(stage, 1)).toBe(2);
    }),
  );

  it.each(['take-over', 'logout'])(
    '[HB1] [PR7] a logout gets no answer, and the hold is gone because of a %s',
    (what) =>
      onStage({}, (stage) => {
        const [n1, n2] = nodesOf(stage);
        const first = stage.device(1, 'a');
        stage.connect(first, n1);
        const period = stage.period(1);
        stage.heartbeatByHttp(n1, 1);
        const provenAt = stage.scheduler.now;
        // The store does not know of that heartbeat. Then the answer to the logout is lost, or the logout itself.
        n1.link.quality[what === 'logout' ? 'lostReplies' : 'lostRequests'] = 1;
        stage.logout(n1, 1, first.socket?.connection?.registration.epoch);
        const second = stage.device(1, 'b');
        if (what === 'take-over') stage.connect(second, n2);
        if (second.socket !== undefined) second.socket.pings = false;
        Object.assign(n1.link.quality, GOOD_LINE);
        stage.advance(20_000);
        expect(stage.ends).toHaveLength(1);
        const [end] = stage.ends;
        expect(end).toMatchObject({ period, reason: what === 'logout' ? 'logout' : 'timeout' });
        expect(first.socket?.isOpen ?? false).toBe(false);
        if (what === 'take-over') expect((end?.now ?? 0) - provenAt).toBeGreaterThan(14_500);
      })(),
  );
});
