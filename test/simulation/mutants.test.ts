import { beforeAll, describe, expect, it } from 'vitest';
import { MUTANTS } from './mutants.ts';
import { simulate } from './simulator-program.ts';

const SEED = 1;

describe('the simulator finds each mutant', () => {
  /** What the program prints about each mutant, by name. */
  const said = new Map<string, string>();
  // On Bun if it is installed: there they take half as long as in the process of a test.
  beforeAll(async () => {
    const { output } = await simulate('--mutants', '--seed', `${SEED}`, '--workers', '1');
    for (const line of output.split('\n')) {
      const mutant = MUTANTS.find(({ name }) => line.startsWith(`${name}: `));
      if (mutant !== undefined) said.set(mutant.name, line.slice(mutant.name.length + 2));
    }
  });

  it('of at least thirty', () => {
    expect(new Set(MUTANTS.map(({ name }) => name)).size).toBeGreaterThanOrEqual(30);
  });

  it.each(MUTANTS.map(({ name }) => name))('%s', (name) => {
    expect(said.get(name)).toMatch(/^killed after \d+ by history \d+: ./);
  });
});
