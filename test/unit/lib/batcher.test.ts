import { describe, expect, test } from 'vitest';
import { Batcher, BatcherCancelled, BatcherFull } from '../../../src/lib/batcher.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { ok } from '../../../src/lib/result.ts';

function build(limits: { maxBatch: number; maxWaiting: number; concurrency?: number; spacingMs?: number }) {
  const clock = new FakeClock();
  const batches: number[][] = [];
  const finishers: (() => void)[] = [];
  const batcher = new Batcher<number, number>({
    ...limits,
    clock,
    async run(requests) {
      batches.push([...requests]);
      await new Promise<void>((resolve) => finishers.push(resolve));
      return requests.map((request) => ok(request * 2));
    },
  });
  return { clock, batches, finishers, batcher };
}

describe('Batcher', () => {
  test('requests of one turn go together, in order, up to the batch size', async () => {
    const { clock, batches, finishers, batcher } = build({ maxBatch: 2, maxWaiting: 10 });
    const tickets = [1, 2, 3].map((n) => batcher.submit(n));
    expect(batches).toEqual([]);
    await clock.advanceAsync(1);
    expect(batches).toEqual([[1, 2]]);
    finishers[0]?.();
    await clock.advanceAsync(1);
    expect(batches).toEqual([[1, 2], [3]]);
    finishers[1]?.();
    expect(await Promise.all(tickets.map(({ result }) => result))).toEqual([2, 4, 6].map((n) => ok(n)));
  });

  test('the allowed number of batches runs at a time', async () => {
    const { clock, batches, batcher } = build({ maxBatch: 1, maxWaiting: 10, concurrency: 2 });
    for (const n of [1, 2, 3]) batcher.submit(n);
    await clock.advanceAsync(1);
    expect(batches).toEqual([[1], [2]]);
    expect(batcher.waiting).toBe(1);
  });

  test('one batch is under way where nothing else is said, and the next begins when it ends', async () => {
    const { clock, batches, finishers, batcher } = build({ maxBatch: 1, maxWaiting: 10 });
    for (const n of [1, 2, 3]) batcher.submit(n);
    await clock.advanceAsync(50);
    expect(batches).toEqual([[1]]);
    batcher.submit(4);
    await clock.advanceAsync(50);
    expect(batches).toEqual([[1]]);
    for (const end of [0, 1, 2]) {
      finishers[end]?.();
      await clock.advanceAsync(1);
    }
    expect(batches).toEqual([[1], [2], [3], [4]]);
  });

  test('batches begin as far apart as told, and a lone request does not wait', async () => {
    const { clock, batches, finishers, batcher } = build({ maxBatch: 10, maxWaiting: 10, spacingMs: 100 });
    clock.stall(1000);
    batcher.submit(1);
    await clock.advanceAsync(1);
    expect(batches).toEqual([[1]]);
    finishers[0]?.();
    await clock.advanceAsync(1);
    batcher.submit(2);
    await clock.advanceAsync(90, 1);
    batcher.submit(3);
    expect(batches).toEqual([[1]]);
    await clock.advanceAsync(10, 1);
    expect(batches).toEqual([[1], [2, 3]]);
  });

  test('a batch that answers too few fails each of its requests', async () => {
    const clock = new FakeClock();
    const batcher = new Batcher<number, number>({
      ...{ maxBatch: 5, maxWaiting: 5, clock },
      run: () => Promise.resolve([ok(1)]),
    });
    const tickets = [1, 2].map((n) => batcher.submit(n));
    await clock.advanceAsync(1);
    for (const { result } of tickets) expect(await result).toMatchObject({ ok: false });
  });

  test('beyond the bound a request fails at once; a withdrawn one makes room and never runs', async () => {
    const { clock, batches, batcher } = build({ maxBatch: 5, maxWaiting: 2 });
    const first = batcher.submit(1);
    batcher.submit(2);
    expect(await batcher.submit(3).result).toMatchObject({ ok: false, error: expect.any(BatcherFull) });
    first.cancel();
    expect(await first.result).toMatchObject({ ok: false, error: expect.any(BatcherCancelled) });
    batcher.submit(4);
    await clock.advanceAsync(1);
    expect(batches).toEqual([[2, 4]]);
    first.cancel();
  });

  test('a batch that fails fails each of its requests, and the next one runs', async () => {
    const clock = new FakeClock();
    let fail = true;
    const batcher = new Batcher<number, number>({
      maxBatch: 5,
      maxWaiting: 5,
      clock,
      run: (requests) =>
        fail ? Promise.reject(new Error('boom')) : Promise.resolve(requests.map((n) => ok(n))),
    });
    const lost = batcher.submit(1);
    await clock.advanceAsync(1);
    expect(await lost.result).toMatchObject({ ok: false, error: { message: 'boom' } });
    fail = false;
    const next = batcher.submit(2);
    await clock.advanceAsync(1);
    expect(await next.result).toEqual(ok(2));
  });
});
