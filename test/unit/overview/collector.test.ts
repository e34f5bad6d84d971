import { describe, expect, it } from 'vitest';
import type { NodeInfo } from '../../../src/cluster/nodes.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { err, ok, type Result } from '../../../src/lib/result.ts';
import { Counters } from '../../../src/metrics/counters.ts';
import type { LiveCounts, NodeCounts } from '../../../src/overview/api.ts';
import { Collector } from '../../../src/overview/collector.ts';
import { countsHere } from '../../../src/overview/node-counts.ts';
import { Peers } from '../../../src/overview/peers.ts';
import { gauges } from '../http/support.ts';

function info(node: string, state: NodeInfo['state'] = 'live'): NodeInfo {
  return {
    node,
    name: node,
    incarnation: node,
    state,
    leaseAgeMs: 1,
    users: 3,
    connections: 2,
    draining: false,
  };
}

/** A collector on node a, beside a node b with answers from the test. */
function build() {
  const clock = new FakeClock();
  const counters = new Counters();
  const remote = new Counters();
  const state = {
    nodes: [info('a'), info('b')],
    isListed: true,
    isFrozen: false,
    uptimeMs: 60_000,
    asked: 0,
    other: undefined as unknown,
  };
  const countsOf = (of: Counters): NodeCounts =>
    countsHere({ counters: of, gauges, isDraining: () => false, uptimeMs: () => state.uptimeMs });
  const ask = async (): Promise<Result<unknown, 'no-answer'>> => {
    state.asked += 1;
    if (!state.isFrozen) return ok(state.other ?? JSON.parse(JSON.stringify(countsOf(remote))));
    await new Promise<void>((resolve) => clock.after(300, resolve));
    return err('no-answer');
  };
  const none = (): void => undefined;
  const collector = new Collector({
    ...{ node: 'a', version: '1', runtime: 'test', clock },
    peers: new Peers({
      node: 'a',
      list: () => (state.isListed ? Promise.resolve(state.nodes) : Promise.reject(new Error('gone'))),
      calls: { ask },
      clock,
    }),
    countsHere: () => countsOf(counters),
    usersHere: () => 1,
    usersOnline: () => 7,
    presenceAvailable: () => true,
    log: { debug: none, info: none, warn: none, error: none },
  });
  const open = () => {
    const events: LiveCounts[] = [];
    const reader = {
      events,
      isEnded: false,
      take: (text: string) => void events.push(JSON.parse(text.split('data: ')[1] ?? '') as LiveCounts),
      end: () => void (reader.isEnded = true),
      leave: undefined as (() => void) | undefined,
      last: () => events.at(-1) as LiveCounts,
    };
    reader.leave = collector.open(reader);
    return reader;
  };
  return { clock, counters, remote, state, collector, open };
}

