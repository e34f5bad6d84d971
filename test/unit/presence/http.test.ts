import { describe, expect, it } from 'vitest';
import { openRoom, settlementOf } from './room.ts';

const USER = 7;

describe('presence by HTTP', () => {
  it('[PR1] a login opens a period with its epoch as the number, and proves life for 15 s', async () => {
    const room = await openRoom();
    const before = room.clock.now();
    const login = await room.during(room.tracker.login({ userId: USER, ip: '198.51.100.7' }));
    if (!login.ok) throw new Error(login.error);
    expect(login.value.resumed).toBe(false);
    const [user] = await room.during(room.tracker.read([USER]));
    expect(user).toMatchObject({ status: 'online', connections: 0, ip: '198.51.100.7', epoch: user?.period });
    await room.clock.advanceAsync(14_900);
    expect(await room.status(USER)).toBe('online');
    await room.clock.advanceAsync(300);
    expect(await room.status(USER)).toBe('offline');
    const { logoutAt = 0, reason } = settlementOf(room, USER) ?? {};
    expect(reason).toBe('timeout');
    expect(logoutAt - before).toBeGreaterThanOrEqual(15_000);
    expect(logoutAt - before).toBeLessThanOrEqual(15_010);
  });

  it('a user that the store does not know is looked up in SQL once, and not called unknown while SQL does not answer', async () => {
    const room = await openRoom();
    const find = (userId: number) => room.during(room.tracker.find(userId));
    expect(await find(8)).toEqual({ ok: true, value: undefined });
    await room.enter(USER);
    room.ledger.down = true;
    expect(await find(USER)).toMatchObject({ ok: true, value: { status: 'online' } });
    expect(await find(8)).toEqual({ ok: false, error: 'settlement-unavailable' });
    // In a batch, users that nobody could look up are offline without times.
    expect(await room.during(room.tracker.read([8]))).toEqual([undefined]);
  });

  it('[PR1] a login of an online user joins: same login time, no epoch, a proof of life', async () => {
    const room = await openRoom();
    const player = await room.enter(USER);
    await room.clock.advanceAsync(3000);
    const login = await room.during(room.tracker.login({ userId: USER, ip: '' }));
    expect(login).toEqual({ ok: true, value: { loginTime: player.accepted.loginTime, resumed: true } });
    const [user] = await room.during(room.tracker.read([USER]));
    expect(user).toMatchObject({ epoch: player.accepted.epoch, ip: '192.0.2.1', connections: 1 });
    expect(player.socket.code).toBeUndefined();
  });

  it('[PR1] HTTP proves life for the user, not for a socket: the silent socket is closed, the user stays', async () => {
    const room = await openRoom();
    const player = await room.enter(USER);
    await room.during(room.tracker.login({ userId: USER, ip: '' }));
    let proof = 0;
    for (let beat = 0; beat < 10; beat += 1) {
      await room.clock.advanceAsync(3000, 25);
      proof = room.clock.now();
      expect((await room.during(room.tracker.heartbeat(USER))).ok).toBe(true);
    }
    expect(player.socket.code).toBe(4100);
    expect(await room.status(USER)).toBe('online');
    await room.clock.advanceAsync(15_200);
    expect(settlementOf(room, USER)).toMatchObject({ lastSeenAt: proof, logoutAt: proof + 15_000 });
  });

  it('[ST5] if a user has an HTTP proof and a socket, the later deadline counts', async () => {
    const room = await openRoom();
    await room.during(room.tracker.login({ userId: USER, ip: '' }));
    const byHttp = room.clock.now();
    await room.clock.advanceAsync(2000);
    const player = await room.enter(USER);
    player.socket.end();
    await room.clock.advanceAsync(13_500);
    expect(await room.status(USER)).toBe('offline');
    const { logoutAt = 0 } = settlementOf(room, USER) ?? {};
    expect(Math.abs(logoutAt - byHttp - 15_000)).toBeLessThanOrEqual(5);
  });

  it('a heartbeat of an offline user gets not-online, and creates nothing', async () => {
    const room = await openRoom();
    expect(await room.during(room.tracker.heartbeat(USER))).toEqual({ ok: false, error: 'not-online' });
    expect(await room.status(USER)).toBeUndefined();
    expect(room.tracker.heldUsers).toBe(0);
  });

  it('[HB1] the answer to a heartbeat names the time of the proof of life, however late the store answers', async () => {
    const room = await openRoom();
    const { clock, store, tracker } = room;
    store.answer = () => ({ kind: 'joined', period: 7, epoch: 0, loginTime: clock.now() });
    const claim = store.claim.bind(store);
    store.claim = async (batch) => {
      const answers = await claim(batch);
      await new Promise<void>((resolve) => clock.after(700, resolve));
      return answers;
    };
    const sentAt = clock.now();
    const beat = await room.during(tracker.heartbeat(USER));
    expect(clock.now() - sentAt).toBeGreaterThanOrEqual(700);
    expect(beat).toMatchObject({ ok: true, value: { lastHeartbeat: sentAt } });
  });

  it('a proof of life counts as a heartbeat only if a client sent one', async () => {
    const room = await openRoom();
    await room.during(room.tracker.login({ userId: USER, ip: '' }));
    expect((await room.during(room.tracker.heartbeat(USER))).ok).toBe(true);
    expect(room.manager.counters.heartbeats).toBe(0);
  });

  it('a heartbeat at the moment of the timeout does not bring an ended period back', async () => {
    const room = await openRoom();
    await room.during(room.tracker.login({ userId: USER, ip: '' }));
    room.store.answer = undefined;
    await room.clock.advanceAsync(15_060, 5);
    const beat = await room.during(room.tracker.heartbeat(USER));
    const status = await room.status(USER);
    expect([beat.ok, status]).toEqual(status === 'online' ? [true, 'online'] : [false, 'offline']);
    await room.clock.advanceAsync(16_000);
    expect(room.ledger.settlements).toHaveLength(1);
  });
});

