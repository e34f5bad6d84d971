import { describe, expect, it } from 'vitest';
import { nodesOf, STAGES, type Stage, stageOn } from './stage.ts';

const HOUR_MS = 3_600_000;
const STEP_MS = 5;

/** Plays on until `isSo`, and fails if that takes longer than logins wait. */
function advanceUntil(stage: Stage, isSo: () => boolean): void {
  for (let waited = 0; !isSo(); waited += STEP_MS) {
    expect(waited).toBeLessThan(6000);
    stage.advance(STEP_MS);
  }
}

function rowOf(stage: Stage, period: number) {
  return stage.sql.rows.get(`1:${period}`);
}

describe.each(STAGES)('what random histories have found about wipes, on %s', (where) => {
  const onStage = stageOn(where);

  it(
    '[ST4] [PR11] a node comes back while another one opens the next period: the earlier one is not settled',
    onStage({ loginResetsTime: true }, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const first = stage.device(1, 'a');
      stage.connect(first, n1);
      const period = stage.period(1);
      n1.clock.freeze();
      stage.redis.wipe();
      stage.sql.slowMs = 1500;
      stage.device(1, 'b').connect(n2);
      advanceUntil(stage, () => stage.redis.world.records.get(1)?.recorded === false);
      n1.clock.thaw();
      stage.advance(5000);
      stage.sql.slowMs = 0;
      expect(stage.period(1)).toBe(period);
      expect(first.socket?.isOpen).toBe(true);
      expect(rowOf(stage, period)?.settledAt).toBe(null);
      stage.logout(n1, 1);
      stage.advance(20_000);
      expect(rowOf(stage, period)).toMatchObject({ reason: 'logout' });
    }),
  );

  it(
    '[ST4] [ST6] an open row that presence knows nothing of is settled before the login is answered, by its time',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      stage.connect(stage.device(1, 'a'), n1);
      const period = stage.period(1);
      n1.kill();
      stage.redis.wipe();
      const second = stage.device(1, 'b');
      second.connect(n2);
      advanceUntil(stage, () => second.socket !== undefined);
      const row = rowOf(stage, period);
      expect(row).toMatchObject({ reason: 'reconciled' });
      expect(row?.logoutAt).toBeLessThanOrEqual(stage.redis.world.records.get(1)?.loginTime ?? 0);
    }),
  );

  it(
    '[PR11] [PR2] Redis stalls for almost 2 s just after a wipe: the login that waits in it opens no period',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      stage.connect(stage.device(1, 'a'), n1);
      const period = stage.period(1);
      n1.clock.freeze();
      stage.redis.wipe();
      advanceUntil(stage, () => stage.redis.world.leases.world !== undefined);
      stage.request(n2, () => stage.proveByHttp(n2, 1, true));
      stage.advance(150);
      stage.host.stalled = true;
      n1.clock.thaw();
      stage.advance(1900);
      stage.host.goOn();
      stage.advance(STEP_MS);
      expect(stage.redis.world.records.get(1)?.period ?? period).toBe(period);
      stage.advance(4000);
      expect(stage.period(1)).toBe(period);
    }),
  );

  it(
    '[ST2] [PR9] a node restores no period that Redis had taken from it before it lost its memory',
    onStage({ policy: 'multi' }, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const [first, second] = [stage.device(1, 'a'), stage.device(1, 'b')];
      stage.connect(first, n1);
      const earlier = stage.period(1);
      n1.clock.freeze();
      if (first.socket !== undefined) first.socket.pings = false;
      stage.sql.down = true;
      stage.redis.wipe();
      second.connect(n2);
      advanceUntil(stage, () => second.socket !== undefined);
      const later = stage.period(1);
      expect(later).toBeGreaterThan(earlier);
      // The socket on the first node shows no life: its user is not connected anew.
      n1.clock.thaw();
      stage.advance(1000);
      n2.kill();
      stage.redis.wipe();
      stage.advance(3000);
      expect(stage.period(1)).toBe(0);
      expect(stage.holders(1)).toEqual([]);
    }),
  );

  it.each(['multi', 'replace'] as const)(
    '[PR7] [PR9] a logout elsewhere, after the newest sign of life of a socket that Redis lost: it opens nothing, %s',
    (policy) =>
      onStage({ policy }, (stage) => {
        const [n1, n2] = nodesOf(stage);
        const device = stage.device(1, 'a');
        stage.connect(device, n2);
        const { socket } = device;
        if (socket !== undefined) socket.pings = false;
        stage.heartbeatByHttp(n1, 1);
        n2.clock.freeze();
        stage.advance(12_000);
        n2.clock.thaw();
        stage.advance(1500);
        expect(stage.holders(1)).toEqual([n1.name]);
        expect(socket?.isOpen).toBe(true);
        socket?.say('{"type":"ping"}');
        stage.advance(STEP_MS);
        stage.request(n1, () => n1.tracker.logout({ userId: 1, reason: 'logout' }));
        stage.advance(700);
        expect(stage.ends.map(({ reason }) => reason)).toEqual(['logout']);
        expect(stage.period(1)).toBe(0);
        expect(stage.holders(1)).toEqual([]);
        // What it shows after the logout counts.
        socket?.say('{"type":"ping"}');
        stage.advance(700);
        expect(stage.holders(1)).toEqual([n2.name]);
      })(),
  );

  it(
    '[ST5] [PR4] an older socket that is restored takes the linger of no newer one',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const [first, second] = [stage.device(1, 'a'), stage.device(1, 'b')];
      stage.connect(first, n2);
      n2.link.cut = true;
      if (first.socket !== undefined) first.socket.pings = false;
      stage.connect(second, n1);
      stage.loginByHttp(n1, 1);
      stage.advance(6000);
      const newest = second.socket?.connection?.provenAtMonotonic ?? 0;
      const provenAt = stage.redis.wall - (stage.scheduler.now - newest);
      second.socket?.leave(1000);
      stage.advance(50);
      stage.redis.wipe();
      stage.advance(600);
      n2.link.cut = false;
      stage.advance(25_000);
      expect(stage.ends).toHaveLength(1);
      expect(Math.abs((stage.ends[0]?.logoutAt ?? 0) - (provenAt + 10_000))).toBeLessThan(50);
    }),
  );

  it(
    '[ST5] [PR4] a node that thaws after a failover hears first what was taken from it, and states no proof of that',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const [first, second] = [stage.device(1, 'a'), stage.device(1, 'b')];
      stage.connect(first, n1);
      n1.clock.freeze();
      // The notice does not arrive either.
      n1.link.cut = true;
      stage.connect(second, n2);
      n1.link.cut = false;
      stage.advance(3000);
      const newest = second.socket?.connection?.provenAtMonotonic ?? 0;
      const provenAt = stage.redis.wall - (stage.scheduler.now - newest);
      second.socket?.leave(1000);
      first.socket?.leave(1000);
      stage.advance(50);
      stage.failover(stage.redis.snapshot(), 50);
      stage.advance(3000);
      n1.clock.thaw();
      stage.advance(20_000);
      expect(stage.ends).toHaveLength(1);
      expect(Math.abs((stage.ends[0]?.logoutAt ?? 0) - (provenAt + 10_000))).toBeLessThan(50);
    }),
  );

  it(
    '[PR2] [PR3] the number of an opening that was given back is not given again after a wipe and a step back',
    onStage({ loginResetsTime: true }, (stage) => {
      const [n1] = nodesOf(stage);
      const device = stage.device(1);
      stage.sql.down = true;
      stage.connect(device, n1);
      const given = stage.redis.world.leases.highestEpoch;
      expect([device.socket, given > 0]).toEqual([undefined, true]);
      stage.sql.down = false;
      stage.redis.wipe();
      stage.redis.skewMs -= HOUR_MS;
      stage.advance(5000);
      stage.connect(device, n1);
      expect(stage.period(1)).toBeGreaterThan(given);
    }),
  );
});
