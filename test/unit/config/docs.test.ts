import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { configReference } from '../../../src/config/docs.ts';
import { FIELDS, KEYS } from '../../../src/config/keys.ts';

const PAGE = new URL('../../../docs/CONFIGURATION.md', import.meta.url);

describe('the reference of keys', () => {
  it('docs/CONFIGURATION.md is what `lingxi config-docs` prints', () => {
    expect(readFileSync(PAGE, 'utf8').trimEnd()).toBe(configReference().trimEnd());
  });

  it('a variable is declared once', () => {
    const variables = FIELDS.map((field) => KEYS[field].variable);
    expect(new Set(variables).size).toBe(variables.length);
  });

  it('every default is a valid value', () => {
    for (const field of FIELDS) {
      const { variable, defaultText, kind } = KEYS[field];
      const literal = /^`([^`]*)`$/.exec(defaultText)?.[1];
      if (literal !== undefined) expect(kind.parse(literal), variable).toBeDefined();
    }
  });
});
