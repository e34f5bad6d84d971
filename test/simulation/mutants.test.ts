import { describe, expect, it } from 'vitest';
import { killed, MUTANTS } from './mutants.ts';

const SEED = 1;

describe('the simulator finds what is broken on purpose', () => {
  it('in thirty ways at the least', () => {
    expect(new Set(MUTANTS.map(({ name }) => name)).size).toBeGreaterThanOrEqual(30);
  });

  it.each(MUTANTS.map((mutant) => [mutant.name, mutant] as const))(
    '%s',
    { timeout: 120_000 },
    async (_, mutant) => {
      expect(await killed(mutant, SEED)).toBeDefined();
    },
  );
});
