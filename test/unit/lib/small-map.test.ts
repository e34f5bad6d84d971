import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SmallMap } from '../../../src/lib/small-map.ts';

const key = fc.constantFrom('a', 'b', 'c');
const step = fc.oneof(
  fc.record({ kind: fc.constant('set' as const), key, value: fc.nat(9) }),
  fc.record({ kind: fc.constant('delete' as const), key, value: fc.constant(0) }),
  fc.record({ kind: fc.constant('clear' as const), key, value: fc.constant(0) }),
);

describe('SmallMap', () => {
  it('gives the same answers as a Map, in the same order, after any operations', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const [small, real] = [new SmallMap<string, number>(), new Map<string, number>()];
        for (const { kind, key: name, value } of steps) {
          for (const map of [small, real]) {
            if (kind === 'set') map.set(name, value);
            else if (kind === 'clear') map.clear();
          }
          if (kind === 'delete') expect(small.delete(name)).toBe(real.delete(name));
          expect([...small]).toEqual([...real]);
          expect([[...small.keys()], [...small.values()], small.size]).toEqual([
            [...real.keys()],
            [...real.values()],
            real.size,
          ]);
          expect([small.get(name), small.has(name)]).toEqual([real.get(name), real.has(name)]);
        }
      }),
    );
  });

  it('allows the removal of entries during an iteration', () => {
    const map = new SmallMap([
      ['a', 1],
      ['b', 2],
      ['c', 3],
    ]);
    const seen: string[] = [];
    for (const name of map.keys()) {
      seen.push(name);
      map.delete(name);
    }
    expect(seen).toEqual(['a', 'b', 'c']);
    expect(map.size).toBe(0);
  });
});
