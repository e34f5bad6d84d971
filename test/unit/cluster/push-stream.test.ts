import { describe, expect, it } from 'vitest';
import { PushStream } from '../../../src/cluster/push-stream.ts';
import type { PushEntry, PushStreamStore } from '../../../src/cluster/push-stream-store.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { silentLog } from '../../../src/logging/log.ts';
import { Counters } from '../../../src/metrics/counters.ts';
import {
  countsOf,
  type Delivery,
  type PushReport,
  type PushRequest,
} from '../../../src/protocol/delivery.ts';

const TAKE_OVER_MS = 3000;
/** The id of an entry that was deleted meanwhile. */
const DELETED = 'deleted';

/** The part of the store that a stream uses, in memory. */
class FakeStore implements Pick<PushStreamStore, keyof PushStreamStore> {
  readonly asked: number[] = [];
  readonly askedToTakeOver: number[] = [];
  readonly acknowledged: string[] = [];
  readonly kept: string[][] = [];
  readonly aside: string[] = [];
  fresh: PushEntry[] = [];
  own: PushEntry[] = [];
  left: PushEntry[] = [];
  isAway = false;
  refused = 0;
  #next = 0;
  #wake: (() => void) | undefined;

  add(...fields: readonly string[]): void {
    this.fresh.push({ id: `${(this.#next += 1)}-0`, fields });
    this.#wake?.();
  }

  async readNew(count: number): Promise<readonly PushEntry[]> {
    this.asked.push(count);
    if (this.fresh.length === 0)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    return this.fresh.splice(0, count);
  }

  interrupt(): void {
    this.#wake?.();
  }

  async readOwn(count: number): Promise<readonly PushEntry[]> {
    return this.own.splice(0, count);
  }

  async takeOver(_idleMs: number, count: number): Promise<readonly PushEntry[] | undefined> {
    this.askedToTakeOver.push(count);
    return this.left.length === 0 ? undefined : this.left.splice(0, count).filter(({ id }) => id !== DELETED);
  }

  async keep(ids: readonly string[]): Promise<void> {
    if (this.isAway) throw new Error('away');
    this.kept.push([...ids]);
  }

  async acknowledge(ids: readonly string[]): Promise<void> {
    if (this.isAway) {
      this.refused += 1;
      throw new Error('away');
    }
    this.acknowledged.push(...ids);
  }

  async reject({ id }: PushEntry): Promise<void> {
    this.aside.push(id);
  }

  async trim(): Promise<{ readonly trimmed: number; readonly length: number }> {
    return { trimmed: 0, length: 0 };
  }

  async forgetDead(): Promise<void> {}
  async leave(): Promise<void> {}
  async mend(): Promise<boolean> {
    return false;
  }
}

type Outcome = (request: PushRequest) => Promise<PushReport>;

function report(...results: readonly Delivery[]): PushReport {
  return { results, counts: countsOf(results) };
}
const outcome = (userId: number, status: Delivery['status']): Delivery => ({
  userId,
  status,
  connections: 0,
});

function open(push: Outcome, prepare: (store: FakeStore) => void = () => undefined) {
  const clock = new FakeClock();
  const store = new FakeStore();
  prepare(store);
  const counters = new Counters();
  const pushed: PushRequest[] = [];
  const times: (number | undefined)[] = [];
  const stream = new PushStream({
    store: store as unknown as PushStreamStore,
    router: {
      push: (request, since) => {
        pushed.push(request);
        times.push(since);
        return push(request);
      },
    },
    clock,
    log: silentLog,
    counters,
    takeOverAfterMs: TAKE_OVER_MS,
    maxLength: 1000,
    maxCharacters: 8_000_000,
  });
  stream.start();
  return { clock, store, counters, pushed, times, stream };
}

const note = (to: object, data = 1): string => JSON.stringify({ to, type: 'note', data });

