import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { REPOSITORY } from '../support/cache.ts';
import { type Child, startChild } from '../support/child.ts';
import { type Ended, runProgram } from '../support/lingxi-command.ts';
import { eventually } from '../support/ports.ts';

const BENCH = join(REPOSITORY, 'bench/run.mjs');
const TIMEOUT_MS = 120_000;

const bench = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> =>
  runProgram([process.execPath, BENCH, ...args], { env });

// It takes both cores from all others.
describe('npm run bench beside other programs', () => {
  it('on a busy machine it says so', async () => {
    const spinners: Child[] = [];
    const rest = (): Promise<unknown> =>
      Promise.all(
        spinners.map((spinner) => {
          spinner.signal('SIGKILL');
          return spinner.exited;
        }),
      );
    try {
      const args = [BENCH, '--only', 'B11', '--held', '1000', '--seconds', '3'];
      const child = startChild(process.execPath, args);
      await eventually(() => expect(child.output()).toContain('Running the scenarios'));
      while (spinners.length < 2 * availableParallelism())
        spinners.push(startChild(process.execPath, ['-e', 'for (;;);']));
      const sentence = /The machine was busy: a process that wanted a whole core got \d+ % of one/;
      await eventually(() => expect(child.output()).toMatch(sentence), { timeoutMs: 60_000 });
      // The machine was busy at the first check, so the whole run counts as busy. The other tests get their cores back.
      await rest();
      expect((await child.exited).code).not.toBe(0);
    } finally {
      await rest();
    }
  }, 120_000);
});

// No test of these two judges a speed.
describe.concurrent('npm run bench', () => {
  it.sequential('says first what it does to the machine, and a quick run judges no speed', async () => {
    const { code, out, output } = await bench(['--quick', '--only', 'B6', '--users', '50']);
    expect(output.split('\n')[0]).toMatch(
      /^Running the scenarios B6 with all cores, part of 2 minutes\. Nothing else should run meanwhile\..*Ctrl-C is safe/,
    );
    // 50 users on a busy machine never reach 50,000 messages a second, but on any machine all messages arrive.
    expect(code, output).toBe(0);
    expect(out).toMatch(/part: B6 bun, .*messages\/s$/m);
    expect(out).toMatch(/messages that arrived .* goal >= 99 %: met$/m);
    expect(out).toContain('1 of 1 checks of correctness met');
  }, 60_000);

  it.sequential('without a compiler it reports that the floor is missing, and marks JSON as incomplete', async () => {
    const args = ['--only', 'B6', '--runtime', 'bun', '--users', '50', '--seconds', '3', '--json'];
    const { code, out, output } = await bench(args, { CC: 'no-such-compiler' });
    expect(code).toBe(2);
    expect(output).toContain('No C compiler was found, so the floor is missing');
    const report = JSON.parse(out);
    expect(report.complete).toBe(false);
    expect(report.gaps.join()).toContain('No C compiler');
    expect(report.measured[0].outcome.rows[0]).toMatchObject({ unit: 'messages/s' });
    expect(report.machine).toMatchObject({ versions: { node: expect.any(String), bun: expect.any(String) } });
  }, 60_000);
});

describe.concurrent('npm run bench that does not end well', () => {
  it.sequential('too few descriptors: one sentence, and the run reports that it is incomplete', async () => {
    const { code, output } = await runProgram([
      ...['/bin/sh', '-c', 'ulimit -n 1000; exec "$@"', 'limited', process.execPath, BENCH],
      ...['--only', 'B3', '--users', '5000'],
    ]);
    expect(code).toBe(2);
    expect(output).toMatch(/B3 was not measured: 5000 users need 5200 descriptors .* give --users 800/);
    expect(output).toContain('NOT A WHOLE RUN');
  }, 60_000);

  it.sequential(
    'Ctrl-C leaves no process behind, and no result that looks complete',
    async () => {
      let printed = '';
      const child = startChild(process.execPath, [
        BENCH,
        '--only',
        'B6',
        '--runtime',
        'bun',
        '--users',
        '200',
      ]);
      const started = await eventually(
        () => {
          printed = child.output();
          if (!printed.includes('[1/1] B6')) throw new Error(`it did not start: ${printed}`);
          const all = descendantsOf(child.pid);
          // The processes: the bench on Bun, the gateway's command, the gateway, and the load.
          if (all.length < 4) throw new Error(`only ${all.length} processes run`);
          return all;
        },
        { timeoutMs: 60_000 },
      );
      child.signal('SIGINT');
      const { code } = await child.exited;
      expect(code).toBe(2);
      expect(child.output()).toContain('Interrupted. What was printed is not a whole run.');
      expect(child.output()).not.toContain('A whole run');
      await eventually(() => expect(started.filter(isRunning)).toEqual([]), { timeoutMs: 10_000 });
    },
    TIMEOUT_MS,
  );
});

/** All descendants of the process `pid`, without watchdogs. */
function descendantsOf(pid: Child['pid']): readonly number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const parent = Number(statusOf(Number(name), 'PPid'));
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const below = (parent: number): readonly number[] =>
    (children.get(parent) ?? []).flatMap((child) => [child, ...below(child)]);
  return below(pid).filter((child) => statusOf(child, 'Name') !== 'sh');
}

function isRunning(pid: number): boolean {
  const state = statusOf(pid, 'State');
  return state !== undefined && !state.startsWith('Z');
}

function statusOf(pid: number, name: string): string | undefined {
  try {
    return new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  } catch {
    return undefined;
  }
}
