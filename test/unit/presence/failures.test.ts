import { describe, expect, it } from 'vitest';
import { claimOf } from '../../support/presence-subject.ts';
import { NODE, openRoom, type Room, settlementOf } from './room.ts';

const USER = 7;

describe('[PR10] a store that cannot be reached', () => {
  it('keeps connections, freezes timeouts, refuses logins, and resumes afterwards', async () => {
    const room = await openRoom();
    const player = await room.enter(USER);
    const silent = await room.enter(8);
    await room.clock.advanceAsync(6000);
    player.socket.hear('{"type":"ping"}');
    room.store.down = true;
    await room.clock.advanceAsync(600);
    expect(room.tracker.available).toBe(false);
    expect(await room.during(room.admit(9))).toEqual({ ok: false, error: 'presence-unavailable' });
    expect(await room.during(room.tracker.login({ userId: 9, ip: '' }))).toMatchObject({
      error: 'presence-unavailable',
    });
    expect(await room.during(room.tracker.heartbeat(9))).toMatchObject({ error: 'presence-unavailable' });
    expect(await room.during(room.tracker.logout({ userId: USER, reason: 'logout' }))).toMatchObject({
      error: 'presence-unavailable',
    });
    expect(room.manager.sendToUser(USER, 'still', 1).status).toBe('written');
    for (let second = 0; second < 120; second += 1) {
      await room.clock.advanceAsync(1000, 50);
      player.socket.hear('{"type":"ping"}');
    }
    expect([player.socket.code, silent.socket.code]).toEqual([undefined, undefined]);
    expect(room.ledger.settlements).toEqual([]);
    room.store.down = false;
    await room.clock.advanceAsync(1000);
    expect(room.tracker.available).toBe(true);
    expect(await room.status(8)).toBe('online');
    expect((await room.during(room.admit(9))).ok).toBe(true);
    await room.clock.advanceAsync(1500);
    expect(silent.socket.code).toBeUndefined();
    await room.clock.advanceAsync(2000);
    expect(silent.socket.code).toBe(4100);
    expect(await room.status(USER)).toBe('online');
  });

  it('lingers freeze as well', async () => {
    const room = await openRoom();
    const player = await room.enter(USER);
    player.socket.end();
    await room.clock.advanceAsync(8000);
    room.store.down = true;
    await room.clock.advanceAsync(60_000, 50);
    room.store.down = false;
    await room.clock.advanceAsync(700);
    expect(await room.status(USER)).toBe('online');
    await room.clock.advanceAsync(2000);
    expect(await room.status(USER)).toBe('offline');
  });

  it('logs the loss once, and the return once', async () => {
    const room = await openRoom();
    await room.enter(USER);
    room.store.down = true;
    await room.clock.advanceAsync(5000);
    room.store.down = false;
    await room.clock.advanceAsync(1000);
    const events = room.logged.map(({ event }) => event);
    expect(events.filter((event) => event === 'presence-unavailable')).toHaveLength(1);
    expect(events.filter((event) => event === 'presence-restored')).toHaveLength(1);
  });

  it('the node claims the end of a socket afterwards', async () => {
    const room = await openRoom();
    const player = await room.enter(USER);
    room.store.down = true;
    await room.clock.advanceAsync(600);
    player.socket.end();
    await room.clock.advanceAsync(5000);
    room.store.down = false;
    await room.clock.advanceAsync(1000);
    expect((await room.during(room.tracker.read([USER])))[0]).toMatchObject({
      status: 'online',
      connections: 0,
    });
    await room.clock.advanceAsync(10_000);
    expect(await room.status(USER)).toBe('offline');
    expect(room.tracker.heldUsers).toBe(0);
  });

  it('[PR11] claims everything again when the store asks, before any login', async () => {
    const room = await openRoom();
    await room.enter(USER);
    await room.enter(8);
    room.store.calls.length = 0;
    room.store.restoring = true;
    await room.clock.advanceAsync(600);
    expect(room.store.calls.filter((call) => call.startsWith('restate')).sort()).toEqual([
      'restate 7',
      'restate 8',
    ]);
    expect(room.tracker.available).toBe(true);
    await room.clock.advanceAsync(2000);
    expect(await room.status(USER)).toBe('online');
  });

  it('[PR11] a heartbeat by HTTP that only the store can answer waits until all is claimed again, as a login does', async () => {
    const room = await openRoom();
    await room.enter(USER);
    const beats: ReturnType<Room['tracker']['heartbeat']>[] = [];
    room.store.answer = ({ mode }) => {
      if (mode === 'restate') beats.push(room.tracker.heartbeat(8));
      return undefined;
    };
    room.store.restoring = true;
    await room.clock.advanceAsync(600);
    expect(beats).toHaveLength(1);
    expect(await room.during(Promise.all(beats))).toEqual([{ ok: false, error: 'not-online' }]);
  });
});