describe('the push stream', () => {
  it('acknowledges an entry only when its outcome is known', async () => {
    let answer = (_report: PushReport): void => undefined;
    const { clock, store, counters } = open(
      () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    );
    store.add('message', note({ userId: 7 }));
    await clock.advanceAsync(100);
    expect(store.acknowledged).toEqual([]);
    answer(report(outcome(7, 'written')));
    await clock.advanceAsync(100);
    expect(store.acknowledged).toEqual(['1-0']);
    expect(counters.pushStream.handled).toBe(1);
  });

  it('delivers again to users with an unknown outcome, and gives up after five attempts', async () => {
    const { clock, store, counters, pushed } = open(async () =>
      report(outcome(1, 'written'), outcome(2, 'unknown')),
    );
    store.add('message', note({ userIds: [1, 2] }));
    await clock.advanceAsync(20 * TAKE_OVER_MS, 100);
    expect(pushed.map(({ to }) => to)).toEqual([
      { userIds: [1, 2] },
      ...Array.from({ length: 4 }, () => ({ userIds: [2] })),
    ]);
    expect(store.acknowledged).toEqual(['1-0']);
    expect(counters.pushStream).toMatchObject({ handled: 0, 'given-up': 1 });
  });

  it('each attempt counts ttlMs from the time at which the entry was taken', async () => {
    const { clock, store, times } = open(async () => report(outcome(1, 'unknown')));
    await clock.advanceAsync(500);
    store.add('message', note({ userId: 1 }));
    await clock.advanceAsync(20 * TAKE_OVER_MS, 100);
    expect(times).toHaveLength(5);
    expect(new Set(times)).toEqual(new Set([times[0]]));
    expect(times[0]).toBeGreaterThanOrEqual(500);
    expect(times[0]).toBeLessThan(600);
  });

  it.each([{ all: true }, { groups: ['g'] }])('%j with an unknown outcome is given up', async (to) => {
    const { clock, store, counters, pushed } = open(async () => ({ counts: { written: 3, unknown: 2 } }));
    store.add('message', note(to));
    await clock.advanceAsync(20 * TAKE_OVER_MS, 100);
    expect(pushed).toHaveLength(1);
    expect(store.acknowledged).toEqual(['1-0']);
    expect(counters.pushStream).toMatchObject({ handled: 0, 'given-up': 1 });
  });

  it('does not hand over again while the outcome of the second try is not known', async () => {
    let tries = 0;
    const { clock, store, pushed } = open(() => {
      tries += 1;
      return tries === 1 ? Promise.resolve(report(outcome(1, 'unknown'))) : new Promise(() => undefined);
    });
    store.add('message', note({ userId: 1 }));
    await clock.advanceAsync(10 * TAKE_OVER_MS, 100);
    expect(pushed).toHaveLength(2);
  });

  it('while Redis is away no attempt counts, and finished entries are acknowledged later', async () => {
    const { clock, store, pushed } = open(async ({ to }) =>
      report(outcome(1, 'userId' in to && to.userId === 1 ? 'written' : 'unknown')),
    );
    store.isAway = true;
    store.add('message', note({ userId: 1 }));
    store.add('message', note({ userId: 2 }));
    await clock.advanceAsync(20 * TAKE_OVER_MS, 100);
    expect([pushed.length, store.acknowledged.length]).toEqual([2, 0]);
    expect(store.refused).toBeLessThan(100);
    store.isAway = false;
    await clock.advanceAsync(TAKE_OVER_MS, 100);
    expect(store.acknowledged).toContain('1-0');
    expect(pushed.length).toBeGreaterThan(2);
  });

  it('shows that its entries are in progress, so that no other node takes them over', async () => {
    const { clock, store } = open(() => new Promise(() => undefined));
    store.add('message', note({ userId: 1 }));
    await clock.advanceAsync(4 * TAKE_OVER_MS, 100);
    expect(store.kept.length).toBeGreaterThanOrEqual(8);
    expect(store.kept[0]).toEqual(['1-0']);
  });

  it('takes over entries of dead nodes, and reads the entries that a cut read gave to it', async () => {
    const { clock, store, counters, pushed } = open(
      async () => report(),
      ({ own, left }) => {
        own.push({ id: '100-0', fields: ['message', note({ userId: 1 }, 10)] });
        left.push({ id: '200-0', fields: ['message', note({ userId: 2 }, 20)] });
      },
    );
    await clock.advanceAsync(TAKE_OVER_MS, 100);
    expect(pushed.map(({ dataText }) => dataText)).toEqual(['10', '20']);
    expect(store.acknowledged).toEqual(['100-0', '200-0']);
    expect(counters.pushStream['taken-over']).toBe(1);
  });

  it('takes over all entries of dead nodes at one check, as far as it has room', async () => {
    const leave = (store: FakeStore, count: number): void => {
      for (let n = 0; n < count; n += 1)
        store.left.push({ id: n < 10 ? DELETED : `${n}-0`, fields: ['message', note({ userId: 1 }, n)] });
    };
    const few = open(
      () => new Promise(() => undefined),
      (store) => leave(store, 210),
    );
    await few.clock.advanceAsync(TAKE_OVER_MS / 3 + 100, 100);
    expect(few.pushed).toHaveLength(200);
    expect(few.counters.pushStream['taken-over']).toBe(200);
    expect(few.store.askedToTakeOver[0]).toBeLessThanOrEqual(4);
    expect(few.store.askedToTakeOver.length).toBeLessThan(20);
    const many = open(
      () => new Promise(() => undefined),
      (store) => leave(store, 2000),
    );
    await many.clock.advanceAsync(TAKE_OVER_MS, 100);
    expect(many.pushed).toHaveLength(512);
  });

  it('reads no further entries while many are in progress, and few at a time if they are large', async () => {
    const many = open(() => new Promise(() => undefined));
    for (let n = 0; n < 2000; n += 1) many.store.add('message', note({ userId: 1 }, n));
    await many.clock.advanceAsync(2000, 100);
    expect(many.pushed).toHaveLength(512);
    const large = open(() => new Promise(() => undefined));
    const data = 'x'.repeat(2_000_000);
    for (let n = 0; n < 60; n += 1) large.store.add('message', note({ userId: 1 }, data as never));
    await large.clock.advanceAsync(2000, 100);
    expect(large.pushed.length).toBeLessThanOrEqual(4);
  });

  it('rejects and acknowledges unreadable entries', async () => {
    const { clock, store, counters, pushed } = open(async () => report());
    store.add('message', 'nonsense');
    store.add();
    store.add('message', note({ userId: 1 }), 'x', '1');
    store.add('message', `"${'x'.repeat(8_000_001)}"`);
    await clock.advanceAsync(100);
    expect(store.aside).toEqual(['1-0', '2-0', '3-0', '4-0']);
    expect([...store.acknowledged].sort()).toEqual(store.aside);
    expect([counters.pushStream.rejected, pushed.length]).toEqual([4, 0]);
  });

  it('a push that fails by a bug is rejected, and the next entry is delivered', async () => {
    const { clock, store } = open(async ({ to }) => {
      if ('all' in to) throw new Error('a bug');
      return report();
    });
    store.add('message', note({ all: true }));
    store.add('message', note({ userId: 1 }));
    await clock.advanceAsync(100);
    expect([...store.acknowledged].sort()).toEqual(['1-0', '2-0']);
    expect(store.aside).toEqual(['1-0']);
  });

  it('[DR1] a draining node finishes its entries and reads no new ones', async () => {
    let answer = (_report: PushReport): void => undefined;
    const { clock, store, stream, pushed } = open(
      () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    );
    store.add('message', note({ userId: 1 }));
    await clock.advanceAsync(100);
    stream.pause(true);
    await clock.advanceAsync(300);
    store.add('message', note({ userId: 2 }));
    store.left.push({ id: '300-0', fields: ['message', note({ userId: 3 })] });
    answer(report(outcome(1, 'written')));
    await clock.advanceAsync(TAKE_OVER_MS, 100);
    expect(store.acknowledged).toEqual(['1-0']);
    expect(pushed).toHaveLength(1);
    stream.pause(false);
    await clock.advanceAsync(300);
    expect(pushed).toHaveLength(2);
  });
});
