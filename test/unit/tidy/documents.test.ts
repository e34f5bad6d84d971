import { describe, expect, it } from 'vitest';
import { CloseCode } from '../../../src/protocol/close-codes.ts';
import { ERRORS } from '../../../src/protocol/error-codes.ts';
import { filesOf, textOf } from './repository.ts';

const NOT_BUILT = '(not yet built)';

const SPEC = textOf('docs/SPEC.md') ?? '';
/** Every rule of the specification with its text: lines that begin `- **HB1**`, and what is indented below. */
const RULES = [...SPEC.matchAll(/^- \*\*([A-Z]{2}\d+)\*\*(.*(?:\n {2,}.*)*)/gm)].map(
  ([, id = '', text = '']) => ({ id, isBuilt: !text.includes(NOT_BUILT) }),
);
const IDS = new Set(RULES.map(({ id }) => id));

const TESTS = filesOf(['test'], ['.test.ts'])
  .filter(({ path }) => !path.startsWith('test/unit/tidy/'))
  .map(({ path, text }) => ({ path, ids: idsIn(text) }));

/** Ids as the names of tests begin with them: one or more in brackets. */
function idsIn(text: string): readonly string[] {
  const beginnings = text.matchAll(/['"`]((?:\[[^\]\n]*\] ?)+)/g);
  return [...beginnings].flatMap(([, brackets = '']) => brackets.match(/\b[A-Z]{2}\d+\b/g) ?? []);
}

describe('docs/SPEC.md', () => {
  it('has rules, each once', () => {
    expect(RULES.length).toBeGreaterThan(0);
    expect(IDS.size).toBe(RULES.length);
  });

  it('every rule that is built stands in the name of a test', () => {
    const tested = new Set(TESTS.flatMap(({ ids }) => ids));
    expect(RULES.filter(({ id, isBuilt }) => isBuilt && !tested.has(id)).map(({ id }) => id)).toEqual([]);
  });

  it('every id in the name of a test is a rule', () => {
    const unknown = TESTS.flatMap(({ path, ids }) =>
      ids.filter((id) => !IDS.has(id)).map((id) => `${path}: ${id}`),
    );
    expect([...new Set(unknown)]).toEqual([]);
  });
});

describe('docs/PROTOCOL.md', () => {
  /** Headings and rows of tables: where a reader finds a name. */
  const places = (textOf('docs/PROTOCOL.md') ?? '')
    .split('\n')
    .filter((line) => line.startsWith('#') || line.startsWith('|'));

  it('has a place for every error code', () => {
    const missing = Object.keys(ERRORS).filter(
      (code) => !places.some((line) => line.includes(`\`${code}\``)),
    );
    expect(missing).toEqual([]);
  });

  it('has a place for every close code', () => {
    const missing = Object.values(CloseCode).filter(
      (code) => !places.some((line) => new RegExp(`\\b${code}\\b`).test(line)),
    );
    expect(missing).toEqual([]);
  });
});
