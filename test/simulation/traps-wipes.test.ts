import { describe, expect, it } from 'vitest';
import { groupsOf } from '../../src/presence/rules/groups.ts';
import type { RecordState } from '../../src/presence/rules/record.ts';
import { nodesOf, STAGES, type Stage, stageOn } from './stage.ts';

const HOUR_MS = 3_600_000;
const STEP_MS = 5;

/** Plays on until `isSo`. Fails if that takes longer than a login waits. */
function advanceUntil(stage: Stage, isSo: () => boolean): void {
  for (let waited = 0; !isSo(); waited += STEP_MS) {
    expect(waited).toBeLessThan(6000);
    stage.advance(STEP_MS);
  }
}

function rowOf(stage: Stage, period: number) {
  return stage.sql.rows.get(`1:${period}`);
}

function recordOf(stage: Stage): RecordState {
  const record = stage.redis.world.records.get(1);
  if (record === undefined) throw new Error('user 1 has no record');
  return record;
}

describe.each(STAGES)('what random histories have found about wipes, on %s', (where) => {
  const onStage = stageOn(where);

  it(
    '[ST4] [PR11] a node comes back while another node opens the next period: the earlier period is not settled',
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
    '[ST4] [ST6] a login first settles an open row that presence does not know, at a time before the login',
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
    '[PR11] [PR2] Redis stalls for almost 2 s just after a wipe: a login in that time opens no period',
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
    '[ST2] [PR9] a node restores no period that Redis had taken from it before Redis lost its data',
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
      // The socket on the first node shows no life, so its user does not come back.
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
    '[PR7] [PR9] a socket that Redis lost opens nothing if a logout elsewhere is newer than its last sign of life, %s',
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
        // A sign of life after the logout counts.
        socket?.say('{"type":"ping"}');
        stage.advance(700);
        expect(stage.holders(1)).toEqual([n2.name]);
      })(),
  );

  it(
    '[ST5] [PR4] restoring an older socket does not remove the linger of a newer one',
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
    '[ST5] [PR4] a node that thaws after a failover first learns its losses, and claims no proof of a lost user',
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
    '[PR2] [PR3] after a wipe and a backward clock step, no period gets the number of an opening that was given up',
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

  it(
    '[GR1] [PR11] an ended period that a failover brought back keeps its groups in the next failover',
    onStage({}, (stage) => {
      const [n1] = nodesOf(stage);
      const device = stage.device(1);
      stage.connect(device, n1);
      const period = stage.period(1);
      const beforeLogout = stage.redis.snapshot();
      stage.logout(n1, 1);
      stage.advance(1000);
      expect(rowOf(stage, period)).toMatchObject({ reason: 'logout' });
      stage.failover(beforeLogout, 50);
      stage.advance(5000);
      stage.connect(device, n1);
      expect(stage.period(1)).toBe(period);
      const beforeChange = stage.redis.snapshot();
      stage.request(n1, () => n1.tracker.changeGroup({ group: 'g1', add: [1], remove: [] }));
      stage.advance(200);
      stage.failover(beforeChange, 50);
      expect([...groupsOf(recordOf(stage))]).toEqual([]);
      stage.advance(3000);
      expect(stage.period(1)).toBe(period);
      expect([...groupsOf(recordOf(stage))]).toEqual(['g1']);
      expect(n1.tracker.groupsHere(1)).toBe(recordOf(stage).groups);
    }),
  );

  it(
    '[PR11] [ST2] a period with groups that is ended in SQL is not restored once Redis has lost it',
    onStage({}, (stage) => {
      const [n1] = nodesOf(stage);
      const device = stage.device(1);
      stage.connect(device, n1);
      const period = stage.period(1);
      const beforeLogout = stage.redis.snapshot();
      stage.logout(n1, 1);
      stage.advance(1000);
      stage.failover(beforeLogout, 50);
      stage.advance(5000);
      stage.connect(device, n1);
      expect(stage.period(1)).toBe(period);
      stage.request(n1, () => n1.tracker.changeGroup({ group: 'g1', add: [1], remove: [] }));
      stage.advance(200);
      stage.redis.wipe();
      stage.advance(6000);
      expect(stage.period(1)).toBeGreaterThan(period);
      expect([...groupsOf(recordOf(stage))]).toEqual([]);
    }),
  );

  it(
    '[GR1] a cut-off node brings groups back that Redis lost: the other node learns of them with its next claim',
    onStage({ policy: 'multi' }, (stage) => {
      const [n1, n2] = nodesOf(stage);
      stage.connect(stage.device(1, 'a'), n1);
      stage.connect(stage.device(1, 'b'), n2);
      stage.advance(3000);
      const beforeChange = stage.redis.snapshot();
      stage.request(n2, () => n2.tracker.changeGroup({ group: 'g1', add: [1], remove: [] }));
      stage.advance(100);
      n2.link.cut = true;
      stage.failover(beforeChange, 50);
      stage.advance(6000);
      expect([...groupsOf(recordOf(stage))]).toEqual([]);
      n2.link.cut = false;
      advanceUntil(stage, () => groupsOf(recordOf(stage)).has('g1'));
      expect(n1.tracker.groupsHere(1)).toBe('');
      stage.advance(3600);
      expect(n1.tracker.groupsHere(1)).toBe(recordOf(stage).groups);
    }),
  );
});

describe.each(STAGES)('what random histories have found about openings, on %s', (where) => {
  const onStage = stageOn(where);

  it(
    '[ST4] [ST9] another node continues an opening: the row stays, although the first node gives the opening up',
    onStage({ loginResetsTime: true }, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const [first, second] = [stage.device(1, 'a'), stage.device(1, 'b')];
      stage.sql.slowMs = 1700;
      second.connect(n2);
      advanceUntil(stage, () => stage.redis.world.records.get(1)?.recorded === false);
      const { period } = recordOf(stage);
      // This look at SQL ends when a login may continue the opening, and the row is not there yet.
      stage.sql.slowMs = 1550;
      first.connect(n1);
      stage.advance(100);
      stage.sql.slowMs = 200;
      advanceUntil(stage, () => recordOf(stage).holds.has(n1.name));
      expect(rowOf(stage, period)).toBe(undefined);
      stage.sql.lostReplies = 1;
      advanceUntil(stage, () => rowOf(stage, period) !== undefined);
      expect(rowOf(stage, period)?.node).toBe(n2.name);
      stage.advance(STEP_MS);
      stage.sql.lostReplies = 0;
      advanceUntil(stage, () => first.socket !== undefined);
      expect(second.socket).toBe(undefined);
      expect(stage.holders(1)).toEqual([n1.name]);
      stage.advance(15_000);
      expect(stage.period(1)).toBe(period);
      expect(rowOf(stage, period)).toMatchObject({ node: n1.name, settledAt: null });
    }),
  );
});
