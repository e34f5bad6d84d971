import { describe, expect, it } from 'vitest';
import { SCRIPT_NAMES } from '../../../src/presence/store/redis/scripts.ts';
import * as lists from '../../../src/presence/store/redis/wire.ts';
import { CloseCode } from '../../../src/protocol/close-codes.ts';
import { ERRORS } from '../../../src/protocol/error-codes.ts';
import { PROTOCOL_TYPES } from '../../../src/protocol/frames.ts';
import { filesOf, textOf } from './repository.ts';

const NOT_BUILT = '(not yet built)';

const SPEC = textOf('docs/SPEC.md') ?? '';
/** Every rule of the specification with its text: lines that begin with `- **HB1**`, and the indented lines below them. */
const RULES = [...SPEC.matchAll(/^- \*\*([A-Z]{2}\d+)\*\*(.*(?:\n {2,}.*)*)/gm)].map(
  ([, id = '', text = '']) => ({ id, isBuilt: !text.includes(NOT_BUILT) }),
);
const IDS = new Set(RULES.map(({ id }) => id));

const TESTS = filesOf(['test'], ['.test.ts'])
  .filter(({ path }) => !path.startsWith('test/unit/tidy/'))
  .map(({ path, text }) => ({ path, ids: idsIn(text) }));

