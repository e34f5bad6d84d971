import { describe, expect, it } from 'vitest';
import { openRoom, settlementOf } from './room.ts';

const USER = 7;
const PING = '{"type":"ping"}';

describe('presence of one node: connections and linger', () => {
  it('[PR1] [PR2] the first connection opens a period, numbered in milliseconds, and the user is online', async () => {
    const room = await openRoom();
    const { accepted } = await room.enter(USER);
    expect(accepted).toMatchObject({ userId: USER, resumed: false, period: accepted.epoch });
    expect(accepted.period).toBeGreaterThanOrEqual(Date.UTC(2026, 0, 1));
    expect(accepted.loginTime).toBe(accepted.period);
    const [user] = await room.during(room.tracker.read([USER]));
    expect(user).toMatchObject({ status: 'online', connections: 1, username: '玩家7', ip: '192.0.2.1' });
    expect(room.tracker.onlineCount()).toBe(1);
    expect(room.tracker.heldUsers).toBe(1);
  });

  it('[ST4] [ST9] the row is committed before anybody sees the user', async () => {
    const room = await openRoom();
    const seen: unknown[] = [];
    room.ledger.opened = ({ userId }) => {
      seen.push(room.store.calls.includes('record'), room.tracker.onlineCount());
      expect(userId).toBe(USER);
    };
    await room.enter(USER);
    expect(seen).toEqual([false, 0]);
  });

  it('[HB1] [PR6] [ST5] silence: the socket is closed with 4100, and the logout time is the last proof and its timeout', async () => {
    const room = await openRoom();
    const player = await room.enter(USER);
    await room.play(player, 5000);
    const proof = room.clock.now();
    await room.clock.advanceAsync(9999, 1);
    expect(player.socket.code).toBeUndefined();
    expect(await room.status(USER)).toBe('online');
    await room.clock.advanceAsync(150);
    expect(player.socket.code).toBe(4100);
    expect(await room.status(USER)).toBe('offline');
    expect(settlementOf(room, USER)).toMatchObject({
      period: player.accepted.period,
      reason: 'timeout',
      loginAt: player.accepted.loginTime,
      lastSeenAt: proof,
      logoutAt: proof + 10_000,
    });
    expect(room.ledger.settlements).toHaveLength(1);
    expect(room.tracker.onlineCount()).toBe(0);
    expect(room.tracker.heldUsers).toBe(0);
  });

  it('[PR5] a closed socket is no logout: a user who is back in time was never offline', async () => {
    const room = await openRoom();
    const first = await room.enter(USER);
    await room.play(first, 3000);
    first.socket.end(1006);
    await room.clock.advanceAsync(9800, 10);
    expect(await room.status(USER)).toBe('online');
    const second = await room.enter(USER);
    expect(second.accepted).toMatchObject({
      resumed: true,
      period: first.accepted.period,
      loginTime: first.accepted.loginTime,
    });
    expect(second.accepted.epoch).toBeGreaterThan(first.accepted.epoch);
    await room.play(second, 30_000);
    expect(await room.status(USER)).toBe('online');
    expect(room.ledger.settlements).toEqual([]);
  });

  it('[PR5] [ST5] a user who does not return is logged out when the newest proof is a timeout old', async () => {
    const room = await openRoom();
    const player = await room.enter(USER);
    await room.play(player, 3000);
    const proof = room.clock.now();
    await room.clock.advanceAsync(2500);
    player.socket.end();
    await room.clock.advanceAsync(7400, 10);
    expect(await room.status(USER)).toBe('online');
    await room.clock.advanceAsync(250, 10);
    expect(await room.status(USER)).toBe('offline');
    expect(settlementOf(room, USER)).toMatchObject({ lastSeenAt: proof, logoutAt: proof + 10_000 });
  });

  it('[HB5] [ST5] a stall moves the deadline, not the logout time', async () => {
    const room = await openRoom();
    await room.enter(USER);
    const proof = room.clock.now();
    await room.clock.advanceAsync(4000);
    room.clock.stall(30_000);
    await room.clock.advanceAsync(4900);
    expect(await room.status(USER)).toBe('online');
    await room.clock.advanceAsync(300);
    expect(settlementOf(room, USER)?.logoutAt).toBeLessThanOrEqual(proof + 10_005);
  });

  it('[PR4] a newer connection closes the older, and the late end of the older changes nothing', async () => {
    const room = await openRoom();
    const older = await room.enter(USER);
    const newer = await room.enter(USER);
    expect(older.socket.code).toBe(4001);
    expect(newer.accepted).toMatchObject({ resumed: true, period: older.accepted.period });
    older.socket.end(4001);
    await room.play(newer, 15_000);
    expect(await room.status(USER)).toBe('online');
    expect(room.ledger.settlements).toEqual([]);
  });

  it('[PR3] [PR4] two simultaneous logins are accepted one after the other, and the newer socket stays', async () => {
    const room = await openRoom();
    const [first, second] = await room.during(Promise.all([room.admit(USER), room.admit(USER)]));
    if (!first.ok || !second.ok) throw new Error('refused');
    expect([first.value.resumed, second.value.resumed]).toEqual([false, true]);
    expect(second.value.epoch).toBeGreaterThan(first.value.epoch);
    const newer = room.open(second.value);
    const late = room.open(first.value);
    expect([late.socket.code, newer.socket.code]).toEqual([4001, undefined]);
    await room.play(newer, 12_000);
    expect(room.manager.connectionsOf(USER)).toEqual([newer.connection]);
    expect(await room.status(USER)).toBe('online');
  });

  it('many simultaneous logins of many users share their calls', async () => {
    const room = await openRoom();
    const logins = await room.during(
      Promise.all(Array.from({ length: 300 }, (_, index) => room.admit(index))),
    );
    expect(logins.every(({ ok }) => ok)).toBe(true);
    expect(room.store.calls.filter((call) => call === 'claim')).toHaveLength(1);
    expect(room.tracker.onlineCount()).toBe(300);
  });

  it('a login whose client left lingers, ends, and leaves nothing behind', async () => {
    const room = await openRoom();
    const accepted = await room.during(room.admit(USER));
    if (!accepted.ok) throw new Error('refused');
    room.tracker.abandon(accepted.value);
    room.tracker.abandon(accepted.value);
    expect(await room.status(USER)).toBe('online');
    await room.clock.advanceAsync(10_200);
    expect(await room.status(USER)).toBe('offline');
    expect(room.tracker.heldUsers).toBe(0);
  });

  it('[PR3] epochs rise even if the clock steps back and the record is gone', async () => {
    const room = await openRoom({ lastSeenTtlMs: 0 });
    const epochs: number[] = [];
    for (let round = 0; round < 3; round += 1) {
      const player = await room.enter(USER);
      const again = await room.enter(USER);
      epochs.push(player.accepted.epoch, again.accepted.epoch);
      await room.during(room.tracker.logout({ userId: USER, reason: 'logout' }));
      await room.clock.advanceAsync(70_000, 100);
      room.clock.stepWall(-8 * 3_600_000);
    }
    expect(epochs).toEqual([...new Set(epochs)].sort((a, b) => a - b));
  });

  it('logs each step with its stable event', async () => {
    const room = await openRoom();
    await room.enter(USER);
    await room.enter(USER);
    await room.clock.advanceAsync(10_300);
    const events = room.logged.map(({ event }) => event);
    expect(events).toEqual([
      'connected',
      'replaced',
      'disconnected',
      'connected',
      'heartbeat-timeout',
      'disconnected',
      'logged-out',
    ]);
  });

  it('[ST5] a proof of life long after the last one is claimed at once, not with the next renewal', async () => {
    const room = await openRoom({ renewalMs: 60_000 });
    const { socket } = await room.enter(USER);
    const statements = () => room.store.calls.filter((call) => call === `state ${USER}`).length;
    const before = statements();
    await room.clock.advanceAsync(3_000, 100);
    socket.hear(PING);
    await room.clock.advanceAsync(200, 10);
    expect(statements()).toBe(before);
    await room.clock.advanceAsync(3_300, 100);
    socket.hear(PING);
    await room.clock.advanceAsync(200, 10);
    expect(statements()).toBe(before + 1);
  });

  it('[PR12] the timeline has a close once, however often the node claims the user afterwards', async () => {
    const room = await openRoom({ renewalMs: 3_000 });
    const first = await room.enter(USER);
    await room.clock.advanceAsync(1_000, 100);
    first.socket.end();
    await room.clock.advanceAsync(1_000, 100);
    const second = await room.enter(USER);
    await room.play(second, 10_000);
    const timeline = await room.tracker.timeline(USER, { cursor: undefined, limit: 100 });
    expect(timeline?.map(({ event, cause }) => `${event}: ${cause}`)).toEqual([
      'connected: socket',
      'disconnected: client-closed',
      'online: login',
    ]);
  });

  it('stops with its users online: they linger at the next start', async () => {
    const room = await openRoom();
    const player = await room.enter(USER);
    player.socket.end();
    await room.during(room.tracker.stop());
    await room.clock.advanceAsync(30_000, 100);
    expect(room.ledger.settlements).toEqual([]);
  });
});

