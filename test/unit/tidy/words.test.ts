import { describe, expect, it } from 'vitest';
import { filesOf, type SourceFile, textOf } from './repository.ts';

/** This file must name what it forbids. */
const SELF = 'test/unit/tidy/words.test.ts';

const CODE = [
  ...filesOf(['src', 'test', 'bin', 'scripts'], ['.ts', '.js', '.mjs', '.lua']),
  ...filesOf(['bench'], ['.ts', '.mjs']).filter(({ path }) => !path.includes('node_modules')),
  ...topLevel(['vitest.config.ts', 'vitest.scenarios.config.ts', 'vitest.background.config.ts']),
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

/** Pages for users and operators. */
const PAGES = [
  ...filesOf(['docs', '.changeset'], ['.md']),
  ...topLevel(['README.md', 'SECURITY.md', 'CHANGELOG.md', 'CONTRIBUTING.md']),
];

/** Inversions that a native reader has to decode, and words that this project invented. */
const AWKWARD = [
  /\bwhom\b/i,
  /\bwhoever\b/i,
  /\bof which\b/i,
  /\b(is|are|was|were) told\b/i,
  /\bthat waits\b/i,
  /\bas much too\b/i,
  /\bthat is none\b/i,
  /\bseed(['’]s|s['’]| (clients?|page|server|programs?)\b)/i,
  /\bthrow(s|n|ing)? (\w+ ){0,4}out\b/i,
  /\bset(s|ting)? aside\b/i,
  /\b(take|takes|taken|taking|took) (\w+ ){0,4}up\b/i,
  /\blet(s|ting)? (\w+ ){0,2}go\b/i,
  /\b(ghost|lane|crowd|birth|dial)s?\b/i,
  /\brestat(e|es|ed|ing)\b/i,
  /\breveal/i,
  /\bpatient\b/i,
  /\blively\b/i,
];

/** Without code, which has the names of the contract, without targets of links, and without quoted names of tests. */
function proseOf(text: string): string {
  const withoutBlocks = text.replaceAll(/^```[^]*?^```$/gm, (block) => block.replaceAll(/[^\n]/g, ''));
  return withoutBlocks.replaceAll(/`[^`\n]*`|\]\([^)\n]*\)|"[^"\n]*"/g, '·');
}

/** A text of several words in quotes, as in the name of a test or of a mutant. */
const SENTENCE = /(['`])((?:(?!\1).)*? (?:(?!\1).)*? (?:(?!\1).)*?)\1/g;

/** The first lines of the blocks of a list of mutants, without what names the script, the rule and the history. */
const TITLE = /^\w+ [A-Z]{2}\d+ \S+ (.+)$/;

function isNaming(path: string): boolean {
  return path.endsWith('.test.ts') || path.startsWith('test/simulation/');
}

/** The comments of a program, and the names of its tests and mutants. Its other lines are left empty, so that the numbers stay. */
function commentsOf({ path, text }: SourceFile): SourceFile {
  const lines = text.split('\n').map((line) => {
    if (path.endsWith('.txt')) return TITLE.exec(line)?.[1] ?? '';
    const [, comment] = /^\s*(?:\/?\*+|\/\/|--)(.*)$/.exec(line) ?? /\s\/\/ (.*)$/.exec(line) ?? [];
    const names = isNaming(path) ? [...line.matchAll(SENTENCE)].map(([, , name]) => name) : [];
    return comment ?? names.join(' · ');
  });
  return { path, text: lines.join('\n') };
}

/** Programs and lists of mutants that are checked as the pages are. */
const COMMENTED = [
  ...CODE.filter(({ path }) => /^(src|scripts|bench|bin|test)\//.test(path)),
  ...filesOf(['test/mutants'], ['.txt']),
];

function awkwardLines(files: readonly SourceFile[]): readonly string[] {
  const prose = files.map(({ path, text }) => ({ path, text: proseOf(text) }));
  return AWKWARD.flatMap((pattern) => linesWith(prose, pattern));
}

describe('words that stay out', () => {
  it('inversions and invented words on the pages', () => {
    expect(awkwardLines(PAGES)).toEqual([]);
  });

  it('the same in comments, and in the names of tests and mutants', () => {
    expect(awkwardLines(COMMENTED.map(commentsOf))).toEqual([]);
    const planted = [
      ['test/unit/a.ts', '// a push that waits\nwhom();'],
      [
        'test/unit/a.test.ts',
        "it('tells whom it meets', f);\n  it(\n    '[PR1] users whom it holds',\n    f,\n  );",
      ],
      ['test/unit/b.test.ts', "it.each([\n  ['is told of it', 1],\n])('[PR1] whoever %s (%s)', f);"],
      ['test/simulation/a.ts', "const M = { 'a node of which others know': 1 };"],
      ['test/mutants/a.txt', '# of which\n\nclaim PR4 2 the loser is told late\n-whom\n+'],
    ].map(([path = '', text = '']) => ({ path, text }));
    expect(planted.map((file) => awkwardLines([commentsOf(file)]).length)).toEqual([1, 2, 2, 1, 1]);
  });

  it('each of these patterns finds its word in a sentence', () => {
    const sentences = [
      'users whom it holds',
      'whoever reaches the port',
      'the moment of which is known',
      'the node is told',
      'a push that waits',
      'as much too late',
      'a duty that is none',
      "the seed's page",
      'both nodes throw the user out',
      'a logout was set aside',
      'a login takes the opening up',
      'the node let go',
      'ghosts, a lane, a crowd, a birth, a dial',
      'what it restates',
      'reveal a period',
      'a patient node',
      'a lively socket',
    ];
    const pages = sentences.map((text) => ({ path: 'page.md', text }));
    expect(pages.filter((page) => awkwardLines([page]).length === 0)).toEqual([]);
    expect(
      awkwardLines([{ path: 'page.md', text: '`lingxi_ghosts` and `birth`\n```\nwhom\n```\n' }]),
    ).toEqual([]);
  });

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
    expect(linesWith(typed, /\bas any\b|@ts-(ignore|nocheck)\b/)).toEqual([]);
    // A types test says what must not compile.
    const others = typed.filter(({ path }) => !path.endsWith('.types.test.ts'));
    expect(linesWith(others, /@ts-expect-error\b/)).toEqual([]);
  });

  it('the present moment by another name than the clock', () => {
    const rooms = CODE.filter(({ path }) => path.startsWith('src/') && !path.startsWith('src/cli/'));
    expect(linesWith(rooms, /\bnew Date\(\)/)).toEqual([]);
  });
});
