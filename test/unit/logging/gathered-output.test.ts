import { describe, expect, it } from 'vitest';
import { GatheredOutput } from '../../../src/logging/gathered-output.ts';

function build() {
  const written: string[] = [];
  return { written, output: new GatheredOutput({ write: (text) => written.push(text) }) };
}

describe('gathered output', () => {
  it('writes the lines of one turn together, in order, and those of the next turn separately', async () => {
    const { written, output } = build();
    for (const line of ['a\n', 'b\n', 'c\n']) output.write(line);
    expect(written).toEqual([]);
    await Promise.resolve();
    expect(written).toEqual(['a\nb\nc\n']);
    output.write('d\n');
    await Promise.resolve();
    expect(written).toEqual(['a\nb\nc\n', 'd\n']);
  });

  it('gathers a limited amount', async () => {
    const { written, output } = build();
    const line = `${'x'.repeat(999)}\n`;
    for (let count = 0; count < 200; count += 1) output.write(line);
    expect(written.length).toBeGreaterThanOrEqual(2);
    await Promise.resolve();
    expect(written.join('')).toBe(line.repeat(200));
  });

  it('writes at once the lines that would be lost with the process', async () => {
    const { written, output } = build();
    output.write('last\n');
    output.flush();
    output.flush();
    await Promise.resolve();
    expect(written).toEqual(['last\n']);
  });
});
