import { describe, expect, it } from 'vitest';
import { sayDescriptorLimit } from '../../../src/gateway/descriptor-limit.ts';
import type { LogFields } from '../../../src/logging/log.ts';

function said(options: Parameters<typeof sayDescriptorLimit>[2]): string[] {
  const lines: string[] = [];
  const at = (level: string) => (_fields: LogFields, text: string) => void lines.push(`${level} ${text}`);
  const log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  sayDescriptorLimit(log, 10_000, options);
  return lines;
}

describe('fewer descriptors than connections', () => {
  it('cause a warning if the number of connections is configured', () => {
    expect(said({ isReliedOn: true, limit: 1_024 })).toEqual([expect.stringMatching(/^warn .*1024.*10000/)]);
  });

  it('cause no warning on default settings in development', () => {
    expect(said({ isReliedOn: false, limit: 1_024 })).toEqual([expect.stringMatching(/^info /)]);
  });

  it('are not logged if there are enough', () => {
    expect(said({ isReliedOn: true, limit: 20_000 })).toEqual([]);
  });
});
