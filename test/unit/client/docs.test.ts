import { describe, expect, it } from 'vitest';
import { filesOf, textOf } from '../tidy/repository.ts';

const PAGE = textOf('docs/CLIENT.md') ?? '';
const SOURCES = filesOf(['src/client'], ['client.ts', 'link.ts', 'shared.ts']).map(({ text }) => text);

/** Names in the first column of the table under this heading cell. */
function rows(heading: string): readonly string[] {
  const [, table = ''] = PAGE.split(new RegExp(`^\\| ${heading} \\|.*\\n\\|[ -|]*\\n`, 'm'));
  const [body = ''] = table.split('\n\n');
  return [...body.matchAll(/^\| ([^|]*)\|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`([\w-]+)/g)].map(([, name = '']) => name),
  );
}

function namesIn(pattern: RegExp): readonly string[] {
  const found = SOURCES.flatMap((text) => [...text.matchAll(pattern)].map(([, name = '']) => name));
  return [...new Set(found)].sort();
}

describe('docs/CLIENT.md', () => {
  it('has every reason that the client itself gives, and no other', () => {
    const given = namesIn(
      /(?:reason: |fail\(|#attempt\(|#join\(|#finish\(|reason \|\| |=== true \? |status \? |'resumed' : |link, )'([a-z-]+)'/g,
    );
    expect(given.length).toBeGreaterThan(10);
    expect([...rows('reason')].sort()).toEqual(given.filter((name) => !['renewal'].includes(name)));
  });

  it('has every option, status, outcome and reason for a token, as the types do', () => {
    const types = textOf('src/client/types.ts') ?? '';
    const block = (start: string): string => types.split(start)[1]?.split('\n\n')[0] ?? '';
    const union = (name: string): readonly string[] =>
      [...block(`export type ${name} =`).matchAll(/\| '([a-z-]+)'/g)].map(([, word = '']) => word);
    const options = [...block('export interface ClientOptions {').matchAll(/^ {2}readonly (\w+)\?/gm)];
    expect(rows('option')).toEqual(options.map(([, name]) => name));
    expect(rows('status')).toEqual(union('Status'));
    expect(rows('outcome')).toEqual(union('SendOutcome'));
    expect([...rows('`reason`')].sort()).toEqual([...union('TokenReason')].sort());
  });
});
