import { describe, expect, it } from 'vitest';
import { ANY_WORLD, type Caller, Leases, type Renewal } from '../../../src/presence/rules/lease.ts';
import { claimOf } from '../../support/presence-subject.ts';

const START = 1_000_000;
const DEAD_AFTER_MS = 11_000;
const USER = 7;
const NOTHING_LEFT = { sockets: 0, socketMs: 0, httpMs: 0 };

/** Leases with a wall clock that the test sets. */
function begin() {
  const leases = new Leases();
  const scene = {
    leases,
    wall: START,
    now: () => leases.momentAt(scene.wall),
    after(ms: number) {
      scene.wall += ms;
      return scene;
    },
    renew(node: string, changed: Partial<Caller & Renewal> = {}) {
      const caller = { node, lease: '1', runId: 'run-1', ...changed };
      const renewal = { restatedIn: ANY_WORLD, lived: 0, highestEpoch: 0, ...changed };
      return leases.renew(caller, renewal, scene.now());
    },
    /** A node with holds to restore. */
    returns(node: string, changed: Partial<Caller & Renewal> = {}) {
      return scene.renew(node, { restatedIn: undefined, ...changed });
    },
    calls: (node: string, changed: Partial<Caller> = {}) =>
      leases.signOfLife({ node, lease: '1', runId: 'run-1', ...changed }, scene.now()),
    reap: () => leases.buryDead(DEAD_AFTER_MS, scene.now()),
  };
  return scene;
}

/** After the young window. Time passes in steps that are no stall. */
function grown() {
  const scene = begin();
  scene.renew('a');
  for (let second = 0; second < 3; second += 1) scene.after(1000).calls('a');
  return scene;
}

describe('[HB5] the observed clock', () => {
  it('moves as the wall clock does, and by 2 s at most at one look', () => {
    const scene = begin();
    scene.renew('a');
    const before = scene.now().observed;
    for (const [gap, charged] of [
      [0, 0],
      [1999, 1999],
      [2000, 2000],
      [2001, 2000],
      [8 * 3_600_000, 2000],
    ] as const)
      expect(scene.leases.momentAt(START + gap).observed - before).toBe(charged);
  });

  it('never steps back', () => {
    const scene = begin();
    scene.renew('a');
    const before = scene.now();
    scene.after(-8 * 3_600_000);
    expect(scene.now()).toEqual({ wall: scene.wall, observed: before.observed });
    scene.calls('a');
    expect(scene.after(300).now().observed - before.observed).toBe(300);
  });

  it('moves only by calls under a lease: a look changes nothing', () => {
    const scene = begin();
    scene.renew('a');
    scene.after(1500).now();
    expect(scene.calls('stranger')).toBe(false);
    scene.after(1500);
    expect(scene.now().observed - START).toBe(2000);
    scene.calls('a');
    expect(scene.after(1500).now().observed - START).toBe(3500);
  });
});

describe('[PR11] the young window', () => {
  it('lasts for 2 s from the start of a world, and for 500 ms more for what ends', () => {
    const { leases } = begin();
    leases.renew(
      { node: 'a', lease: '1', runId: 'run-1' },
      { restatedIn: ANY_WORLD, lived: 0, highestEpoch: 0 },
      leases.momentAt(START),
    );
    const youngAt = (ms: number, forEnds: boolean) =>
      leases.isYoung({ wall: START + ms, observed: START + ms }, forEnds);
    expect([youngAt(1999, false), youngAt(2000, false)]).toEqual([true, false]);
    expect([youngAt(2499, true), youngAt(2500, true)]).toEqual([true, false]);
  });

  it('starts again, under another name, if the store stalls during it', () => {
    const scene = begin();
    scene.renew('a');
    const { name } = scene.leases;
    scene.after(1000).calls('a');
    scene.after(900).calls('a');
    expect(scene.leases.name).toBe(name);
    scene.after(1001).calls('a');
    expect(scene.leases.name).not.toBe(name);
    expect(scene.leases.isYoung(scene.now())).toBe(true);
    scene.after(1000).calls('a');
    expect(scene.after(999).leases.isYoung(scene.now())).toBe(true);
    scene.calls('a');
    expect(scene.after(1).leases.isYoung(scene.now())).toBe(false);
  });

  it('does not start again with looks a second apart, or after its end', () => {
    const slow = begin();
    slow.renew('a');
    for (let second = 0; second < 2; second += 1) slow.after(1000).calls('a');
    expect(slow.leases.isYoung(slow.now())).toBe(false);
    const scene = grown();
    scene.after(60_000).calls('a');
    expect(scene.leases.isYoung(scene.now())).toBe(false);
  });

  it('delays every claim except in mode `restate`, and ends for longer than logins', () => {
    const scene = begin();
    scene.renew('a');
    const delayed = (mode: 'socket' | 'http' | 'beat' | 'state' | 'restate', changed = {}) =>
      scene.leases.delays('a', claimOf(USER, { mode, rev: 1, ...changed }), scene.now());
    for (const mode of ['socket', 'http', 'beat', 'state'] as const) expect(delayed(mode)).toBe(true);
    expect(delayed('restate')).toBe(false);
    for (let second = 0; second < 2; second += 1) scene.after(1000).calls('a');
    for (const mode of ['socket', 'http', 'beat', 'state'] as const) expect(delayed(mode)).toBe(false);
    expect(delayed('state', NOTHING_LEFT)).toBe(true);
    expect(scene.after(500) && delayed('state', NOTHING_LEFT)).toBe(false);
  });
});

