import { describe, expect, it } from 'vitest';
import { filesOf, type SourceFile, textOf } from './repository.ts';

/** This file must name what it forbids. */
const SELF = 'test/unit/tidy/words.test.ts';

const CODE = [
  ...filesOf(['src', 'test', 'bin', 'scripts'], ['.ts', '.js', '.mjs', '.lua']),
  ...topLevel(['vitest.config.ts', 'vitest.scenarios.config.ts']),
].filter(({ path }) => path !== SELF);

const TEXTS = [
  ...CODE,
  ...filesOf(['docs', '.ci', '.changeset'], ['.md', '.json', 'run']),
  ...topLevel([
    'README.md',
    'README.zh-CN.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    'CHANGELOG.md',
    'LICENSE',
    'package.json',
    'package-lock.json',
    '.oxlintrc.json',
    'biome.json',
    'knip.jsonc',
    'tsconfig.json',
  ]),
];

function topLevel(paths: readonly string[]): readonly SourceFile[] {
  return paths.flatMap((path) => {
    const text = textOf(path);
    return text === undefined ? [] : [{ path, text }];
  });
}

function linesWith(files: readonly SourceFile[], pattern: RegExp): readonly string[] {
  return files.flatMap(({ path, text }) =>
    text
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  );
}

describe('words that stay out', () => {
  it('paths of one machine', () => {
    expect(linesWith(TEXTS, /(^|[^\w.])\/(work|root|home|Users)\/\w/)).toEqual([]);
  });

  it('hosts of a package mirror: the lock names the public registry or none', () => {
    const resolved = linesWith(
      topLevel(['package-lock.json']),
      /"resolved": "(?!https:\/\/registry\.npmjs\.org\/)/,
    );
    expect(resolved).toEqual([]);
  });

  it('work put off', () => {
    expect(linesWith(TEXTS, /\b(TODO|FIXME|XXX|HACK)\b/)).toEqual([]);
  });

  it('tests that do not run, or keep others from running', () => {
    const tests = CODE.filter(({ path }) => path.startsWith('test/'));
    expect(linesWith(tests, /\b(it|test|describe|suite)\.(skip|only|todo|skipIf|runIf|fails)\b/)).toEqual([]);
  });

  it('ways around the compiler', () => {
    const typed = CODE.filter(({ path }) => path.endsWith('.ts'));
    expect(linesWith(typed, /\bas any\b|@ts-(ignore|nocheck|expect-error)\b/)).toEqual([]);
  });

  it('the present moment by another name than the clock', () => {
    const rooms = CODE.filter(({ path }) => path.startsWith('src/') && !path.startsWith('src/cli/'));
    expect(linesWith(rooms, /\bnew Date\(\)/)).toEqual([]);
  });
});