/** The ids at the beginning of a test's name: one or more in brackets. */
function idsIn(text: string): readonly string[] {
  const beginnings = text.matchAll(/['"`]((?:\[[^\]\n]*\] ?)+)/g);
  return [...beginnings].flatMap(([, brackets = '']) => brackets.match(/\b[A-Z]{2}\d+\b/g) ?? []);
}

describe('docs/SPEC.md', () => {
  it('has rules, each once', () => {
    expect(RULES.length).toBeGreaterThan(0);
    expect(IDS.size).toBe(RULES.length);
  });

  it('every built rule is in the name of a test', () => {
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
  /** Headings and table rows, where a reader finds a name. */
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

  /** Names in the first column of the tables of one section: `a`, `b`. */
  function namesIn(heading: string): readonly string[] {
    const [, section = ''] = (textOf('docs/PROTOCOL.md') ?? '').split(new RegExp(`^#+ ${heading}$`, 'm'));
    const [body = ''] = section.split(/^## /m);
    return [...body.matchAll(/^\| ([^|]*)\|/gm)].flatMap(([, cell = '']) =>
      [...cell.matchAll(/`([\w-]+)[^`]*`/g)].map(([, name = '']) => name),
    );
  }

  const SOURCES = filesOf(['src'], ['.ts']);
  const found = (files: readonly string[], pattern: RegExp): readonly string[] => [
    ...new Set(files.flatMap((text) => [...text.matchAll(pattern)].map(([, name = '']) => name))),
  ];

  it('describes every metric, and no other', () => {
    const texts = SOURCES.filter(({ path }) => path.startsWith('src/metrics/')).map(({ text }) => text);
    const names = found(texts, /'(lingxi_[a-z_]+)'/g);
    expect(names.length).toBeGreaterThan(20);
    expect([...namesIn('Metrics')].sort()).toEqual([...names].sort());
  });

  it('describes every log event, and no other', () => {
    const logged = found(
      SOURCES.map(({ text }) => text),
      /\.(?:debug|info|warn|error)\(\s*\{\s*event: '([a-z-]+)'/g,
    );
    expect(logged.length).toBeGreaterThan(15);
    expect([...namesIn('Log events')].sort()).toEqual([...logged].sort());
  });

  /** The text of a source file between the beginnings of two declarations. */
  function partOf(path: string, from: string, to: string): string {
    const [, part = ''] = (textOf(path) ?? '').split(from);
    return part.split(to)[0] ?? '';
  }

  it('describes every frame between the server and a lingxi.v1 client, and no other', () => {
    const frames = 'src/protocol/frames.ts';
    const [, section = ''] = (textOf('docs/PROTOCOL.md') ?? '').split(/^## WebSocket: frames$/m);
    const rows = (from: 'server' | 'client'): readonly string[] =>
      [...section.matchAll(new RegExp(`^\\| ${from} \\| \`([a-z]+)\``, 'gm'))].map(([, name = '']) => name);
    const sent = found([partOf(frames, 'export type SystemFrame', 'export interface')], /type: '(\w+)'/g);
    const read = found([partOf(frames, 'function protocolFrame', '\n}\n')], /case '(\w+)'/g);
    expect([...rows('server')].sort()).toEqual([...sent].sort());
    expect([...rows('client')].sort()).toEqual([...read].sort());
    expect([...new Set([...sent, ...read, 'ping'])].sort()).toEqual([...PROTOCOL_TYPES].sort());
  });

  it('describes every frame between nodes, and no other', () => {
    const kinds = found(
      SOURCES.map(({ text }) => text),
      /\binbox\.on\('([a-z]+)'/g,
    );
    const [, section = ''] = (textOf('docs/PROTOCOL.md') ?? '').split(/^### Frames between nodes$/m);
    const [table = ''] = section.split(/^### /m);
    const rows = [...table.matchAll(/^\| ([^|]*)\|/gm)].flatMap(([, cell = '']) =>
      [...cell.matchAll(/`(\w+)`/g)].map(([, name = '']) => name),
    );
    expect(rows.filter((name) => name !== 'kind').sort()).toEqual([...kinds].sort());
  });

  it('describes every mode of a claim and every answer to it, and no other', () => {
    const [, section = ''] = (textOf('docs/PROTOCOL.md') ?? '').split('**Fields of a claim.**');
    const [, modes = '', answers = ''] = section.split(/^\| (?:mode|answer) \|/m);
    const [body = ''] = answers.split(/^## /m);
    const first = (table: string): readonly string[] =>
      [...table.matchAll(/^\| (`[^|]*)\|/gm)].flatMap(([, cell = '']) =>
        [...(cell.split(' after ')[0] ?? '').matchAll(/`([a-z-]+)/g)].map(([, name = '']) => name),
      );
    const kinds = found(
      [partOf('src/presence/store/redis/replies.ts', 'parseClaimAnswer', 'parseEndAnswer')],
      /case '([a-z-]+)'/g,
    );
    const [, claimed = ''] = /readonly mode: ([^;]+);/.exec(textOf('src/presence/store/port.ts') ?? '') ?? [];
    expect([...first(modes)].sort()).toEqual([...found([claimed], /'(\w+)'/g)].sort());
    // The table of error codes describes the others.
    const own = kinds.filter((kind) => !Object.hasOwn(ERRORS, kind));
    expect(
      first(body)
        .filter((name) => name !== 'groups')
        .sort(),
    ).toEqual([...own].sort());
  });

  it('describes every script of Redis, and no other', () => {
    const rows = namesIn('Scripts');
    expect(SCRIPT_NAMES.filter((name) => !rows.includes(name))).toEqual([]);
    expect(rows.slice(0, SCRIPT_NAMES.length).sort()).toEqual([...SCRIPT_NAMES].sort());
  });

  it('describes every list of fields of the scripts, in its order', () => {
    const page = (textOf('docs/PROTOCOL.md') ?? '').replaceAll(' ⏱', '');
    const joined = (list: lists.Layout, separator: string): string => Object.keys(list).join(separator);
    const names = (text = ''): readonly string[] =>
      [...text.matchAll(/`(\w+)`/g)].map(([, name = '']) => name);
    const row = (script: string): readonly string[] =>
      names(new RegExp(`^\\| \`${script}\` \\|.* for each user (.*)$`, 'm').exec(page)?.[1]);
    const [, claims = ''] = page.split('**Fields of a claim.**');
    const [table = ''] = claims.split('| mode |');

    expect(names([...table.matchAll(/^\| ([^|]*) \|/gm)].map(([, cell]) => cell).join())).toEqual(
      Object.keys(lists.CLAIM),
    );
    expect(page).toContain(`\`opened,${joined(lists.ACCEPTED, ',')}\``);
    expect(page).toContain(`\`joined,${joined(lists.ACCEPTED, ',')}\``);
    expect(page).toContain(`\`ended,${joined(lists.ENDED, ',')}\``);
    for (const list of [lists.NODE, lists.LOSS, lists.HOLD, lists.LAST, lists.DUTY, lists.ENTRY])
      expect(page).toContain(`\`${joined(list, '\\|')}\``);
    expect(row('end').filter((name) => name in lists.END_REQUEST)).toEqual(Object.keys(lists.END_REQUEST));
    expect(row('read').filter((name) => name in lists.USER)).toEqual(Object.keys(lists.USER));
  });
});