describe('lost answers', () => {
  it.each(['claim', 'record'] as const)(
    'of %s: the client is refused or accepted, and no user stays online by mistake',
    async (call) => {
      const room = await openRoom();
      room.store.repliesLost.set(call, 2);
      const refused = await room.during(room.admit(USER));
      expect(refused.ok).toBe(false);
      await room.clock.advanceAsync(30_000, 50);
      expect(await room.status(USER)).not.toBe('online');
      expect(room.tracker.heldUsers).toBe(0);
      expect(room.tracker.onlineCount()).toBe(0);
    },
  );

  it.each(['claim', 'record'] as const)(
    'of %s: a retry of the client is accepted and counts once',
    async (call) => {
      const room = await openRoom();
      room.store.repliesLost.set(call, 2);
      await room.during(room.admit(USER));
      const player = await room.enter(USER);
      await room.play(player, 20_000);
      expect(await room.status(USER)).toBe('online');
      expect(room.tracker.onlineCount()).toBe(1);
    },
  );

  it('[PR5] of a login while an earlier proof expires: the user stays online for one more timeout, not longer', async () => {
    const room = await openRoom({ renewalMs: 3000 });
    await room.during(room.tracker.login({ userId: USER, ip: '' }));
    // The login by HTTP counts for 15 s.
    await room.clock.advanceAsync(14_920, 5);
    room.store.repliesLost.set('claim', 2);
    expect((await room.during(room.admit(USER))).ok).toBe(false);
    await room.clock.advanceAsync(9500, 25);
    expect(await room.status(USER)).toBe('online');
    await room.clock.advanceAsync(1000, 25);
    expect(await room.status(USER)).toBe('offline');
  });

  it('of a heartbeat: the node keeps no proof that the client does not know of', async () => {
    const room = await openRoom();
    // Online without a hold that this node knows of, as a user of another node.
    const [opened] = await room.store.claim([claimOf(USER, { mode: 'http', rev: 0, httpMs: 3_600_000 })]);
    if (opened?.kind !== 'opened') throw new Error('not opened');
    await room.store.record([{ userId: USER, period: opened.period }]);
    expect(await room.status(USER)).toBe('online');
    room.store.repliesLost.set('claim', 2);
    expect(await room.during(room.tracker.heartbeat(USER))).toMatchObject({ error: 'presence-unavailable' });
    await room.clock.advanceAsync(1000);
    expect(await room.status(USER)).toBe('offline');
    expect(room.tracker.heldUsers).toBe(0);
  });

  it('[ST5] of a claim with nothing left: a heartbeat by HTTP does not count for a period that may be over', async () => {
    const room = await openRoom();
    const player = await room.enter(USER);
    player.socket.end();
    const stated = () => room.store.calls.filter((call) => call === `state ${USER}`).length;
    await room.clock.advanceAsync(9900, 10);
    const before = stated();
    room.store.repliesLost.set('claim', 1);
    while (stated() === before) await room.clock.advanceAsync(10, 10);
    room.store.down = true;
    // This login keeps the user lingering, whatever its outcome.
    expect((await room.during(room.admit(USER))).ok).toBe(false);
    expect(await room.during(room.tracker.heartbeat(USER))).toMatchObject({ error: 'presence-unavailable' });
    room.store.down = false;
    await room.clock.advanceAsync(1000, 10);
    expect((await room.during(room.tracker.login({ userId: USER, ip: '' }))).ok).toBe(true);
    expect((await room.during(room.tracker.heartbeat(USER))).ok).toBe(true);
  });

  it('[ST5] of a logout: a heartbeat by HTTP does not count for that period', async () => {
    const room = await openRoom();
    await room.enter(USER);
    const end = room.store.end.bind(room.store);
    room.store.end = async (batch) => {
      await end(batch);
      room.store.down = true;
      throw new Error('the answer is lost');
    };
    const asked = room.during(room.tracker.logout({ userId: USER, reason: 'logout' }));
    expect(await asked).toMatchObject({ error: 'presence-unavailable' });
    expect(await room.during(room.tracker.heartbeat(USER))).toMatchObject({ error: 'presence-unavailable' });
    room.store.down = false;
    await room.clock.advanceAsync(1000, 10);
    expect(await room.during(room.tracker.heartbeat(USER))).toMatchObject({ error: 'not-online' });
  });

  it('of a kick: the client gets the reason once the node learns that the kick happened', async () => {
    const room = await openRoom();
    const player = await room.enter(USER);
    const end = room.store.end.bind(room.store);
    room.store.end = async (batch) => {
      await end(batch);
      room.store.end = end;
      throw new Error('the answer is lost');
    };
    // As with Redis, which reports a loss only to the other nodes.
    const renew = room.store.renew.bind(room.store);
    room.store.renew = async (request) => ({ ...(await renew(request)), losses: [] });
    const kick = { userId: USER, reason: 'kick', note: 'cheating' } as const;
    expect(await room.during(room.tracker.logout(kick))).toMatchObject({ error: 'presence-unavailable' });
    expect(player.socket.closes).toEqual([]);
    expect(await room.during(room.tracker.logout({ userId: USER, reason: 'logout' }))).toMatchObject({
      error: 'not-online',
    });
    expect(player.socket.closes).toEqual([{ code: 4002, reason: 'cheating' }]);
  });

  it.each([
    ['has continued it', () => Promise.resolve([true])],
    ['may have continued it', () => Promise.reject(new Error('store down'))],
  ])('[ST4] of SQL: the row of an opening stays where another node %s', async (_, knows) => {
    const room = await openRoom({ unknownUsers: 'ignore' });
    room.ledger.open = () => Promise.reject(new Error('SQL down'));
    room.store.knows = knows;
    expect(await room.during(room.admit(USER))).toEqual({ ok: false, error: 'settlement-unavailable' });
    expect(room.ledger.givenUp).toEqual([]);
  });

  it('of a withdrawal: the unwanted period goes', async () => {
    const room = await openRoom({ unknownUsers: 'ignore' });
    room.ledger.open = () => Promise.reject(new Error('SQL down'));
    room.store.withdraw = () => Promise.reject(new Error('store down'));
    expect(await room.during(room.admit(USER))).toEqual({ ok: false, error: 'settlement-unavailable' });
    // Another node may continue the opening, so this node must not delete its row.
    expect(room.ledger.givenUp).toEqual([]);
    await room.clock.advanceAsync(1000);
    expect(await room.during(room.store.knows([{ userId: USER, period: room.clock.now() }]))).toEqual([
      false,
    ]);
    expect(room.tracker.heldUsers).toBe(0);
  });
});

