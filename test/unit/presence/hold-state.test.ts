import { describe, expect, it } from 'vitest';
import {
  ABSENT,
  addSocket,
  adopt,
  answered,
  askEnd,
  claimNothing,
  doubt,
  end,
  evict,
  expiresAt,
  forget,
  giveGroups,
  type Held,
  type HeldConnection,
  type HeldSocket,
  type HoldState,
  hearGroups,
  httpProof,
  lose,
  miss,
  NO_PROOF,
  newestProof,
  openSocket,
  type Proof,
  proveByHttp,
  removeSocket,
  renewEpoch,
  renewGroups,
  restoreHttp,
  socketProof,
  socketsOf,
} from '../../../src/presence/node/hold-state.ts';

const PERIOD = { period: 1000, loginTime: 1001 };
const KICK = { reason: 'kick', note: 'cheating' } as const;

function at(ms: number): Proof {
  return { observed: ms, monotonic: ms + 5 };
}

function admitted(id: string, rev: number, ms = 0): HeldSocket {
  return { kind: 'admitted', connectionId: id, epoch: rev * 10, rev, groups: '', admitted: at(ms) };
}

function connection(ms: number): HeldConnection {
  const { observed, monotonic } = at(ms);
  return {
    userId: 7,
    registration: {
      ...{ userId: 7, username: '', connectionId: 'a', epoch: 0, period: 0, resumed: false },
      ...{ ip: '', protocol: 'seed' },
    },
    ...{
      provenAt: observed,
      provenAtMonotonic: monotonic,
      isHeldBack: false,
      clientState: 'active' as const,
      close: () => undefined,
    },
  };
}

/** A hold with sockets. Claim 1 adopted its period. */
function held(...sockets: readonly HeldSocket[]): Held {
  return sockets.reduce(addSocket, adopt(ABSENT, PERIOD, 1));
}

function lingering(ms: number): HoldState {
  return removeSocket(held(admitted('a', 1, ms)), 'a', 'connection-lost') ?? ABSENT;
}

describe('a hold is adopted', () => {
  it('[PR1] from absent: held, with nothing proven and nothing in doubt', () => {
    expect(adopt(ABSENT, PERIOD, 4)).toMatchObject({
      ...{ kind: 'held', ...PERIOD, adoptedRev: 4, sockets: [], endAsked: undefined },
      ...{ closeCause: '', isDoubted: false },
    });
    expect(newestProof(adopt(ABSENT, PERIOD, 4))).toEqual(NO_PROOF);
  });

  it('from in doubt: the linger stays, and so does the doubt until a claim gets an answer', () => {
    const state = adopt(doubt(ABSENT, { proof: at(50), rev: 2 }), PERIOD, 3);
    expect(state).toMatchObject({ kind: 'held', isDoubted: true });
    expect(socketProof(state)).toEqual(at(50));
    expect(answered(state, { isHeldInStore: false, claimedCause: '' })).toMatchObject({ isDoubted: false });
  });

  it.each([
    ['held', (state: HoldState) => state],
    ['missing', (state: HoldState) => miss(state, 90)],
  ])('from %s: held, with its sockets; a logout that was asked for is over', (_, before) => {
    const state = adopt(askEnd(before(held(admitted('a', 1))), KICK), PERIOD, 8);
    expect(state).toMatchObject({ kind: 'held', adoptedRev: 8, endAsked: undefined });
    expect(state.sockets).toHaveLength(1);
  });

  it('from ending: held again', () => {
    expect(adopt(claimNothing(held()), PERIOD, 8)).toMatchObject({ kind: 'held', sockets: [] });
  });
});

