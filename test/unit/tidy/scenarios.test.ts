import { describe, expect, it } from 'vitest';
import { filesOf } from './repository.ts';

/** A test that imports these files is a test of `npm run scenarios` alone. */
const REAL_TIME = 'test/scenarios/real-time/';
const LAST_SCENARIO = 63;
const PROMISED = Array.from({ length: 46 }, (_, index) => index + 1);

const TESTS = filesOf(['test'], ['.test.ts']).filter(({ path }) => !path.startsWith('test/unit/tidy/'));

/** The scenario numbers at the beginning of a test's name, among other things in brackets. */
function scenariosIn(text: string): readonly number[] {
  const beginnings = text.matchAll(/['"`]((?:\[[^\]\n]*\] ?)+)/g);
  return [...beginnings].flatMap(([, brackets = '']) =>
    [...brackets.matchAll(/\[scenario (\d+)\]/g)].map(([, number]) => Number(number)),
  );
}

function missingFrom(tests: typeof TESTS): readonly number[] {
  const carried = new Set(tests.flatMap(({ text }) => scenariosIn(text)));
  return PROMISED.filter((number) => !carried.has(number));
}

describe('the scenarios of docs/RELIABILITY.md', () => {
  it('the name of a test of every run has each scenario; real-time tests do not count', () => {
    expect(missingFrom(TESTS.filter(({ path }) => !path.startsWith(REAL_TIME)))).toEqual([]);
  });

  it('a scenario without a test is reported', () => {
    const others = TESTS.map(({ path, text }) => ({ path, text: text.replaceAll('[scenario 21]', '[21]') }));
    expect(missingFrom(others)).toEqual([21]);
  });

  it('every number in the name of a test is a scenario', () => {
    const unknown = TESTS.flatMap(({ path, text }) =>
      scenariosIn(text)
        .filter((number) => number < 1 || number > LAST_SCENARIO)
        .map((number) => `${path}: ${number}`),
    );
    expect(unknown).toEqual([]);
  });
});