describe('losses', () => {
  it('[PR4] [PR9] a socket that another node took over is closed with 4001, a later one stays', async () => {
    const room = await openRoom();
    const lost = await room.enter(USER);
    room.store.losses.push({ userId: USER, rev: 1_000_000, reason: 'replaced' });
    room.store.answer = ({ mode, sockets }) =>
      mode === 'state' && sockets === 0 ? { kind: 'gone' } : undefined;
    await room.clock.advanceAsync(600);
    expect(lost.socket.code).toBe(4001);
    expect(room.tracker.heldUsers).toBe(0);
    expect(room.ledger.settlements).toEqual([]);
  });

  it('[PR9] a loss voids exactly the claims up to its revision', async () => {
    const room = await openRoom({ sessionPolicy: 'multi' });
    const older = await room.enter(USER);
    const newer = await room.enter(USER);
    room.store.losses.push({ userId: USER, rev: 1, reason: 'replaced' });
    await room.clock.advanceAsync(600);
    expect([older.socket.code, newer.socket.code]).toEqual([4001, undefined]);
    await room.play(newer, 12_000);
    expect(await room.status(USER)).toBe('online');
  });

  it.each([
    ['logout', 4000],
    ['kick', 4002],
  ] as const)('[PR6] %s on another node closes with %d', async (reason, code) => {
    const room = await openRoom();
    const player = await room.enter(USER);
    room.store.losses.push({ userId: USER, rev: 1_000_000, reason, note: 'a note' });
    room.store.answer = ({ mode }) => (mode === 'state' ? { kind: 'gone' } : undefined);
    await room.clock.advanceAsync(600);
    expect(player.socket.closes).toEqual([{ code, reason: 'a note' }]);
    expect(room.tracker.heldUsers).toBe(0);
  });

  it('[PR9] a user without a hold is connected anew once the socket shows life; the logout still counts', async () => {
    const room = await openRoom({ sessionPolicy: 'multi' });
    const extra = await room.enter(USER, 'lingxi.v1');
    const player = await room.enter(USER, 'lingxi.v1');
    room.store.answer = ({ mode }) => (mode === 'state' ? { kind: 'gone' } : undefined);
    extra.socket.end();
    await room.clock.advanceAsync(300, 5);
    const claims = (): number => room.store.calls.filter((call) => call === `socket ${USER}`).length;
    expect(claims()).toBe(2);
    player.socket.pong();
    await room.clock.advanceAsync(600, 5);
    room.store.answer = undefined;
    expect(claims()).toBe(3);
    expect(player.socket.code).toBeUndefined();
    player.socket.hear({ type: 'logout' });
    await room.clock.advanceAsync(50, 1);
    expect(player.socket.code).toBe(4000);
    expect(settlementOf(room, USER)?.reason).toBe('logout');
  });
});