describe('sockets of a hold', () => {
  it('an admitted socket proves life by its request, an open one by its connection', () => {
    const state = held(admitted('a', 1, 100));
    expect(socketProof(state)).toEqual(at(100));
    const open = openSocket(state, 'a', connection(300));
    expect(open).toBeDefined();
    expect(socketProof(open ?? ABSENT)).toEqual(at(300));
    expect(open).toMatchObject({ sockets: [{ kind: 'open', connectionId: 'a', epoch: 10, rev: 1 }] });
  });

  it('a socket that was taken away does not open, whatever the state', () => {
    for (const state of [ABSENT, doubt(ABSENT), held(), claimNothing(held())])
      expect(openSocket(state, 'a', connection(0))).toBeUndefined();
  });

  it('[PR5] the last socket ends: its proof becomes the linger, its cause is kept for the store', () => {
    const state = lingering(100);
    expect(state).toMatchObject({ kind: 'held', sockets: [], closeCause: 'connection-lost' });
    expect(socketProof(state)).toEqual(at(100));
    expect(removeSocket(state, 'a', 'connection-lost')).toBeUndefined();
  });

  it('an older socket ends: the linger is the newer proof of both', () => {
    const both = held(admitted('a', 1, 100), admitted('b', 2, 200));
    const first = removeSocket(both, 'b', 'replaced') ?? ABSENT;
    const second = removeSocket(first, 'a', 'replaced') ?? ABSENT;
    expect(socketProof(second)).toEqual(at(200));
  });

  it('[PR9] the newest socket carries the epoch of the new connection', () => {
    const state = renewEpoch(held(admitted('a', 1), admitted('b', 2)), 99);
    expect(socketsOf(state).map(({ epoch }) => epoch)).toEqual([10, 99]);
    expect(renewEpoch(ABSENT, 99)).toBe(ABSENT);
  });

  it('[PR4] eviction leaves no socket and no linger of one, but the proof by HTTP', () => {
    const state = evict(proveByHttp(held(admitted('a', 1, 100)), at(50), 2));
    expect(state).toMatchObject({ kind: 'held', sockets: [] });
    expect(socketProof(state)).toEqual(NO_PROOF);
    expect(newestProof(state)).toEqual(at(50));
    expect(evict(ABSENT)).toBe(ABSENT);
  });
});

describe('[PR1] proofs of life by HTTP', () => {
  it('count while a period is held', () => {
    expect(httpProof(proveByHttp(held(), at(70), 2))).toEqual({ proof: at(70), rev: 2 });
    expect(proveByHttp(ABSENT, at(70), 2)).toBe(ABSENT);
  });

  it('are void once a loss covers their claim, even if the answer arrives later', () => {
    const lost = lose(held(), { rev: 5, reason: 'logout' });
    expect(proveByHttp(lost, at(70), 5)).toBe(lost);
    expect(httpProof(proveByHttp(lost, at(70), 6)).rev).toBe(6);
  });

  it('a proof that is not accepted gives way to the one before it, unless that was lost meanwhile', () => {
    const first = proveByHttp(held(), at(70), 2);
    const second = proveByHttp(first, at(90), 3);
    expect(restoreHttp(second, httpProof(first))).toEqual(first);
    const lost = lose(second, { rev: 2, reason: 'kick' });
    expect(httpProof(lost).proof).toEqual(at(90));
    expect(httpProof(restoreHttp(lost, httpProof(first))).proof).toEqual(NO_PROOF);
  });

  it('[HB1] the hold expires with the last of all proofs, each by its own timeout', () => {
    const timeouts = { heartbeatTimeoutMs: 10, httpTimeoutMs: 15 };
    expect(expiresAt(lingering(100), timeouts)).toBe(110);
    expect(expiresAt(proveByHttp(lingering(100), at(96), 2), timeouts)).toBe(111);
    expect(expiresAt(ABSENT, timeouts)).toBe(Number.NEGATIVE_INFINITY);
  });
});