describe('[PR8] a lease', () => {
  it('comes only with a renewal, and belongs to one connection', () => {
    const scene = grown();
    expect([scene.calls('a'), scene.calls('b')]).toEqual([true, false]);
    scene.renew('b', { lease: '2' });
    expect([scene.calls('b'), scene.calls('b', { lease: '2' })]).toEqual([false, true]);
    scene.renew('b', { lease: '10' });
    expect([scene.calls('b', { lease: '2' }), scene.calls('b', { lease: '10' })]).toEqual([false, true]);
  });

  it('does not return to an older connection by a late renewal, which is no sign of life', () => {
    const scene = grown();
    scene.renew('b', { lease: '10' });
    const { seen } = scene.leases.nodes.get('b') ?? { seen: 0 };
    expect(scene.after(500).renew('b', { lease: '9', highestEpoch: 99 })).toEqual({ kind: 'stale' });
    expect(scene.leases.nodes.get('b')).toMatchObject({ lease: '10', seen });
    expect(scene.leases.highestEpoch).toBe(0);
    expect(scene.renew('b', { lease: '10' }).kind).toBe('renewed');
  });

  it('is void on another Redis, before a world begins, and after a wipe', () => {
    const scene = grown();
    expect(scene.calls('a', { runId: 'run-2' })).toBe(false);
    scene.leases.copyFrom(new Leases());
    expect(scene.calls('a')).toBe(false);
  });

  it('makes every call a sign of life, and no other call one', () => {
    const scene = grown();
    scene.renew('b');
    const { observed } = scene.after(700).now();
    scene.calls('b', { lease: '9' });
    expect(scene.leases.nodes.get('b')?.seen).toBe(observed - 700);
    scene.calls('b');
    expect(scene.leases.nodes.get('b')?.seen).toBe(observed);
  });
});