describe('token renewal', () => {
  it.each([
    ['accepted', Promise.resolve({ expiresAt: undefined, issuedAt: undefined }), 'token'],
    ['refused', Promise.resolve(undefined), 'error'],
  ] as const)('%s', async (_name, answer, type) => {
    const room = await openRoom({ renewToken: () => answer });
    const player = await room.enter(USER, 'lingxi.v1');
    player.socket.hear({ type: 'token', data: { token: 'x' } });
    await room.clock.advanceAsync(1);
    expect(player.socket.types).toEqual(['welcome', type]);
  });
});

describe('[ST8] open periods of a dead process', () => {
  const at = Date.UTC(2026, 0, 1) - 60_000;
  const row = {
    ...{ userId: USER, period: at, loginAt: at, node: 'dead' },
    ...{ lastSeenAt: null, logoutAt: null, reason: null, settledAt: null },
  };

  it('linger for one timeout and are settled at the last sign of life of the dead process plus the timeout', async () => {
    const room = await openRoom({ adopt: [row], lastAliveAt: at + 42_000 });
    expect(await room.status(USER)).toBe('online');
    expect(room.tracker.onlineCount()).toBe(1);
    await room.clock.advanceAsync(9000);
    expect(await room.status(USER)).toBe('online');
    await room.clock.advanceAsync(2000);
    expect(await room.status(USER)).toBe('offline');
    expect(settlementOf(room, USER)).toMatchObject({
      ...{ period: at, loginAt: at, reason: 'node-lost', lastSeenAt: at + 42_000, logoutAt: at + 52_000 },
    });
    expect(room.tracker.orphans).toBe(0);
  });

  it('a logout time in the future becomes now', async () => {
    const room = await openRoom({ adopt: [row], lastAliveAt: Date.UTC(2027, 0, 1) });
    await room.clock.advanceAsync(11_000);
    expect(settlementOf(room, USER)?.logoutAt).toBeLessThanOrEqual(room.clock.now());
  });

  it.each(['replace', 'reject', 'multi'] as const)(
    'a user who returns keeps the period, and times out as usual (%s)',
    async (sessionPolicy) => {
      const room = await openRoom({ adopt: [row], sessionPolicy });
      const player = await room.enter(USER);
      expect(player.accepted).toMatchObject({ resumed: true, period: at, loginTime: at });
      await room.play(player, 30_000);
      const proof = room.clock.now();
      expect(await room.status(USER)).toBe('online');
      await room.clock.advanceAsync(10_200);
      expect(await room.status(USER)).toBe('offline');
      expect(settlementOf(room, USER)).toMatchObject({
        reason: 'timeout',
        logoutAt: proof + 10_000,
        node: NODE,
      });
    },
  );

  it.each(['replace', 'multi'] as const)(
    'a user who returns and leaves at once is not kept for ever (%s)',
    async (sessionPolicy) => {
      const room = await openRoom({ adopt: [row], sessionPolicy });
      await room.during(room.tracker.login({ userId: USER, ip: '' }));
      await room.clock.advanceAsync(16_000);
      expect(await room.status(USER)).toBe('offline');
      expect(room.ledger.settlements).toHaveLength(1);
    },
  );
});

describe('[PR4] a client that leaves before its login is done', () => {
  it('is not claimed, even if it left while its claim waited for the previous one', async () => {
    const room = await openRoom();
    let looks = 0;
    const client = { hasLeft: () => ++looks > 1 };
    const request = { userId: USER, username: '', ip: '', protocol: 'lingxi.v1' as const, client };
    expect((await room.during(room.tracker.admit(request))).ok).toBe(false);
    expect(looks).toBeGreaterThan(1);
    expect(room.store.calls).not.toContain(`socket ${USER}`);
  });
});
