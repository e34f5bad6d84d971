import { describe, expect, it } from 'vitest';
import { nodesOf, STAGES, stageOn } from './stage.ts';

const HOUR_MS = 3_600_000;
/** A tick, and the way to Redis. */
const FOUND_WITHIN_MS = 600;
const USERS = [1, 2, 3, 4];

describe.each(STAGES)('long times and clocks, on %s', (where) => {
  const onStage = stageOn(where);
  /** Another hour only repeats the work of the nodes, and that is the same on both. */
  const downMinutes = where === 'the rules' ? 60 : 5;

  it(
    '[scenario 19] [PR8] [ST5] all nodes stop for an hour: users who return keep their periods, the others are settled once',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const devices = USERS.map((userId) => stage.device(userId));
      devices.forEach((device, index) => stage.connect(device, index % 2 === 0 ? n1 : n2));
      const periods = USERS.map((userId) => stage.period(userId));
      void n1.stop();
      void n2.stop();
      const stoppedAt = stage.scheduler.now;
      stage.advance(HOUR_MS);
      expect(stage.ends).toEqual([]);
      const back = stage.startNode();
      stage.advance(8000);
      expect(stage.ends).toEqual([]);
      for (const device of devices.slice(0, 2)) stage.connect(device, back);
      stage.advance(8000);
      expect(USERS.map((userId) => stage.period(userId))).toEqual([periods[0], periods[1], 0, 0]);
      const ended = new Map(stage.ends.map(({ userId, period, reason }) => [userId, { period, reason }]));
      expect(stage.ends).toHaveLength(2);
      expect(ended.get(3)).toEqual({ period: periods[2], reason: 'node-lost' });
      expect(ended.get(4)).toEqual({ period: periods[3], reason: 'node-lost' });
      for (const { userId, period, logoutAt } of stage.ends) {
        const row = stage.sql.rows.get(`${userId}:${period}`);
        expect(row?.settledAt).not.toBeNull();
        expect(row?.logoutAt).toBe(logoutAt);
        // The user left an hour ago. The logout time is one timeout later.
        expect(stage.redis.wall - logoutAt).toBeGreaterThan(stage.scheduler.now - stoppedAt - 11_000);
      }
    }),
  );

  it(
    '[scenario 28] [PR10] Redis is unreachable for 60 s: nobody is logged out',
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const devices = USERS.map((userId) => stage.device(userId));
      devices.forEach((device, index) => stage.connect(device, index % 2 === 0 ? n1 : n2));
      const periods = USERS.map((userId) => stage.period(userId));
      stage.unreachable();
      stage.advance(60_000);
      expect(devices.map(({ socket }) => socket?.isOpen)).toEqual([true, true, true, true]);
      stage.host.down = false;
      stage.advance(20_000);
      expect(stage.ends).toEqual([]);
      expect(devices.map(({ socket }) => socket?.isOpen)).toEqual([true, true, true, true]);
      expect(USERS.map((userId) => stage.period(userId))).toEqual(periods);
    }),
  );

  it.each([
    ['[scenario 31] [trap 1] the clock of Redis goes 8 h ahead', 8 * HOUR_MS],
    ['[scenario 32] the clock of Redis goes 1 h back', -HOUR_MS],
  ])('[PR2] [HB1] %s: nobody is logged out, a timeout still takes 10 s', (_, stepMs) =>
    onStage({ lastSeenTtlMs: 5000 }, (stage) => {
      const [n1, n2] = nodesOf(stage);
      const [playing, silent] = [stage.device(1), stage.device(2)];
      stage.connect(playing, n1);
      stage.connect(silent, n2);
      const period = stage.period(1);
      stage.redis.skewMs += stepMs;
      stage.advance(30_000);
      expect(stage.ends).toEqual([]);
      stage.connect(playing, n2);
      expect(stage.period(1)).toBe(period);
      const { socket } = silent;
      if (socket !== undefined) socket.pings = false;
      const provenAt = socket?.connection?.provenAtMonotonic ?? 0;
      stage.advance(20_000);
      const [end] = stage.ends;
      expect(stage.ends).toHaveLength(1);
      expect(end).toMatchObject({ userId: 2, reason: 'timeout' });
      const lasted = (end?.now ?? 0) - provenAt;
      expect(lasted).toBeGreaterThanOrEqual(10_000);
      expect(lasted).toBeLessThan(10_000 + FOUND_WITHIN_MS + 1000);
    })(),
  );

  it(
    `[scenario 35] [ST7] PostgreSQL is down for ${downMinutes} minutes: duties wait, and are drained within 5 minutes`,
    onStage({}, (stage) => {
      const [n1, n2] = nodesOf(stage);
      stage.sql.down = true;
      for (let minute = 0; minute < downMinutes; minute += 1) {
        const userId = minute + 1;
        stage.connect(stage.device(userId), minute % 2 === 0 ? n1 : n2);
        expect(stage.period(userId)).toBeGreaterThan(0);
        stage.logout(n2, userId);
        stage.advance(60_000);
      }
      expect(stage.ends).toHaveLength(downMinutes);
      expect(stage.redis.duties.size).toBe(downMinutes);
      stage.sql.down = false;
      stage.advance(300_000);
      expect(stage.redis.duties.size).toBe(0);
      for (const { userId, period, logoutAt } of stage.ends) {
        expect(stage.sql.rows.get(`${userId}:${period}`)).toMatchObject({ logoutAt, reason: 'logout' });
        expect(stage.sql.times.get(userId)).toBe(logoutAt);
      }
    }),
  );

  it.each([
    ['including the monotonic clock', true],
    ['but the monotonic clock goes on', false],
  ])(
    '[scenario 43] [HB5] everything sleeps 8 h, %s: no user who sends heartbeats again in time is logged out',
    (_, stands) =>
      onStage({}, (stage) => {
        const [n1, n2] = nodesOf(stage);
        const devices = USERS.map((userId) => stage.device(userId));
        devices.forEach((device, index) => stage.connect(device, index % 2 === 0 ? n1 : n2));
        const periods = USERS.map((userId) => stage.period(userId));
        const sleepMs = 8 * HOUR_MS;
        if (stands) {
          stage.redis.skewMs += sleepMs;
          for (const { clock } of stage.nodes) clock.skewMs += sleepMs;
        } else stage.scheduler.suspend(sleepMs);
        stage.advance(30_000);
        expect(stage.ends).toEqual([]);
        expect(devices.map(({ socket }) => socket?.isOpen)).toEqual([true, true, true, true]);
        expect(USERS.map((userId) => stage.period(userId))).toEqual(periods);
      })(),
  );
});