describe('[PR11] the start of a world', () => {
  it('comes with the first renewal on another Redis and voids all leases', () => {
    const scene = grown();
    scene.renew('b');
    const { name } = scene.leases;
    expect(scene.after(400).returns('b', { runId: 'run-2' })).toMatchObject({ restore: true });
    expect(scene.leases.name).not.toBe(name);
    const { observed } = scene.now();
    expect(scene.leases.nodes.get('a')).toEqual({ lease: '', seen: observed, restored: false });
    expect(scene.calls('a', { runId: 'run-2' })).toBe(false);
    expect(scene.leases.isYoung(scene.now())).toBe(true);
  });

  it('has a higher generation than every world that the node has lived in', () => {
    const scene = grown();
    expect(scene.leases.world?.generation).toBe(1);
    scene.renew('a', { lived: 1 });
    expect(scene.leases.world?.generation).toBe(1);
    // Nodes left this Redis for another one. Now it is the master again, with the data from then.
    scene.returns('a', { lived: 5 });
    expect(scene.leases.world?.generation).toBe(6);
    expect(scene.leases.isYoung(scene.now())).toBe(true);
    scene.leases.copyFrom(new Leases());
    scene.returns('a', { lived: 6 });
    expect(scene.leases.world?.generation).toBe(7);
  });

  it('counts a node as restored if it restored in this very world, or had nothing to restore', () => {
    const scene = begin();
    const first = scene.returns('a');
    const world = first.kind === 'renewed' ? first.world : '';
    expect(scene.returns('a', { restatedIn: 'run-1:1:1' })).toMatchObject({ restore: true });
    expect(scene.returns('a', { restatedIn: world })).toMatchObject({ restore: false, world });
    expect(scene.returns('a', { lease: '2' })).toMatchObject({ restore: false });
    scene.returns('b', { runId: 'run-2' });
    expect(scene.returns('a', { runId: 'run-2', lease: '3', restatedIn: world })).toMatchObject({
      restore: true,
    });
    expect(scene.renew('b', { runId: 'run-2' })).toMatchObject({ restore: false });
  });

  it('a node that has yet to restore opens nothing, though the world is no longer young', () => {
    const scene = grown();
    scene.returns('b');
    const delayed = (mode: 'socket' | 'state') =>
      scene.leases.delays('b', claimOf(USER, { mode, rev: 1 }), scene.now());
    expect([delayed('socket'), delayed('state')]).toEqual([true, false]);
    scene.renew('b');
    expect(delayed('socket')).toBe(false);
  });
});

describe('[PR3] the highest epoch', () => {
  it('is the highest that any node reported, and never falls', () => {
    const scene = grown();
    for (const [told, highest] of [
      [500, 500],
      [400, 500],
      [501, 501],
    ] as const) {
      scene.renew('a', { highestEpoch: told });
      expect(scene.leases.highestEpoch).toBe(highest);
    }
  });
});

describe('[PR8] the dead', () => {
  /** Node a stays alive while b is silent for `ms`. Time passes in steps that are no stall. */
  function silence(ms: number) {
    const scene = grown();
    scene.renew('b');
    for (let passed = 0; passed < ms; passed += 1000) scene.after(Math.min(1000, ms - passed)).calls('a');
    return scene;
  }

  it('are dead after exactly the timeout + 1 s, and not before', () => {
    const early = silence(DEAD_AFTER_MS - 1);
    expect(early.reap()).toEqual({ died: [], nextDeathMs: 1 });
    expect(early.leases.dead.has('b')).toBe(false);
    const due = silence(DEAD_AFTER_MS);
    expect(due.reap()).toEqual({ died: ['b'], nextDeathMs: DEAD_AFTER_MS });
    expect([due.leases.dead.has('b'), due.calls('b')]).toEqual([true, false]);
    expect(due.leases.sightings(due.now())).toEqual([
      { node: 'a', silentMs: 0, sign: due.now().observed },
      { node: 'b', silentMs: undefined, sign: undefined },
    ]);
  });

  it('do not include nodes that only seem silent after a step of the clock or a stall', () => {
    const scene = silence(DEAD_AFTER_MS - 3000);
    scene.after(8 * 3_600_000).calls('a');
    expect(scene.reap()).toEqual({ died: [], nextDeathMs: 1000 });
  });

  it('leave the list as they return', () => {
    const scene = silence(DEAD_AFTER_MS);
    scene.reap();
    scene.renew('b', { lease: '2' });
    expect([...scene.leases.dead]).toEqual([]);
    expect(scene.calls('b', { lease: '2' })).toBe(true);
    expect(scene.reap()).toEqual({ died: [], nextDeathMs: DEAD_AFTER_MS });
  });

  it('are announced: the next death is that of the node with the longest silence', () => {
    const scene = grown();
    scene.renew('b');
    scene.after(400).renew('c');
    scene.after(300).calls('a');
    expect(scene.reap().nextDeathMs).toBe(DEAD_AFTER_MS - 700);
  });

  it('include nodes that do not come back in a new world', () => {
    const scene = grown();
    scene.renew('b');
    scene.renew('a', { runId: 'run-2' });
    for (let second = 0; second < 11; second += 1) scene.after(1000).calls('a', { runId: 'run-2' });
    expect(scene.reap().died).toEqual(['b']);
  });
});