describe('losses', () => {
  it('[PR4] a take-over voids sockets and linger up to its revision; later sockets and HTTP stay', () => {
    const state = lose(proveByHttp(held(admitted('a', 2, 100), admitted('b', 4, 200)), at(50), 1), {
      rev: 3,
      reason: 'replaced',
    });
    expect(socketsOf(state).map(({ connectionId }) => connectionId)).toEqual(['b']);
    expect(httpProof(state).proof).toEqual(at(50));
    expect(socketProof(lose(lingering(100), { rev: 1, reason: 'replaced' }))).toEqual(NO_PROOF);
    expect(socketProof(lose(lingering(100), { rev: 0, reason: 'replaced' }))).toEqual(at(100));
  });

  it('[PR6] a logout also takes the proof by HTTP', () => {
    const state = lose(proveByHttp(held(admitted('a', 2)), at(50), 3), { rev: 3, reason: 'logout' });
    expect(newestProof(state)).toEqual(NO_PROOF);
    expect(state.kind).toBe('held');
  });

  it('a hold without a period remembers what was lost', () => {
    expect(lose(ABSENT, { rev: 9, reason: 'kick' })).toEqual({ kind: 'absent', lostRev: 9 });
    const state = lose(doubt(ABSENT, { proof: at(1), rev: 8 }), { rev: 9, reason: 'replaced' });
    expect(state.kind).toBe('in-doubt');
    expect(newestProof(state)).toEqual(NO_PROOF);
    expect(lose(claimNothing(held()), { rev: 9, reason: 'kick' })).toMatchObject({
      kind: 'ending',
      lostRev: 9,
    });
  });

  it('[PR1] a missing hold that loses its last socket stays missing', () => {
    const state = lose(miss(held(admitted('a', 2)), 90), { rev: 2, reason: 'replaced' });
    expect(state).toMatchObject({ kind: 'missing', sockets: [], since: 90 });
  });
});

describe('in doubt', () => {
  it('a claim without an answer leaves an absent user in doubt, online by the newest linger', () => {
    const once = doubt(ABSENT, { proof: at(50), rev: 2 });
    expect(once).toMatchObject({ kind: 'in-doubt', linger: { proof: at(50), rev: 2 } });
    expect(doubt(once, { proof: at(40), rev: 3 })).toMatchObject({ linger: { proof: at(50), rev: 3 } });
  });

  it('a held user stays held; the doubt outlives the end of the period, and any answer ends it', () => {
    const state = doubt(held(), { proof: at(50), rev: 2 });
    expect(state).toMatchObject({ kind: 'held', isDoubted: true });
    expect(end(state)).toMatchObject({ kind: 'in-doubt' });
    expect(newestProof(end(state))).toEqual(NO_PROOF);
    expect(end(answered(state, { isHeldInStore: false, claimedCause: '' }))).toMatchObject({
      kind: 'absent',
    });
  });

  it('is over when the hold is forgotten', () => {
    expect(forget(doubt(ABSENT))).toEqual(ABSENT);
    expect(forget(doubt(held()))).toEqual(ABSENT);
  });
});

describe('an end that may have come', () => {
  it('a hold that claims to have no sockets is ending until the store says that the user is held', () => {
    const ending = claimNothing(lingering(100));
    expect(ending).toMatchObject({ kind: 'ending', period: PERIOD.period });
    expect(answered(ending, { isHeldInStore: false, claimedCause: '' })).toEqual(ending);
    expect(answered(ending, { isHeldInStore: true, claimedCause: '' })).toMatchObject({
      kind: 'held',
      sockets: [],
    });
  });

  it('a hold with sockets, or without a period, is not ending', () => {
    const state = held(admitted('a', 1));
    expect(claimNothing(state)).toBe(state);
    expect(claimNothing(ABSENT)).toBe(ABSENT);
  });

  it('[PR7] a logout without an answer stays open until the store says that the user is held', () => {
    const asked = askEnd(held(admitted('a', 1)), KICK);
    expect(answered(asked, { isHeldInStore: false, claimedCause: '' })).toMatchObject({ endAsked: KICK });
    expect(answered(asked, { isHeldInStore: true, claimedCause: '' })).toMatchObject({ endAsked: undefined });
    expect(askEnd(asked, undefined)).toMatchObject({ endAsked: undefined });
    expect(askEnd(ABSENT, KICK)).toBe(ABSENT);
  });

  it('[PR12] claims carry the cause of a close until the store has received it', () => {
    const state = lingering(100);
    expect(answered(state, { isHeldInStore: true, claimedCause: '' })).toMatchObject({
      closeCause: 'connection-lost',
    });
    expect(answered(state, { isHeldInStore: false, claimedCause: 'connection-lost' })).toMatchObject({
      closeCause: 'connection-lost',
    });
    expect(answered(state, { isHeldInStore: true, claimedCause: 'connection-lost' })).toMatchObject({
      closeCause: '',
    });
  });
});

