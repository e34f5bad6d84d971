import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run, startChild } from '../support/child.ts';
import { eventually } from '../support/ports.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const COUNTER = `export function countDown(from: number): number {
  if (from > 100) return 100;
  let left = from;
  while (left > 0) left -= 1;
  return left;
}
`;
/** Notices changes of the counting, but not of the limit. */
const COUNTER_TEST = `import { expect, it } from 'vitest';
import { countDown } from '../../../src/counter/counter.ts';
it('counts down', () => expect(countDown(3)).toBe(0));
`;
const SCRIPT = `-- a > b
local WINDOW_MS = 1500
if a > WINDOW_MS and not b then b = '2 > 1' end
call('DEL', key)
`;
const EXCUSE = {
  file: 'src/counter/counter.ts',
  from: 'if (from > 100) return 100;',
  to: ';',
  reason: 'planted',
};

let project: string;
/** The temporary folder of the tool. The tests check what the tool leaves there. */
let temporary: string;

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), 'lingxi-planted-'));
  temporary = join(project, 'tmp');
  mkdirSync(temporary);
  cpSync(join(ROOT, 'scripts'), join(project, 'scripts'), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(project, 'node_modules'));
  plant('package.json', '{ "type": "module" }');
  plant('src/counter/counter.ts', COUNTER);
  plant('src/scripts/script.lua', SCRIPT);
  plant('src/untested/untested.ts', 'export const isTested = false;\n');
  plant('test/unit/counter/counter.test.ts', COUNTER_TEST);
});

afterAll(() => {
  rmSync(project, { recursive: true, force: true });
});

function plant(path: string, text: string): void {
  mkdirSync(dirname(join(project, path)), { recursive: true });
  writeFileSync(join(project, path), text);
}

function startTool(args: readonly string[], onStdout: (text: string) => void = () => undefined) {
  return startChild(process.execPath, [join(project, 'scripts/mutate.mjs'), ...args], {
    cwd: project,
    env: { PATH: '/usr/bin:/bin', TMPDIR: temporary, LINGXI_MUTATE_VERBOSE: '1' },
    onStdout,
  });
}

async function mutate(...args: readonly string[]) {
  const child = startTool(args);
  const { code } = await child.exited;
  return { code, output: child.output() };
}

/** Processes of the group whose leader is the first worker of this project. */
async function workerGroup(): Promise<readonly string[]> {
  const lines = (await run('ps', ['-eo', 'pgid=,args='])).split('\n').map((line) => line.trim());
  const worker = lines.find((line) => line.includes(join(project, 'scripts/mutate/worker.mjs')));
  const group = worker?.split(' ')[0];
  return group === undefined ? [] : lines.filter((line) => line.startsWith(`${group} `));
}

describe('npm run mutate', { timeout: 120_000 }, () => {
  it('kills mutants that a test notices or that loop for ever, and lists the survivors', async () => {
    const { code, output } = await mutate('src/counter', '--workers', '1', '--time-limit', '5000');
    const loop = 'src/counter/counter.ts:4\n  - while (left > 0) left -= 1;\n  + while';
    expect(output).toContain(`killed counts down ${loop} (left > 1) left -= 1;`);
    expect(output).toContain(`killed the time limit of 5000 ms ${loop} (left > 0) left += 1;`);
    expect(output).toContain(
      'ALIVE src/counter/counter.ts:2\n  - if (from > 100) return 100;\n  + if (from > 200) return 100;',
    );
    expect(output).not.toContain(`ALIVE ${loop}`);
    expect(output).toMatch(/killed 7 of 13 \(53\.8 %\), 0 excused/);
    expect(code).toBe(1);
    expect(readdirSync(temporary)).toEqual([]);
    expect(readFileSync(join(project, 'src/counter/counter.ts'), 'utf8')).toBe(COUNTER);
  });

  it('reports a file that no test imports', async () => {
    const { code, output } = await mutate('src/untested');
    expect(output).toContain('no test imports src/untested/untested.ts');
    expect(code).toBe(1);
  });

  it('lists the mutants of a script, without those of its comments and texts', async () => {
    const { code, output } = await mutate('src/scripts/script.lua', '--list');
    const mutated = output.split('\n').filter((line) => line.startsWith('  + '));
    expect(mutated).toEqual([
      '  + local WINDOW_MS = 3000',
      '  + local WINDOW_MS = 750',
      '  + ',
      "  + if a >= WINDOW_MS and not b then b = '2 > 1' end",
      "  + if a > (WINDOW_MS * 2) and not b then b = '2 > 1' end",
      "  + if a > WINDOW_MS or not b then b = '2 > 1' end",
      "  + if a > WINDOW_MS and  b then b = '2 > 1' end",
      '  + ',
    ]);
    expect(code).toBe(0);
  });

  it('the same seed draws the same sample', async () => {
    const draw = async (seed: string) =>
      (await mutate('src/counter', '--list', '--limit', '3', '--seed', seed)).output;
    expect(await draw('7')).toBe(await draw('7'));
    expect(new Set(await Promise.all(['1', '2', '3', '4'].map(draw))).size).toBeGreaterThan(1);
  });

  it('plays no excused mutant, and refuses an excuse without a mutant', async () => {
    plant('test/mutants/equivalent.json', JSON.stringify([EXCUSE]));
    expect((await mutate('src/counter', '--list')).output).not.toContain('+ ;\n');
    plant('test/mutants/equivalent.json', JSON.stringify([{ ...EXCUSE, from: 'if (from > 99) return 99;' }]));
    const { code, output } = await mutate('src/counter', '--list');
    expect(output).toContain('excuses what is no mutant any more');
    expect(code).toBe(2);
    rmSync(join(project, 'test/mutants'), { recursive: true });
  });

  it.each([
    [[], 'Name what to mutate'],
    [['src/none'], 'There is no src/none.'],
    [['test'], 'test is not below src.'],
    [['src', '--limit', 'many'], '--limit is many: it must be a whole number.'],
    [['src', '--workers', '0'], '--workers must be at least 1.'],
    [['src', '--quick'], "Unknown option '--quick'"],
    [['src', '--tests', 'test/none'], 'There is no test/none.'],
  ])('refuses %j', async (args, sentence) => {
    const { code, output } = await mutate(...args);
    expect(output).toContain(sentence);
    expect(code).toBe(2);
  });

  it('judges nothing if a test fails without any mutant', async () => {
    plant('test/unit/counter/broken.test.ts', COUNTER_TEST.replace('toBe(0)', 'toBe(1)'));
    const { code, output } = await mutate('src/counter');
    expect(output).toContain('the tests of src/counter/counter.ts fail without any mutant: counts down.');
    expect(code).toBe(2);
    rmSync(join(project, 'test/unit/counter/broken.test.ts'));
  });

  it('leaves no process and no file behind if a signal interrupts an endless loop', async () => {
    let verdicts = '';
    const child = startTool(['src/counter', '--workers', '1', '--time-limit', '60000'], (text) => {
      verdicts += text;
    });
    // The next mutant counts up.
    await eventually(() => expect(verdicts).toContain('+ while (left > 1) left -= 1;'), {
      timeoutMs: 60_000,
    });
    const group = await eventually(async () => {
      const found = await workerGroup();
      expect(found.length).toBeGreaterThan(1);
      return found[0]?.split(' ')[0];
    });
    child.signal('SIGINT');
    expect(await child.exited).toEqual({ code: 130, signal: null });
    await eventually(async () => expect(await workerGroup()).toEqual([]));
    await eventually(async () => {
      const groups = (await run('ps', ['-eo', 'pgid='])).split('\n').map((line) => line.trim());
      expect(groups).not.toContain(group);
    });
    expect(readdirSync(temporary)).toEqual([]);
  });
});