describe('session policies', () => {
  it('[PR4] reject: refused while a socket lives, but not while the user lingers', async () => {
    const room = await openRoom({ sessionPolicy: 'reject' });
    const player = await room.enter(USER);
    expect(await room.during(room.admit(USER))).toEqual({ ok: false, error: 'session-exists' });
    player.socket.end();
    const back = await room.enter(USER);
    expect(back.accepted.resumed).toBe(true);
    expect(room.manager.connectionsOf(USER)).toEqual([back.connection]);
  });

  it('[PR1] reject: an HTTP login is never refused and closes no socket', async () => {
    const room = await openRoom({ sessionPolicy: 'reject' });
    const player = await room.enter(USER);
    const login = await room.during(room.tracker.login({ userId: USER, ip: '' }));
    expect(login).toEqual({ ok: true, value: { loginTime: player.accepted.loginTime, resumed: true } });
    expect(player.socket.code).toBeUndefined();
  });

  it('[PR4] multi: up to N side by side, the next is refused, and the user is online while one lives', async () => {
    const room = await openRoom({ sessionPolicy: 'multi' });
    const players = [await room.enter(USER), await room.enter(USER), await room.enter(USER)];
    expect(await room.during(room.admit(USER))).toEqual({ ok: false, error: 'session-exists' });
    expect(players.map(({ socket }) => socket.code)).toEqual([undefined, undefined, undefined]);
    players[0]?.socket.end();
    players[1]?.socket.end();
    await room.clock.advanceAsync(1);
    expect((await room.during(room.tracker.read([USER])))[0]?.connections).toBe(1);
    for (const last of players.slice(2)) await room.play(last, 20_000);
    expect(await room.status(USER)).toBe('online');
    expect((await room.enter(USER)).accepted.resumed).toBe(true);
  });

  it('[PR4] more than 5 take-overs in 60 s: the newcomer is refused, the holder stays', async () => {
    const room = await openRoom();
    await room.enter(USER);
    for (let count = 0; count < 5; count += 1) await room.enter(USER);
    const [holder] = room.manager.connectionsOf(USER);
    expect(await room.during(room.admit(USER))).toEqual({ ok: false, error: 'session-flapping' });
    expect(holder?.isOpen).toBe(true);
    for (let second = 0; second < 61; second += 1) {
      await room.clock.advanceAsync(1000, 50);
      holder?.message('{"type":"ping"}');
    }
    expect((await room.during(room.admit(USER))).ok).toBe(true);
  });

  it('[PR4] the take-over of a responsive socket counts, that of a silent one does not', async () => {
    const room = await openRoom();
    // The ping interval of 3 s and 1 s more.
    for (let count = 0; count < 12; count += 1) {
      await room.enter(USER);
      await room.clock.advanceAsync(4_000, 50);
    }
    for (let count = 0; count < 5; count += 1) {
      await room.enter(USER);
      await room.clock.advanceAsync(3_900, 50);
    }
    await room.enter(USER);
    expect(await room.during(room.admit(USER))).toEqual({ ok: false, error: 'session-flapping' });
  });

  it('[PR4] reject: a silent socket is closed with 4001 and blocks nobody, whatever proves life by HTTP', async () => {
    const room = await openRoom({ sessionPolicy: 'reject' });
    const player = await room.enter(USER);
    await room.clock.advanceAsync(3_900, 50);
    expect(await room.during(room.admit(USER))).toEqual({ ok: false, error: 'session-exists' });
    await room.clock.advanceAsync(100, 50);
    await room.during(room.tracker.heartbeat(USER));
    const back = await room.enter(USER);
    expect(back.accepted.resumed).toBe(true);
    expect(player.socket.code).toBe(4001);
    expect(room.manager.connectionsOf(USER)).toEqual([back.connection]);
  });

  it('[PR4] reconnecting after the end of a socket is no take-over', async () => {
    const room = await openRoom();
    for (let count = 0; count < 12; count += 1) (await room.enter(USER)).socket.end();
    expect((await room.during(room.admit(USER))).ok).toBe(true);
  });
});