describe('[PR9] missing', () => {
  const missing = miss(held(admitted('a', 1)), 90);

  it('sockets that the store does not know are missing since the node found out', () => {
    expect(missing).toMatchObject({ kind: 'missing', since: 90 });
    expect(miss(missing, 95)).toBe(missing);
  });

  it('[PR1] so is a user who lingers or proves life by HTTP', () => {
    expect(miss(lingering(100), 90)).toMatchObject({ kind: 'missing', sockets: [], since: 90 });
  });

  it('they stay missing until the store has the hold again', () => {
    expect(answered(missing, { isHeldInStore: false, claimedCause: '' })).toMatchObject({
      kind: 'missing',
      since: 90,
    });
    expect(answered(missing, { isHeldInStore: true, claimedCause: '' })).toMatchObject({ kind: 'held' });
  });

  it('[PR1] the last socket ends or is replaced: the hold stays missing', () => {
    for (const state of [removeSocket(missing, 'a', 'connection-lost'), evict(missing)])
      expect(state).toMatchObject({ kind: 'missing', sockets: [], since: 90 });
    expect(end(missing)).toMatchObject({ kind: 'absent' });
  });
});

describe('[PR1] only the word of the store makes a hold held', () => {
  const proof = { proof: at(100), rev: 9 };
  const unheld: readonly (readonly [string, HoldState])[] = [
    ['absent', ABSENT],
    ['in doubt', doubt(ABSENT, proof)],
    ['missing, with a socket', miss(held(admitted('a', 1)), 90)],
    ['missing, without one', miss(lingering(100), 90)],
    ['ending', claimNothing(lingering(100))],
  ];
  const others: Readonly<Record<string, (state: HoldState) => HoldState | undefined>> = {
    openSocket: (state) => openSocket(state, 'a', connection(300)),
    removeSocket: (state) => removeSocket(state, 'a', 'connection-lost'),
    renewEpoch: (state) => renewEpoch(state, 99),
    renewGroups: (state) => renewGroups(state, 'a', 'g1'),
    hearGroups: (state) => hearGroups(state, '5;g1', 0),
    giveGroups: (state) => giveGroups(state, '5;g1'),
    evict,
    'lose by a take-over': (state) => lose(state, { rev: 5, reason: 'replaced' }),
    'lose by a logout': (state) => lose(state, { rev: 5, reason: 'logout' }),
    proveByHttp: (state) => proveByHttp(state, at(200), 9),
    restoreHttp: (state) => restoreHttp(state, proof),
    doubt: (state) => doubt(state, proof),
    claimNothing,
    'an answer that is not held': (state) => answered(state, { isHeldInStore: false, claimedCause: '' }),
    miss: (state) => miss(state, 95),
    askEnd: (state) => askEnd(state, KICK),
    end,
    forget,
  };

  it.each(unheld)('%s: no other transition does', (_, state) => {
    for (const [name, next] of Object.entries(others))
      expect([name, next(state)?.kind]).not.toEqual([name, 'held']);
  });
});