describe('logout and kick', () => {
  it('[PR6] [ST5] a logout ends the period now, closes with 4000, and leaves no hold', async () => {
    const room = await openRoom();
    const player = await room.enter(USER);
    await room.play(player, 2000);
    const logout = await room.during(room.tracker.logout({ userId: USER, reason: 'logout' }));
    if (!logout.ok) throw new Error(logout.error);
    expect(Math.abs(logout.value.logoutTime - room.clock.now())).toBeLessThanOrEqual(3);
    expect(player.socket.code).toBe(4000);
    await room.clock.advanceAsync(20);
    expect(settlementOf(room, USER)).toMatchObject({ reason: 'logout', logoutAt: logout.value.logoutTime });
    expect(await room.status(USER)).toBe('offline');
    expect(room.tracker.heldUsers).toBe(0);
    expect(await room.during(room.tracker.lastLogout(USER))).toBe(logout.value.logoutTime);
    expect(await room.during(room.tracker.logout({ userId: USER, reason: 'logout' }))).toEqual({
      ok: false,
      error: 'not-online',
    });
  });

  it('[PR2] the next login opens a new, greater period', async () => {
    const room = await openRoom();
    const player = await room.enter(USER);
    await room.during(room.tracker.logout({ userId: USER, reason: 'logout' }));
    const next = await room.enter(USER);
    expect(next.accepted.resumed).toBe(false);
    expect(next.accepted.period).toBeGreaterThan(player.accepted.period);
    await room.play(next, 15_000);
    expect(await room.status(USER)).toBe('online');
  });

  it('[PR7] a logout with an older epoch changes nothing', async () => {
    const room = await openRoom();
    const older = await room.enter(USER);
    const newer = await room.enter(USER);
    const stale = { userId: USER, reason: 'logout', epoch: older.accepted.epoch } as const;
    expect(await room.during(room.tracker.logout(stale))).toEqual({ ok: false, error: 'superseded' });
    expect(newer.socket.code).toBeUndefined();
    expect(await room.status(USER)).toBe('online');
    const right = { ...stale, epoch: newer.accepted.epoch };
    expect((await room.during(room.tracker.logout(right))).ok).toBe(true);
  });

  it("[PR7] a logout that is retried after a lost answer and the user's return ends nothing", async () => {
    const room = await openRoom();
    const first = await room.enter(USER);
    room.store.repliesLost.set('end', 1);
    const request = { userId: USER, reason: 'logout', epoch: first.accepted.epoch } as const;
    expect((await room.during(room.tracker.logout(request))).ok).toBe(false);
    const back = await room.enter(USER);
    expect((await room.during(room.tracker.logout(request))).ok).toBe(false);
    expect(back.socket.code).toBeUndefined();
    expect(await room.status(USER)).toBe('online');
  });

  it('[PR6] a kick closes with 4002 and blocks for its time', async () => {
    const room = await openRoom();
    const player = await room.enter(USER);
    await room.during(room.tracker.logout({ userId: USER, reason: 'kick', blockMs: 5000 }));
    expect(player.socket.code).toBe(4002);
    expect(await room.during(room.admit(USER))).toEqual({ ok: false, error: 'blocked' });
    expect(await room.during(room.tracker.login({ userId: USER, ip: '' }))).toEqual({
      ok: false,
      error: 'blocked',
    });
    await room.clock.advanceAsync(5000);
    expect((await room.during(room.admit(USER))).ok).toBe(true);
    expect(settlementOf(room, USER)?.reason).toBe('kick');
  });

  it('a kick of an offline user blocks too', async () => {
    const room = await openRoom();
    await room.during(room.tracker.logout({ userId: USER, reason: 'kick', blockMs: 5000 }));
    expect(await room.during(room.admit(USER))).toEqual({ ok: false, error: 'blocked' });
  });

  it('[PR5] a lingxi.v1 logout message ends the period at once', async () => {
    const room = await openRoom();
    const player = await room.enter(USER, 'lingxi.v1');
    player.socket.hear({ type: 'logout' });
    await room.clock.advanceAsync(50, 1);
    expect(player.socket.code).toBe(4000);
    expect(settlementOf(room, USER)?.reason).toBe('logout');
  });

  it('[PR7] multi: the logout message of a socket that is not the newest closes only that socket', async () => {
    const room = await openRoom({ sessionPolicy: 'multi' });
    const older = await room.enter(USER, 'lingxi.v1');
    const newer = await room.enter(USER, 'lingxi.v1');
    older.socket.hear({ type: 'logout' });
    await room.clock.advanceAsync(50, 1);
    expect([older.socket.code, newer.socket.code]).toEqual([4000, undefined]);
    expect(await room.status(USER)).toBe('online');
    newer.socket.hear({ type: 'logout' });
    await room.clock.advanceAsync(50, 1);
    expect(await room.status(USER)).toBe('offline');
  });

  it('[ST5] no logout is before its login, even if the clock stepped back in between', async () => {
    const room = await openRoom();
    const player = await room.enter(USER);
    room.clock.stepWall(-3_600_000);
    const logout = await room.during(room.tracker.logout({ userId: USER, reason: 'logout' }));
    expect(logout).toEqual({ ok: true, value: { logoutTime: player.accepted.loginTime } });
  });
});

