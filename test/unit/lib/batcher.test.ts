import { describe, expect, test } from 'vitest';
import { Batcher, BatcherFull } from '../../../src/lib/batcher.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { err, ok } from '../../../src/lib/result.ts';

function build(limits: {
  maxBatch: number;
  maxWaiting: number;
  concurrency?: number;
  spacingMs?: number;
  burst?: { from: number; spacingMs: number };
  deadline?: { ms: number; late: () => Error };
}) {
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
    expect(await Promise.all(tickets)).toEqual([2, 4, 6].map((n) => ok(n)));
  });

  test('the allowed number of batches runs at a time', async () => {
    const { clock, batches, batcher } = build({ maxBatch: 1, maxWaiting: 10, concurrency: 2 });
    for (const n of [1, 2, 3]) void batcher.submit(n);
    await clock.advanceAsync(1);
    expect(batches).toEqual([[1], [2]]);
    expect(batcher.waiting).toBe(1);
  });

  test('one batch is in progress by default, and the next begins when it ends', async () => {
    const { clock, batches, finishers, batcher } = build({ maxBatch: 1, maxWaiting: 10 });
    for (const n of [1, 2, 3]) void batcher.submit(n);
    await clock.advanceAsync(50);
    expect(batches).toEqual([[1]]);
    void batcher.submit(4);
    await clock.advanceAsync(50);
    expect(batches).toEqual([[1]]);
    for (const end of [0, 1, 2]) {
      finishers[end]?.();
      await clock.advanceAsync(1);
    }
    expect(batches).toEqual([[1], [2], [3], [4]]);
  });

  test('batches begin at the given distance, and a single request does not wait', async () => {
    const { clock, batches, finishers, batcher } = build({ maxBatch: 10, maxWaiting: 10, spacingMs: 100 });
    clock.stall(1000);
    void batcher.submit(1);
    await clock.advanceAsync(1);
    expect(batches).toEqual([[1]]);
    finishers[0]?.();
    await clock.advanceAsync(1);
    void batcher.submit(2);
    await clock.advanceAsync(90, 1);
    void batcher.submit(3);
    expect(batches).toEqual([[1]]);
    await clock.advanceAsync(10, 1);
    expect(batches).toEqual([[1], [2, 3]]);
  });

  test('a full batch does not wait, and one that is not full does', async () => {
    const { clock, batches, finishers, batcher } = build({ maxBatch: 2, maxWaiting: 10, spacingMs: 100 });
    clock.stall(1000);
    void batcher.submit(1);
    await clock.advanceAsync(1);
    finishers[0]?.();
    await clock.advanceAsync(1);
    for (const request of [2, 3, 4]) void batcher.submit(request);
    await clock.advanceAsync(1);
    expect(batches).toEqual([[1], [2, 3]]);
    finishers[1]?.();
    await clock.advanceAsync(90, 1);
    expect(batches).toEqual([[1], [2, 3]]);
    await clock.advanceAsync(20, 1);
    expect(batches).toEqual([[1], [2, 3], [4]]);
  });

  test('a burst collects for longer than a few requests do, but a full batch does not wait', async () => {
    const burst = { from: 3, spacingMs: 100 };
    const { clock, batches, finishers, batcher } = build({
      ...{ maxBatch: 5, maxWaiting: 10, spacingMs: 10, burst },
    });
    const submit = (...numbers: number[]): void => {
      for (const finish of finishers.splice(0)) finish();
      for (const number of numbers) void batcher.submit(number);
    };
    submit(1);
    await clock.advanceAsync(1, 1);
    submit(2, 3);
    await clock.advanceAsync(11, 1);
    expect(batches).toEqual([[1], [2, 3]]);
    submit(4, 5, 6);
    await clock.advanceAsync(80, 1);
    expect(batches).toHaveLength(2);
    submit(7);
    await clock.advanceAsync(20, 1);
    expect(batches[2]).toEqual([4, 5, 6, 7]);
    submit(8, 9, 10, 11, 12);
    await clock.advanceAsync(11, 1);
    expect(batches[3]).toEqual([8, 9, 10, 11, 12]);
  });

  test('a batch with too few results fails each of its requests', async () => {
    const clock = new FakeClock();
    const batcher = new Batcher<number, number>({
      ...{ maxBatch: 5, maxWaiting: 5, clock },
      run: () => Promise.resolve([ok(1)]),
    });
    const tickets = [1, 2].map((n) => batcher.submit(n));
    await clock.advanceAsync(1);
    for (const ticket of tickets) expect(await ticket).toMatchObject({ ok: false });
  });

  test('over the bound a request fails at once', async () => {
    const { clock, batches, batcher } = build({ maxBatch: 5, maxWaiting: 2 });
    void batcher.submit(1);
    void batcher.submit(2);
    expect(await batcher.submit(3)).toMatchObject({ ok: false, error: expect.any(BatcherFull) });
    await clock.advanceAsync(1);
    expect(batches).toEqual([[1, 2]]);
  });

  test('a request without an answer fails at its own deadline, and never runs if it waited until then', async () => {
    const late = new Error('too late');
    const limits = { maxBatch: 1, maxWaiting: 5, deadline: { ms: 100, late: () => late } };
    const { clock, batches, finishers, batcher } = build(limits);
    const answers: unknown[] = [];
    const ask = (request: number): void => {
      void batcher.submit(request).then((result) => answers.push(result));
    };
    for (const request of [1, 2]) ask(request);
    await clock.advanceAsync(40, 1);
    ask(3);
    await clock.advanceAsync(59, 1);
    expect(answers).toEqual([]);
    await clock.advanceAsync(1, 1);
    expect(answers).toEqual([err(late), err(late)]);
    finishers[0]?.();
    await clock.advanceAsync(1, 1);
    expect(batches).toEqual([[1], [3]]);
    finishers[1]?.();
    await clock.advanceAsync(100, 1);
    expect(answers).toEqual([err(late), err(late), ok(6)]);
    ask(4);
    await clock.advanceAsync(100, 1);
    expect(answers).toHaveLength(4);
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
    expect(await lost).toMatchObject({ ok: false, error: { message: 'boom' } });
    fail = false;
    const next = batcher.submit(2);
    await clock.advanceAsync(1);
    expect(await next).toEqual(ok(2));
  });
});
