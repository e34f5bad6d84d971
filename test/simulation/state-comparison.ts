import { isDeepStrictEqual } from 'node:util';
import { expectedImage, type Image, redisImage } from '../support/model/images.ts';
import { type DumpRow, dumpedKeys } from '../support/timed-scripts.ts';
import type { SimulatedRedis } from './simulated-redis.ts';

/** Only outside readers look at these keys. The model test compares them too. */
const SHOWN = /^(?:player:online:|lingxi:tl:|lingxi:feed$)/;

/** The first difference between Redis and the rules, or undefined. */
export function differenceOf(redis: SimulatedRedis, rows: readonly DumpRow[]): string | undefined {
  const kept = redisImage(dumpedKeys(rows));
  const { world, duties } = redis;
  const consumers = new Set([...world.leases.nodes.keys(), ...world.leases.dead, ...redis.duties.consumers]);
  const expected = expectedImage(
    {
      ...{ world, duties: duties.all, mirrors: new Map(), timelines: new Map(), feed: [] },
      holderOf: ({ id }, nodes) => nodes.find((node) => duties.heldBy(node).some((duty) => duty.id === id)),
    },
    [...consumers],
  );
  const keys = new Set([...Object.keys(kept), ...Object.keys(expected)]);
  const different = [...keys].filter((key) => !SHOWN.test(key) && !isSame(key, kept, expected));
  if (different.length === 0) return undefined;
  return different
    .map((key) => `${key} is ${shown(kept[key])}, by the rules ${shown(expected[key])}`)
    .join('; ');
}

function isSame(key: string, kept: Image, expected: Image): boolean {
  return isDeepStrictEqual(kept[key], expected[key]);
}

function shown(value: unknown): string {
  return JSON.stringify(value) ?? 'nothing';
}
