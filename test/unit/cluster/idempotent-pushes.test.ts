import { beforeEach, describe, expect, it } from 'vitest';
import { IdempotentPushes } from '../../../src/cluster/idempotent-pushes.ts';
import { type KeptAnswers, MemoryKeptAnswers } from '../../../src/cluster/kept-answers.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { Counters } from '../../../src/metrics/counters.ts';
import type { PushReport, PushRequest } from '../../../src/protocol/delivery.ts';

const WRITTEN: PushReport = {
  results: [{ userId: 1, status: 'written', connections: 1 }],
  counts: { written: 1 },
};
const PUSH: PushRequest = { to: { userId: 1 }, type: 'x', dataText: '1', idempotencyKey: 'k' };
const UNKNOWN = {
  ok: true,
  value: { results: [{ userId: 1, status: 'unknown', connections: 0 }], counts: { unknown: 1 } },
};

describe('[DL8] idempotency keys', () => {
  let clock: FakeClock;
  let store: KeptAnswers;
  /** Number of calls of the store, by name. */
  let roundTrips: string[];
  let unreachable: boolean;
  beforeEach(() => {
    clock = new FakeClock();
    roundTrips = [];
    unreachable = false;
    const memory = new MemoryKeptAnswers(clock);
    const through = async <Value>(name: string, call: () => Promise<Value>): Promise<Value> => {
      roundTrips.push(name);
      if (unreachable) throw new Error('down');
      return call();
    };
    store = {
      reserve: (calls) => through('reserve', () => memory.reserve(calls)),
      keep: (answers) => through('keep', () => memory.keep(answers)),
    };
  });

  /** A node, its deliveries, and their outcomes. */
  function node(limits: { readonly maxKeys?: number } = {}) {
    const pushed: PushRequest[] = [];
    const counters = new Counters();
    let deliver = (): Promise<PushReport> => Promise.resolve(WRITTEN);
    const pushes = new IdempotentPushes({
      router: {
        push(request) {
          pushed.push(request);
          return deliver();
        },
      },
      answers: store,
      digest: (text) => text,
      clock,
      counters,
      presence: { onlineCount: () => 3 },
      ...limits,
    });
    return {
      pushes,
      pushed,
      counters,
      /** Deliveries are in progress until the returned function is called. */
      hold(): (report: PushReport) => void {
        let finish: (report: PushReport) => void = () => undefined;
        const held = new Promise<PushReport>((resolve) => {
          finish = resolve;
        });
        deliver = () => held;
        return finish;
      },
      breakDown: () => {
        deliver = () => Promise.reject(new Error('a bug'));
      },
    };
  }

  async function settled<Value>(promise: Promise<Value>, forMs = 1000): Promise<Value> {
    await clock.advanceAsync(forMs, 50);
    return promise;
  }

  it('a push without a key needs no call, and is delivered in the same turn', () => {
    const { pushes, pushed } = node();
    const { idempotencyKey: _, ...plain } = PUSH;
    void pushes.push([plain, plain]);
    expect(pushed).toHaveLength(2);
    expect(roundTrips).toEqual([]);
  });

  it('a batch of 1,000 keys takes two round trips', async () => {
    const { pushes, pushed } = node();
    const batch = Array.from({ length: 1000 }, (_, n) => ({ ...PUSH, idempotencyKey: `k${n}` }));
    expect(await settled(pushes.push(batch))).toHaveLength(1000);
    expect(pushed).toHaveLength(1000);
    expect(roundTrips).toEqual(['reserve', 'keep']);
  });

  it('a call that comes to another node while the first is in progress waits for its answer', async () => {
    const [first, second] = [node(), node()];
    const finish = first.hold();
    const one = first.pushes.push([PUSH]);
    await clock.advanceAsync(100);
    const two = second.pushes.push([PUSH]);
    await clock.advanceAsync(5000, 50);
    finish(WRITTEN);
    expect(await settled(Promise.all([one, two]))).toEqual([
      [{ ok: true, value: WRITTEN }],
      [{ ok: true, value: WRITTEN }],
    ]);
    expect(second.pushed).toEqual([]);
    expect([first.counters.pushesRepeated, second.counters.pushesRepeated]).toEqual([0, 1]);
  });

  it('after 15 s without an answer to the first push, a repeat is unknown, not sooner, and never delivered', async () => {
    const [first, second] = [node(), node()];
    first.hold();
    void first.pushes.push([PUSH]);
    await clock.advanceAsync(3000, 50);
    let answer: unknown;
    void second.pushes.push([PUSH]).then(([only]) => (answer = only));
    await clock.advanceAsync(11_900, 50);
    expect(answer).toBeUndefined();
    await clock.advanceAsync(300, 50);
    expect(answer).toEqual(UNKNOWN);
    expect(await settled(second.pushes.push([PUSH]), 100)).toEqual([UNKNOWN]);
    expect(second.pushed).toEqual([]);
  });

  it('while the store is unreachable a push is refused and not delivered; later it is delivered', async () => {
    const { pushes, pushed } = node();
    unreachable = true;
    expect(await settled(pushes.push([PUSH]))).toEqual([{ ok: false, error: 'presence-unavailable' }]);
    expect(pushed).toEqual([]);
    unreachable = false;
    expect(await settled(pushes.push([PUSH]))).toEqual([{ ok: true, value: WRITTEN }]);
  });

  it('an answer that cannot be stored is still returned, and a repeat gets unknown', async () => {
    const [first, second] = [node(), node()];
    const finish = first.hold();
    const answer = first.pushes.push([PUSH]);
    await clock.advanceAsync(100);
    unreachable = true;
    finish(WRITTEN);
    expect(await settled(answer)).toEqual([{ ok: true, value: WRITTEN }]);
    unreachable = false;
    expect(await settled(second.pushes.push([PUSH]), 16_000)).toEqual([UNKNOWN]);
    expect(second.pushed).toEqual([]);
  });

  it('after a bug in the delivery, a repeat neither waits forever nor delivers again', async () => {
    const { pushes, pushed, breakDown } = node();
    breakDown();
    const first = pushes.push([PUSH]);
    const failed = first.then(
      () => 'answered',
      (error: unknown) => String(error),
    );
    const repeat = pushes.push([PUSH]);
    expect(await settled(repeat)).toEqual([UNKNOWN]);
    expect(await failed).toBe('Error: a bug');
    expect(pushed).toHaveLength(1);
  });

  it('after 5 minutes the key is free again, not sooner', async () => {
    const { pushes, pushed } = node();
    await settled(pushes.push([PUSH]), 100);
    await clock.advanceAsync(299_000, 1000);
    await settled(pushes.push([PUSH]), 100);
    expect(pushed).toHaveLength(1);
    await clock.advanceAsync(2000, 1000);
    await settled(pushes.push([PUSH]), 100);
    expect(pushed).toHaveLength(2);
  });

  it('a node takes a bounded number of keys within 5 minutes, and others later', async () => {
    const { pushes } = node({ maxKeys: 100 });
    const batch = Array.from({ length: 100 }, (_, n) => ({ ...PUSH, idempotencyKey: `k${n}` }));
    await settled(pushes.push(batch), 100);
    const one = { ...PUSH, idempotencyKey: 'one more' };
    expect(await settled(pushes.push([one]), 100)).toEqual([{ ok: false, error: 'overloaded' }]);
    await clock.advanceAsync(340_000, 10_000);
    expect(await settled(pushes.push([one]), 100)).toEqual([{ ok: true, value: WRITTEN }]);
  });
});
