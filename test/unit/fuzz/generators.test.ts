import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { busCase } from '../../support/fuzz/bus-texts.ts';
import type { Case } from '../../support/fuzz/case.ts';
import { frameCase } from '../../support/fuzz/frames.ts';
import { handshakeCase } from '../../support/fuzz/handshakes.ts';
import { jsonCase } from '../../support/fuzz/json.ts';

const USERS = { first: 1_001, last: 2_000 };
const SECRETS = { jwtSecret: 'a'.repeat(40), apiKey: 'b'.repeat(40), users: USERS };
const MAX_MESSAGE_BYTES = 65_536;
const CASES = 400;

const GENERATORS: readonly [string, (seed: number, index: number) => Case][] = [
  ['frames', frameCase],
  ['json', (seed, index) => jsonCase(seed, index, MAX_MESSAGE_BYTES)],
  ['handshakes', (seed, index) => handshakeCase(seed, index, SECRETS)],
  ['bus', (seed, index) => busCase(seed, index, USERS)],
];

function casesOf(make: (seed: number, index: number) => Case, seed: number): readonly Case[] {
  return Array.from({ length: CASES }, (_, index) => make(seed, index));
}

/** The descriptions and bytes of all cases. */
function contentOf(cases: readonly Case[]): string {
  const hash = createHash('sha256');
  for (const { recipe, leaving, parts } of cases) {
    hash.update(recipe + leaving);
    for (const { what, bytes } of parts) hash.update(what).update(bytes);
  }
  return hash.digest('hex');
}

describe.each(GENERATORS)('the generator of %s', (_name, make) => {
  it('makes the same cases from the same seed, and others from another', () => {
    const first = contentOf(casesOf(make, 7));
    expect(contentOf(casesOf(make, 7))).toBe(first);
    expect(contentOf(casesOf(make, 8))).not.toBe(first);
  });

  it('fills every case', () => {
    for (const { parts } of casesOf(make, 9)) expect(parts.length).toBeGreaterThan(0);
  });
});

describe('the generator of JSON', () => {
  it('reaches the size limit, great depths and great widths', () => {
    const words = casesOf((seed, index) => jsonCase(seed, index, MAX_MESSAGE_BYTES), 11).flatMap(
      ({ parts }) => parts,
    );
    const greatest = (pattern: RegExp) =>
      Math.max(...words.map(({ what }) => Number(pattern.exec(what)?.[1] ?? 0)));
    expect(greatest(/ (\d+) deep/)).toBeGreaterThan(20_000);
    expect(greatest(/ (\d+) wide/)).toBeGreaterThan(3_000);
    expect(greatest(/\((\d+) bytes\)/)).toBeGreaterThan(0.9 * MAX_MESSAGE_BYTES);
    expect(greatest(/\((\d+) bytes\)/)).toBeLessThanOrEqual(MAX_MESSAGE_BYTES);
  });
});
