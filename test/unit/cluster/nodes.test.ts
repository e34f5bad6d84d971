import { describe, expect, it } from 'vitest';
import { Inbox } from '../../../src/cluster/inbox.ts';
import { NodeCalls } from '../../../src/cluster/node-calls.ts';
import type { NodeSighting } from '../../../src/cluster/node-directory.ts';
import { Nodes } from '../../../src/cluster/nodes.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { err, ok } from '../../../src/lib/result.ts';
import type { LogFields } from '../../../src/logging/log.ts';
import { Switchboard } from './switchboard.ts';

const alive = (node: string, changed: Partial<NodeSighting> = {}): NodeSighting => ({
  ...{ node, silentMs: 100, sign: '1', users: 2, connections: 3, draining: false },
  ...changed,
});

/** Nodes that share a bus and a list of nodes. */
function deployment(...names: readonly string[]) {
  const clock = new FakeClock();
  const bus = new Switchboard();
  const state = { sightings: names.map((name) => alive(name)), reachable: true };
  const logged: LogFields[] = [];
  const note = (fields: LogFields): void => void logged.push(fields);
  const log = { debug: note, info: note, warn: note, error: note };
  const drained: { readonly node: string; readonly draining: boolean; readonly by: string }[] = [];
  const announced: unknown[] = [];
  let ids = 0;
  const nodes = names.map((node) => {
    let draining = false;
    const inbox = new Inbox({ bus, node, log, counters: { nodeFramesMissed: 0 } });
    void inbox.listen();
    return new Nodes({
      node,
      clock,
      log,
      calls: new NodeCalls({ post: bus.postOf(node), inbox, clock, newId: () => `${(ids += 1)}` }),
      directory: {
        announce: (told) => Promise.resolve(void announced.push({ node, ...told })),
        list: () =>
          state.reachable ? Promise.resolve(state.sightings) : Promise.reject(new Error('unreachable')),
      },
      state: () => ({ connections: 5, draining }),
      drain: (wanted, by) => {
        draining = wanted;
        drained.push({ node, draining, by });
      },
    });
  });
  for (const node of nodes) node.start();
  const [first] = nodes;
  if (first === undefined) throw new Error('a deployment has a node');
  return { clock, bus, state, logged, drained, announced, nodes, first };
}

describe('draining', () => {
  it.each([undefined, 'a', 'x1', 'a:x1'])('[DR1] of this node calls no other node: %s', async (asked) => {
    const { first, drained, state } = deployment('a:x1', 'b:x2');
    state.reachable = false;
    expect(await first.drain(asked, true)).toEqual(ok({ node: 'a:x1', draining: true }));
    expect(await first.drain(asked, true)).toEqual(ok({ node: 'a:x1', draining: true }));
    expect(drained).toEqual([{ node: 'a:x1', draining: true, by: 'a:x1' }]);
  });

  it.each(['b', 'x2', 'b:x2'])('[DR1] of another node reaches it, and back: %s', async (asked) => {
    const { first, drained } = deployment('a:x1', 'b:x2');
    expect(await first.drain(asked, true)).toEqual(ok({ node: 'b:x2', draining: true }));
    expect(await first.drain(asked, false)).toEqual(ok({ node: 'b:x2', draining: false }));
    expect(drained).toEqual([
      { node: 'b:x2', draining: true, by: 'a:x1' },
      { node: 'b:x2', draining: false, by: 'a:x1' },
    ]);
  });

  it('[DR1] of an unknown or dead node is not found', async () => {
    const { first, state } = deployment('a:x1', 'b:x2');
    expect(await first.drain('c', true)).toEqual(err('not-found'));
    state.sightings = [alive('a:x1'), alive('b:x2', { silentMs: undefined })];
    expect(await first.drain('b', true)).toEqual(err('not-found'));
  });

  it('[DR1] by a name that this node shares with another is refused here too', async () => {
    const { first, drained } = deployment('a:x1', 'a:x2');
    expect(await first.drain('a', true)).toEqual(err('node-ambiguous'));
    expect(drained).toEqual([]);
    expect(await first.drain('x1', true)).toEqual(ok({ node: 'a:x1', draining: true }));
  });

  it('[DR1] by a name of two living nodes is refused, by incarnation it works', async () => {
    const { first, state } = deployment('a:x1', 'b:x2', 'b:x3');
    expect(await first.drain('b', true)).toEqual(err('node-ambiguous'));
    expect(await first.drain('x3', true)).toEqual(ok({ node: 'b:x3', draining: true }));
    state.sightings = [alive('a:x1'), alive('b:x2', { silentMs: 4000 }), alive('b:x3')];
    expect(await first.drain('b', true)).toEqual(ok({ node: 'b:x3', draining: true }));
  });

  it('[DR1] of a node that is silent for 1 s has an unknown outcome', async () => {
    const { first, bus, clock } = deployment('a:x1', 'b:x2');
    bus.lossy = true;
    let answer: unknown;
    void first.drain('b', true).then((value) => (answer = value));
    await clock.advanceAsync(999);
    expect(answer).toBeUndefined();
    await clock.advanceAsync(1);
    expect(answer).toEqual(err('node-silent'));
  });
});