describe('opening a period', () => {
  it('[ST9] SQL does not answer: the login is refused and leaves no trace', async () => {
    const room = await openRoom({ unknownUsers: 'ignore' });
    const lookup = room.ledger.lookup.bind(room.ledger);
    room.ledger.lookup = (userId) => {
      room.ledger.down = false;
      const facts = lookup(userId);
      room.ledger.down = true;
      return facts;
    };
    room.ledger.down = true;
    expect(await room.during(room.admit(USER))).toEqual({ ok: false, error: 'settlement-unavailable' });
    expect(await room.during(room.tracker.login({ userId: USER, ip: '' }))).toEqual({
      ok: false,
      error: 'settlement-unavailable',
    });
    expect(room.ledger.givenUp.map(({ userId }) => userId)).toEqual([USER, USER]);
    expect(await room.status(USER)).toBeUndefined();
    expect(room.tracker.heldUsers).toBe(0);
    expect(room.tracker.onlineCount()).toBe(0);
    await room.clock.advanceAsync(20_000);
    expect(room.ledger.settlements).toEqual([]);
    room.ledger.down = false;
    room.ledger.lookup = lookup;
    expect((await room.enter(USER)).accepted.resumed).toBe(false);
  });

  it('[ST4] a node that does not know of a later period asks SQL before it opens one', async () => {
    const room = await openRoom();
    const { accepted } = await room.enter(USER);
    // The period ends and is settled; the next one begins elsewhere, and the store loses it.
    const end = { userId: USER, reason: 'logout', epoch: 0, proofAgeMs: 0 } as const;
    await room.during(room.store.end([end]));
    await room.during(room.ledger.settled(accepted, 500));
    const later = {
      userId: USER,
      period: accepted.period + 60_000,
      loginAt: room.clock.now(),
      node: 'other',
    };
    await room.ledger.open(later);
    const again = await room.during(room.admit(USER));
    expect(room.ledger.reconciled).toMatchObject([later]);
    expect(again).toMatchObject({ ok: true, value: { resumed: false } });
    expect(again.ok && again.value.period).toBeGreaterThan(later.period);
  });

  it('[ST9] joining a running period needs no SQL', async () => {
    const room = await openRoom();
    await room.enter(USER);
    room.ledger.down = true;
    expect((await room.during(room.admit(USER))).ok).toBe(true);
    expect((await room.during(room.tracker.login({ userId: USER, ip: '' }))).ok).toBe(true);
  });

  it('[ST4] without the reset the login goes on after 500 ms and the row follows', async () => {
    const room = await openRoom({ loginResetsTime: false });
    room.ledger.hanging = true;
    const before = room.clock.monotonic();
    const accepted = await room.during(room.admit(USER));
    if (!accepted.ok) throw new Error(accepted.error);
    expect(room.clock.monotonic() - before).toBeGreaterThanOrEqual(500);
    expect(room.clock.monotonic() - before).toBeLessThanOrEqual(520);
    expect(room.ledger.late).toMatchObject([{ userId: USER, period: accepted.value.period }]);
    expect(await room.status(USER)).toBe('online');
  });

  it('a user without a row is refused under `reject`', async () => {
    const room = await openRoom({ unknownUsers: 'reject' });
    room.ledger.missing.add(USER);
    expect(await room.during(room.admit(USER))).toEqual({ ok: false, error: 'unknown-user' });
    expect(room.store.calls.filter((call) => call.startsWith('socket'))).toEqual([]);
    expect(room.tracker.heldUsers).toBe(0);
  });

  it('[ST6] a login waits for the settlement of the earlier period, for at most 500 ms', async () => {
    const room = await openRoom();
    await room.enter(USER);
    room.ledger.idle = true;
    await room.during(room.tracker.logout({ userId: USER, reason: 'logout' }));
    const before = room.clock.monotonic();
    expect((await room.during(room.admit(USER))).ok).toBe(true);
    expect(room.clock.monotonic() - before).toBeGreaterThanOrEqual(500);
    expect(room.clock.monotonic() - before).toBeLessThanOrEqual(520);
  });

  it('[ST4] an open row that presence does not know is settled before the new period opens', async () => {
    const room = await openRoom();
    const row = { lastSeenAt: null, logoutAt: null, reason: null, settledAt: null, node: 'gone' };
    const period = room.clock.now() + 60_000;
    room.ledger.rows.set(`${USER}:${period}`, { userId: USER, period, loginAt: period, ...row });
    const { accepted } = await room.enter(USER);
    expect(room.ledger.reconciled).toMatchObject([{ userId: USER, period }]);
    expect(accepted.period).toBeGreaterThan(period);
    expect(accepted.resumed).toBe(false);
  });
});