describe('the collector of live counts', () => {
  it('sends the sums of all nodes at once, and again each half second', async () => {
    const { clock, counters, remote, open } = build();
    counters.logins = 3;
    remote.logins = 4;
    remote.logouts.timeout = 5;
    const reader = open();
    await clock.advanceAsync(0);
    expect(reader.last()).toMatchObject({
      totals: { logins: 7, logouts: { timeout: 5, kick: 0 } },
      users: { online: 7, lingering: 12 },
      nodes: [
        { node: 'a', users: 1, answered: true },
        { node: 'b', users: 3, answered: true },
      ],
    });
    await clock.advanceAsync(5_000);
    expect(reader.events).toHaveLength(11);
  });

  it('makes no calls while no dashboard is open, and one call for all open ones', async () => {
    const { clock, state, open } = build();
    await clock.advanceAsync(5_000);
    expect(state.asked).toBe(0);
    const readers = [open(), open(), open()];
    await clock.advanceAsync(2_000);
    expect(state.asked).toBe(5);
    expect(readers.map(({ events }) => events.length)).toEqual([5, 5, 5]);
    for (const { leave } of readers) leave?.();
    await clock.advanceAsync(10_000);
    expect(state.asked).toBe(5);
  });

  it('keeps the last report of a node in the sums while it is frozen and after its death', async () => {
    const { clock, remote, state, open } = build();
    remote.logins = 100;
    const reader = open();
    await clock.advanceAsync(600);
    state.isFrozen = true;
    await clock.advanceAsync(1_500);
    expect(reader.last()).toMatchObject({
      totals: { logins: 100 },
      nodes: [{ answered: true }, { answered: false }],
    });
    state.nodes = [info('a')];
    await clock.advanceAsync(1_000);
    expect(reader.last()).toMatchObject({ totals: { logins: 100 }, nodes: [{ node: 'a' }] });
    expect(new Set(reader.events.map(({ basis }) => basis)).size).toBe(1);
  });

  it('never lowers a sum, whatever another node answers', async () => {
    const { clock, remote, state, open } = build();
    remote.logins = 100;
    remote.heartbeats = 9;
    const reader = open();
    await clock.advanceAsync(600);
    for (const other of [
      { totals: { logins: -5, heartbeats: 1e300, logouts: 'x' } },
      { totals: {} },
      { totals: { logins: 'many' }, lag: 'none', queues: [], settlement: 7 },
      'nonsense',
      [],
      7,
    ]) {
      state.other = other;
      await clock.advanceAsync(500);
      expect(reader.last().totals).toMatchObject({ logins: 100, heartbeats: 9 });
    }
  });

  it('changes the basis when earlier totals are added to the sums, but not for a new node', async () => {
    const { clock, remote, state, open } = build();
    state.nodes = [info('a')];
    remote.logins = 1_000;
    const reader = open();
    await clock.advanceAsync(600);
    const { basis } = reader.last();
    state.nodes = [info('a'), info('b')];
    await clock.advanceAsync(500);
    const joined = reader.last();
    expect(joined.totals.logins).toBe(1_000);
    expect(joined.basis).not.toBe(basis);
    state.uptimeMs = 900;
    state.nodes = [info('a'), info('b'), info('c')];
    await clock.advanceAsync(500);
    expect(reader.last().basis).toBe(joined.basis);
  });

  it('continues without the store, with the last known nodes', async () => {
    const { clock, counters, state, open } = build();
    const reader = open();
    await clock.advanceAsync(600);
    state.isListed = false;
    counters.logins = 5;
    await clock.advanceAsync(500);
    expect(reader.last()).toMatchObject({
      presenceAvailable: false,
      totals: { logins: 5 },
      nodes: [
        { node: 'a', answered: true },
        { node: 'b', answered: false },
      ],
    });
  });

  it('shows the detection lag of the last 10 s', async () => {
    const { clock, counters, open } = build();
    counters.detectionLag.observe(3);
    const reader = open();
    await clock.advanceAsync(600);
    // The lag before that was not measured, so the answer must not claim 10 s without lag.
    expect(reader.last().detectionLagMs).toEqual({ overMs: 500, count: 0, p50: null, p99: null, max: null });
    for (let seen = 0; seen < 100; seen += 1) counters.detectionLag.observe(0.04);
    counters.detectionLag.observe(30);
    await clock.advanceAsync(500);
    const { detectionLagMs } = reader.last();
    expect(detectionLagMs).toMatchObject({ count: 101, max: 5_000 });
    expect(detectionLagMs.p50).toBeGreaterThan(25);
    expect(detectionLagMs.p50).toBeLessThanOrEqual(50);
    await clock.advanceAsync(11_000);
    expect(reader.last().detectionLagMs).toMatchObject({ overMs: 10_000, count: 0 });
  });

  it('ends its readers when the node stops, and accepts no others', async () => {
    const { clock, collector, open } = build();
    const reader = open();
    await clock.advanceAsync(600);
    collector.stop();
    expect(reader.isEnded).toBe(true);
    expect(open().leave).toBeUndefined();
  });
});
