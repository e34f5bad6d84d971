import { describe, expect, it } from 'vitest';
import { GOOD_LINE } from './network.ts';
import { nodesOf, rowsOf, STAGES, type Stage, stageOn } from './stage.ts';

const HOUR_MS = 3_600_000;
/** A claim that takes a user over, the row of a joined period, and the notice: each one travels for a few milliseconds. */
const NOTICED_MS = 60;

/** SQL has each ended period as it ended, and no duty is left. */
function expectSettled(stage: Stage): void {
  expect(stage.redis.duties.size).toBe(0);
  for (const { userId, period, logoutAt } of stage.ends)
    expect(stage.sql.rows.get(`${userId}:${period}`)).toMatchObject({ logoutAt });
}

describe.each(STAGES)('the traps of the protocol, on %s', (where) => {
  const onStage = stageOn(where);

  it(
    '[trap 2] [PR4] a failover to before a take-over: the loser does not get the user back',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const [first, second] = [stage.device(1, 'a'), stage.device(1, 'b')];
      stage.connect(first, n1);
      const period = stage.period(1);
      const restore = stage.redis.snapshot();
      stage.advance(3400);
      stage.connect(second, n2);
      stage.advance(300);
      stage.failover(restore, 50);
      stage.advance(5000);
      expect(stage.holders(1)).toEqual([n2.name]);
      expect(stage.period(1)).toBe(period);
      expect([first.socket?.isOpen, second.socket?.isOpen]).toEqual([undefined, true]);
      expect(stage.ends).toEqual([]);
    }),
  );

  it.each(['take-over', 'logout'])(
    '[PR4] [PR7] a node hears of a %s elsewhere at once, and not with its next renewal',
    (what) =>
      onStage({}, (stage) => {
        const [n1, n2] = nodesOf(stage);
        // The renewal of the first node may be at any point of its half second.
        for (let user = 1; user <= 6; user += 1) {
          const [first, second] = [stage.device(user, 'a'), stage.device(user, 'b')];
          stage.connect(first, n1);
          const socket = first.socket;
          if (what === 'logout')
            stage.request(n2, () => n2.tracker.logout({ userId: user, reason: 'logout' }));
          else second.connect(n2);
          stage.advance(NOTICED_MS);
          expect(socket?.isOpen).toBe(false);
          stage.advance(67);
        }
      })(),
  );

  it(
    '[trap 3] [PR11] a wipe, and the answer to the next renewal is lost: the user is restored all the same',
    onStage({}, (stage) => {
      const [n1] = nodesOf(stage);
      const device = stage.device(1);
      stage.connect(device, n1);
      const period = stage.period(1);
      stage.redis.wipe();
      n1.link.quality.lostReplies = 1;
      stage.advance(600);
      Object.assign(n1.link.quality, GOOD_LINE);
      stage.advance(5000);
      expect(stage.period(1)).toBe(period);
      expect(device.socket?.isOpen).toBe(true);
    }),
  );

  it(
    '[trap 4] [PR1] the answer to a login is lost: the retry succeeds, and the period has its row',
    onStage({ policy: 'reject' }, (stage) => {
      const [n1] = nodesOf(stage);
      const device = stage.device(1);
      n1.link.quality.lostReplies = 1;
      device.connect(n1);
      stage.advance(100);
      Object.assign(n1.link.quality, GOOD_LINE);
      stage.advance(6000);
      if (device.socket === undefined) stage.connect(device, n1);
      expect(device.socket?.isOpen).toBe(true);
      expect(stage.sql.rows.has(`1:${stage.period(1)}`)).toBe(true);
      stage.logout(n1, 1);
      stage.advance(20_000);
      expect(stage.holders(1)).toEqual([]);
      expectSettled(stage);
    }),
  );

  it(
    '[trap 5] [PR11] a login elsewhere overtakes the restore: it joins the period',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      stage.connect(stage.device(1, 'a'), n1);
      const period = stage.period(1);
      const second = stage.device(1, 'b');
      stage.redis.wipe();
      n1.link.cut = true;
      second.connect(n2);
      stage.advance(1200);
      n1.link.cut = false;
      stage.advance(6000);
      expect(stage.period(1)).toBe(period);
      expect(second.socket?.isOpen).toBe(true);
      expect(stage.holders(1)).toEqual([n2.name]);
      expect(rowsOf(stage, 1)).toBe(1);
    }),
  );

  it(
    '[trap 6] [ST2] a logout whose notice is lost, then a wipe: the settled period does not come back',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const device = stage.device(1);
      stage.connect(device, n1);
      const period = stage.period(1);
      n1.link.cut = true;
      stage.logout(n2, 1);
      stage.advance(1500);
      const row = stage.sql.rows.get(`1:${period}`);
      expect(row?.settledAt).toEqual(expect.any(Number));
      stage.redis.wipe();
      stage.advance(300);
      n1.link.cut = false;
      stage.advance(6000);
      expect(stage.period(1)).not.toBe(period);
      expect(stage.sql.rows.get(`1:${period}`)).toEqual(row);
    }),
  );

  it(
    '[trap 7] [ST2] a period ends before its row was written: the late row is closed',
    onStage({}, (stage) => {
      const [n1] = nodesOf(stage);
      stage.sql.hanging = true;
      const device = stage.device(1);
      device.connect(n1);
      stage.advance(3500);
      const period = stage.period(1);
      expect(period).toBeGreaterThan(0);
      stage.logout(n1, 1);
      expect(stage.sql.rows.size).toBe(0);
      stage.sql.hanging = false;
      stage.advance(20_000);
      expect(stage.sql.rows.get(`1:${period}`)).toMatchObject({ reason: 'logout' });
      expectSettled(stage);
    }),
  );

  it(
    '[trap 8] [scenario 34] [PR7] the answer to a logout is lost, the user returns, the node repeats the logout: the user stays online',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const device = stage.device(1);
      stage.connect(device, n2);
      const first = stage.period(1);
      n1.link.quality.lostReplies = 1;
      stage.logout(n1, 1, device.socket?.connection?.registration.epoch);
      stage.advance(300);
      expect(stage.period(1)).toBe(0);
      stage.connect(device, n2);
      const second = stage.period(1);
      expect(second).toBeGreaterThan(first);
      Object.assign(n1.link.quality, GOOD_LINE);
      stage.advance(15_000);
      expect(stage.period(1)).toBe(second);
      expect(stage.ends.map(({ period }) => period)).toEqual([first]);
    }),
  );

  it(
    '[trap 9] [PR1] a proof by HTTP on one node outlasts a silent socket on another',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      stage.loginByHttp(n1, 1);
      const provenAt = stage.scheduler.now;
      stage.advance(1000);
      const device = stage.device(1);
      stage.connect(device, n2);
      if (device.socket !== undefined) device.socket.pings = false;
      stage.advance(25_000);
      expect(stage.ends).toHaveLength(1);
      expect((stage.ends[0]?.now ?? 0) - provenAt).toBeGreaterThan(14_500);
    }),
  );

  it(
    '[trap 10] [PR4] reject: a clean close on one node, back on another 0.1 s later',
    onStage({ policy: 'reject' }, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const device = stage.device(1);
      stage.connect(device, n1);
      const period = stage.period(1);
      device.socket?.leave(1000);
      stage.advance(100);
      stage.connect(device, n2);
      expect(device.socket?.node).toBe(n2);
      expect(stage.period(1)).toBe(period);
    }),
  );

  it(
    '[trap 11] [PR3] a failover to a server whose clock is an hour behind: epochs rise',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const restore = stage.redis.snapshot();
      const device = stage.device(1);
      stage.connect(device, n1);
      const before = device.socket?.connection?.registration.epoch ?? 0;
      stage.redis.skewMs -= HOUR_MS;
      stage.failover(restore, 50);
      stage.advance(5000);
      stage.connect(device, n2);
      expect(device.socket?.connection?.registration.epoch).toBeGreaterThan(before);
    }),
  );

  it(
    '[trap 12] [HB1] [PR8] killed between its last renewal and a proof: nobody reaps early',
    onStage({}, (stage) => {
      const [n1] = nodesOf(stage);
      const device = stage.device(1);
      stage.connect(device, n1);
      // Renewals come every 500 ms; the kill comes just after a ping.
      stage.advance(4600);
      const provenAt = device.socket?.connection?.provenAtMonotonic ?? 0;
      n1.kill();
      const killedAt = stage.scheduler.now;
      stage.advance(15_000);
      const [end] = stage.ends;
      expect(end).toMatchObject({ userId: 1, reason: 'node-lost' });
      expect((end?.now ?? 0) - provenAt).toBeGreaterThanOrEqual(10_000);
      expect((end?.now ?? 0) - killedAt).toBeLessThanOrEqual(12_000);
    }),
  );

  it(
    '[trap 13] [PR9] a thawed node accepts a user before its first renewal: peers do not reap this hold',
    onStage({}, (stage) => {
      const [n1] = nodesOf(stage);
      stage.advance(2000);
      n1.clock.freeze();
      stage.advance(20_000);
      const device = stage.device(1);
      device.connect(n1);
      stage.advance(500);
      n1.clock.thaw();
      stage.advance(2000);
      if (device.socket === undefined) stage.connect(device, n1);
      const period = stage.period(1);
      expect(period).toBeGreaterThan(0);
      stage.advance(20_000);
      expect(stage.period(1)).toBe(period);
      expect(device.socket?.isOpen).toBe(true);
      expect(stage.ends).toEqual([]);
    }),
  );

  it(
    '[trap 14] [PR7] [PR11] after a wipe, a logout counts if it names an epoch from before the wipe',
    onStage({}, (stage) => {
      const [n1] = nodesOf(stage);
      const device = stage.device(1);
      stage.connect(device, n1);
      stage.redis.wipe();
      stage.advance(5000);
      expect(stage.period(1)).toBeGreaterThan(0);
      device.socket?.say('{"type":"logout"}');
      stage.advance(500);
      expect(stage.period(1)).toBe(0);
      expect(stage.ends.map(({ reason }) => reason)).toEqual(['logout']);
    }),
  );

  it(
    '[trap 15] [ST5] a user moves, the old node stops, Redis loses its data an hour later: the signs of life of the new node count',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const device = stage.device(1);
      stage.connect(device, n1);
      const period = stage.period(1);
      stage.connect(device, n2);
      void n1.stop();
      stage.advance(HOUR_MS);
      expect(stage.period(1)).toBe(period);
      const diedAt = stage.redis.wall;
      n2.kill();
      stage.redis.wipe();
      stage.startNode();
      stage.advance(30_000);
      const row = stage.sql.rows.get(`1:${period}`);
      expect(row).toMatchObject({ reason: 'reconciled' });
      expect(row?.logoutAt ?? 0).toBeGreaterThan(diedAt + 10_000 - 5500);
      expect(row?.logoutAt ?? 0).toBeLessThan(diedAt + 10_500);
    }),
  );
});