describe('the list of nodes', () => {
  it('shows living, silent and dead nodes, in order', async () => {
    const { first, state } = deployment('b:x2');
    state.sightings = [
      alive('c:x3', { silentMs: 3000 }),
      alive('b:x2', { connections: 1 }),
      alive('a:x0', { silentMs: undefined, sign: undefined, users: 9 }),
      { node: 'd:x4', silentMs: 0, sign: undefined, users: 0 },
    ];
    expect(await first.list()).toEqual([
      {
        ...{ node: 'a:x0', name: 'a', incarnation: 'x0', state: 'dead', leaseAgeMs: null, users: 9 },
        ...{ connections: 0, draining: false },
      },
      {
        ...{ node: 'b:x2', name: 'b', incarnation: 'x2', state: 'live', leaseAgeMs: 100, users: 2 },
        ...{ connections: 5, draining: false },
      },
      {
        ...{ node: 'c:x3', name: 'c', incarnation: 'x3', state: 'silent', leaseAgeMs: 3000, users: 2 },
        ...{ connections: 3, draining: false },
      },
      {
        ...{ node: 'd:x4', name: 'd', incarnation: 'x4', state: 'live', leaseAgeMs: 0, users: 0 },
        ...{ connections: null, draining: false },
      },
    ]);
  });

  it('each node reports every 2 s, and at once after a change', async () => {
    const { announced, clock, first } = deployment('a:x1');
    await clock.advanceAsync(6000);
    expect(announced).toHaveLength(4);
    first.announce();
    expect(announced.at(-1)).toEqual({ node: 'a:x1', connections: 5, draining: false });
    first.stop();
    await clock.advanceAsync(6000);
    expect(announced).toHaveLength(5);
  });
});

describe('a name of two nodes', () => {
  const told = (logged: readonly LogFields[]) =>
    logged.filter(({ event }) => event === 'node-name-shared').map(({ other }) => other);

  it('is reported once, after 1 s, if the other still renews', async () => {
    const { state, clock, logged } = deployment('a:x1', 'a:x2');
    await clock.advanceAsync(0);
    state.sightings = [alive('a:x1'), alive('a:x2', { sign: '6' })];
    await clock.advanceAsync(999);
    expect(told(logged)).toEqual([]);
    await clock.advanceAsync(1);
    expect(told(logged)).toEqual(['a:x2']);
    await clock.advanceAsync(9000);
    state.sightings = [alive('a:x1'), alive('a:x2', { sign: '7' })];
    await clock.advanceAsync(20_000);
    expect(told(logged)).toEqual(['a:x2']);
  });

  it('is not reported for a killed earlier start, nor after the store lost its data', async () => {
    const { state, clock, logged } = deployment('a:x1');
    state.sightings = [alive('a:x1'), alive('a:x0', { sign: '5' }), alive('b:x0', { sign: '5' })];
    await clock.advanceAsync(10_000);
    // A new world gives a sign of life to every node that it knew.
    state.sightings = [alive('a:x1'), alive('a:x0', { sign: undefined }), alive('b:x0', { sign: '6' })];
    await clock.advanceAsync(10_000);
    state.sightings = [alive('a:x1'), alive('a:x0', { silentMs: undefined, sign: undefined })];
    await clock.advanceAsync(10_000);
    expect(told(logged)).toEqual([]);
  });

  it('is reported when the other starts later', async () => {
    const { state, clock, logged } = deployment('a:x1');
    await clock.advanceAsync(30_000);
    let sign = 0;
    for (let look = 0; look < 3; look += 1) {
      state.sightings = [alive('a:x1'), alive('a:x9', { sign: `${(sign += 1)}` })];
      await clock.advanceAsync(10_000);
    }
    expect(told(logged)).toEqual(['a:x9']);
  });
});
