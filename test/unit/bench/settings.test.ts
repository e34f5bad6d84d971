import { describe, expect, it } from 'vitest';
import { readSettings } from '../../../bench/settings.ts';

const NAMES = ['B1r', 'B5', 'B9'];
const read = (...args: readonly string[]) => readSettings(args, NAMES);

describe('the arguments of npm run bench', () => {
  it('none: everything in full, on Bun, and on both runtimes if both have a goal', () => {
    const settings = read();
    expect(settings).toMatchObject({
      only: NAMES,
      runtime: 'bun',
      runtimes: ['bun', 'node'],
      isPart: false,
    });
    expect(settings.users(5_000)).toBe(5_000);
    expect(settings.users(50_000)).toBe(10_000);
  });

  it('--only accepts names in upper or lower case, and keeps the order of the scenarios', () => {
    expect(read('--only', 'b9, B1R').only).toEqual(['B1r', 'B9']);
  });

  it.each([['--quick'], ['--users', '9999'], ['--pinging', '1'], ['--seconds', '11']])(
    '%s makes the run incomplete',
    (...args) => {
      expect(read(...args).isPart).toBe(true);
    },
  );

  it.each([['--quick'], ['--only', 'B5'], ['--runtime', 'bun']])(
    '--write-docs with %s is refused',
    (...args) => {
      expect(() => read('--write-docs', ...args)).toThrow('--write-docs needs a full run');
    },
  );

  it('--quick measures one runtime, and the other only if it is named', () => {
    expect(read('--quick').runtimes).toEqual(['bun']);
    expect(read('--quick', '--runtime', 'node').runtimes).toEqual(['node']);
  });

  it('--quick with a size of its own', () => {
    expect(read('--quick', '--users', '50').users(10_000)).toBe(50);
  });

  it.each([
    [['--only', 'B5,B7'], '--only names "b7": the scenarios are B1r, B5, B9.'],
    [['--runtime', 'deno'], '--runtime is deno: it must be bun or node.'],
    [['--users', '0'], '--users is 0: it must be a whole number from 1 on.'],
    [['--seconds', '1.5'], '--seconds is 1.5: it must be a whole number from 1 on.'],
    [['--users', '30000'], 'There are 20000 users: give --users and --pinging at most that.'],
  ])('%j is refused in one sentence', (args, sentence) => {
    expect(() => read(...args)).toThrow(sentence);
  });
});
