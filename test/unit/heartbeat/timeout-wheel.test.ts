import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OFF_WHEEL, TimeoutWheel, type WheelNode } from '../../../src/heartbeat/timeout-wheel.ts';

const SLOT_MS = 25;
const HORIZON_MS = 1024 * SLOT_MS;

class Watch implements WheelNode {
  wheelSlot = OFF_WHEEL;
  wheelPrevious: WheelNode | undefined = undefined;
  wheelNext: WheelNode | undefined = undefined;
  readonly name: number;
  due: number;

  constructor(name: number, due: number) {
    this.name = name;
    this.due = due;
  }

  dueAt(): number {
    return this.due;
  }
}

function advance(wheel: TimeoutWheel<Watch>, now: number, limit = Number.POSITIVE_INFINITY): number[] {
  const given: number[] = [];
  wheel.advance(now, limit, (node) => given.push(node.name));
  return given;
}

describe('TimeoutWheel', () => {
  it('[HB4] returns a node not before its deadline, and at most one slot later', () => {
    const wheel = new TimeoutWheel<Watch>(0);
    wheel.add(new Watch(1, 10_001));
    expect(advance(wheel, 10_000)).toEqual([]);
    expect(advance(wheel, 10_001 + SLOT_MS)).toEqual([1]);
    expect(wheel.size).toBe(0);
  });

  it('[HB4] a deadline that moved without notice is found at its new place', () => {
    const wheel = new TimeoutWheel<Watch>(0);
    const node = new Watch(1, 100);
    wheel.add(node);
    node.due = 5000;
    expect(advance(wheel, 4999)).toEqual([]);
    expect(wheel.size).toBe(1);
    expect(advance(wheel, 5000 + SLOT_MS)).toEqual([1]);
  });

  it('[HB4] a deadline beyond the horizon is neither early nor forgotten', () => {
    const wheel = new TimeoutWheel<Watch>(0);
    wheel.add(new Watch(1, HORIZON_MS * 3 + 7));
    for (let now = 0; now <= HORIZON_MS * 3; now += 1000) expect(advance(wheel, now)).toEqual([]);
    expect(advance(wheel, HORIZON_MS * 3 + 7 + SLOT_MS)).toEqual([1]);
  });

  it('[HB5] after a gap of several turns each due node is found once', () => {
    const wheel = new TimeoutWheel<Watch>(0);
    const due = [0, 40, 9000, HORIZON_MS - 1, HORIZON_MS + 10, HORIZON_MS * 4];
    for (const [name, at] of due.entries()) wheel.add(new Watch(name, at));
    const later = HORIZON_MS * 3 + 13;
    expect(advance(wheel, later).sort((one, other) => one - other)).toEqual([0, 1, 2, 3, 4]);
    expect(advance(wheel, later)).toEqual([]);
    expect(wheel.size).toBe(1);
  });

  it('[HB4] returns `limit` nodes a call and keeps the rest', () => {
    const wheel = new TimeoutWheel<Watch>(0);
    for (let name = 0; name < 25; name += 1) wheel.add(new Watch(name, 100));
    const given: number[] = [];
    for (let call = 0; call < 3; call += 1) {
      const now = advance(wheel, 200, 10);
      given.push(...now);
      expect(now).toHaveLength(call < 2 ? 10 : 5);
    }
    expect(new Set(given).size).toBe(25);
  });

  it('[HB4] works if a returned node removes others from the wheel', () => {
    const wheel = new TimeoutWheel<Watch>(0);
    const nodes = Array.from({ length: 6 }, (_, name) => new Watch(name, 100));
    for (const node of nodes) wheel.add(node);
    const given: number[] = [];
    wheel.advance(200, 100, (node) => {
      given.push(node.name);
      for (const other of nodes) if (other.name % 2 === 0 && other !== node) wheel.remove(other);
    });
    for (const odd of [1, 3, 5]) expect(given.filter((name) => name === odd)).toHaveLength(1);
    expect(wheel.size).toBe(0);
  });

  it('[HB4] a node that is put back while it is returned is found at its next deadline', () => {
    const wheel = new TimeoutWheel<Watch>(0);
    const node = new Watch(1, 50);
    wheel.add(node);
    const at: number[] = [];
    for (let now = 0; now <= 500; now += SLOT_MS) {
      wheel.advance(now, 10, (due) => {
        at.push(now);
        due.due += 100;
        wheel.add(due);
      });
    }
    expect(at).toEqual([50, 150, 250, 350, 450]);
  });

  it.each([
    ['on the edge of a slot', 100],
    ['within a slot', 110],
    ['long ago', 0],
  ])('[HB4] a node that is put back with a deadline that has passed, %s, holds up nobody', (_, due) => {
    const wheel = new TimeoutWheel<Watch>(0);
    const [stubborn, other] = [new Watch(1, due), new Watch(2, 130)];
    wheel.add(stubborn);
    wheel.add(other);
    const given: number[] = [];
    const putBack = (node: Watch): void => {
      // Without a limit, this test would run forever if the wheel does.
      if (given.length > 100) throw new Error('the wheel makes no progress');
      given.push(node.name);
      if (node === stubborn) wheel.add(node);
    };
    for (const now of [0, 100, 125, 150, 150]) wheel.advance(now, 1000, putBack);
    expect(given).toContain(2);
    expect(wheel.size).toBe(1);
    // At most once for each slot that was reached, and again when the next one is.
    expect(given.filter((name) => name === 1).length).toBeLessThanOrEqual(7);
    given.length = 0;
    wheel.advance(175, 1000, putBack);
    expect(given).toEqual([1]);
  });

  it('[HB4] many nodes that are put back, a few at a time, end too', () => {
    const wheel = new TimeoutWheel<Watch>(0);
    for (let name = 0; name < 25; name += 1) wheel.add(new Watch(name, 100));
    let calls = 0;
    for (let given = 10; given === 10; calls += 1) {
      if (calls > 100) throw new Error('the wheel makes no progress');
      given = wheel.advance(100, 10, (node) => wheel.add(node));
    }
    expect(wheel.size).toBe(25);
  });

  it('[HB5] a node that is put back in a gap of a whole turn is returned again and then kept', () => {
    const wheel = new TimeoutWheel<Watch>(0);
    const node = new Watch(1, 0);
    wheel.add(node);
    let given = 0;
    wheel.advance(HORIZON_MS * 2, Number.POSITIVE_INFINITY, (due) => {
      given += 1;
      if (given > 5000) throw new Error('the wheel makes no progress');
      due.due = HORIZON_MS * 2 + 5000;
      wheel.add(due);
    });
    expect(given).toBe(1);
    expect(advance(wheel, HORIZON_MS * 2 + 5000)).toEqual([1]);
  });

  it('[HB6] returns the nodes in the slots up to a time, and their number', () => {
    const wheel = new TimeoutWheel<Watch>(0);
    const nodes = [10, 30, 500, 980].map((due, name) => new Watch(name, due));
    for (const node of nodes) wheel.add(node);
    const until = (time: number) => [...wheel.until(time)].map(({ name }) => name);
    expect([until(0), until(30), until(975), until(1000)]).toEqual([[], [0, 1], [0, 1, 2], [0, 1, 2, 3]]);
    expect([0, 30, 975, 1000].map((time) => wheel.countUntil(time))).toEqual([0, 2, 3, 4]);
    // More than a turn ahead, each node counts only once.
    expect(until(HORIZON_MS * 3)).toEqual([0, 1, 2, 3]);
    expect(wheel.countUntil(HORIZON_MS * 3)).toBe(4);
    wheel.remove(nodes[1] as Watch);
    expect(wheel.countUntil(1000)).toBe(3);
    expect(advance(wheel, 600)).toEqual([0, 2]);
    expect(wheel.countUntil(1000)).toBe(1);
  });

  it('[HB4] a node that is due when the wheel is created is returned at once', () => {
    const wheel = new TimeoutWheel<Watch>(90_000);
    wheel.add(new Watch(1, 90_000));
    expect(advance(wheel, 90_000)).toEqual([1]);
  });

  it('[HB4] agrees with a plain list: never early, at most one slot and one tick late', () => {
    const command = fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({ do: fc.constant('add' as const), in: fc.integer({ min: 0, max: 120_000 }) }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('remove' as const), pick: fc.nat() }) },
      {
        weight: 2,
        arbitrary: fc.record({
          do: fc.constant('move' as const),
          pick: fc.nat(),
          by: fc.integer({ min: -20_000, max: 40_000 }),
        }),
      },
      {
        weight: 5,
        arbitrary: fc.record({
          do: fc.constant('tick' as const),
          ms: fc.oneof(fc.constant(SLOT_MS), fc.integer({ min: 1, max: 900 }), fc.constant(HORIZON_MS * 2)),
        }),
      },
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 100_000 }),
        fc.array(command, { maxLength: 150 }),
        (start, commands) => {
          const wheel = new TimeoutWheel<Watch>(start);
          const model = new Map<number, Watch>();
          let now = start;
          let names = 0;
          for (const step of commands) {
            const picked =
              'pick' in step ? [...model.values()][step.pick % Math.max(1, model.size)] : undefined;
            switch (step.do) {
              case 'add': {
                const node = new Watch(names++, now + step.in);
                model.set(node.name, node);
                wheel.add(node);
                break;
              }
              case 'remove':
                if (picked === undefined) break;
                model.delete(picked.name);
                wheel.remove(picked);
                break;
              case 'move':
                if (picked === undefined) break;
                // A deadline in the past is due now. Its lateness counts from this call.
                picked.due = Math.max(now, picked.due + step.by);
                // A deadline that moves earlier must be reported; one that moves later need not be.
                if (step.by < 0) wheel.reschedule(picked);
                break;
              case 'tick':
                now += step.ms;
                wheel.advance(now, Number.POSITIVE_INFINITY, (node) => {
                  expect(node.due).toBeLessThanOrEqual(now);
                  expect(model.delete(node.name)).toBe(true);
                });
                for (const node of model.values()) expect(node.due + SLOT_MS).toBeGreaterThan(now);
                expect(wheel.size).toBe(model.size);
            }
          }
        },
      ),
      { numRuns: 150 },
    );
  });
});
