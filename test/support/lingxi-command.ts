import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { REPOSITORY } from './cache.ts';
import { startChild } from './child.ts';
import type { Gateway } from './gateway-process.ts';

/** How a command ended, and its output. */
export interface Ended {
  readonly code: number | null;
  /** Standard output, without the last newline. */
  readonly out: string;
  /** Both outputs. */
  readonly output: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Standard input. Default: none. */
  readonly input?: string;
}

/** Runs `lingxi` as an operator does, on a machine without a configuration. */
export function runLingxi(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return runProgram([process.execPath, join(REPOSITORY, 'bin/lingxi.js'), ...args], options);
}

/** The options that name a gateway and its key. */
export function at({ url, apiKey }: Pick<Gateway, 'url' | 'apiKey'>): readonly string[] {
  return ['--url', url, '--api-key', apiKey];
}

/** Runs a program to its end, with only PATH from this shell's settings. */
export async function runProgram(command: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const { PATH = '', HOME = '' } = process.env;
  let out = '';
  const env = { PATH, HOME, ...options.env };
  const piped =
    options.input === undefined
      ? command
      : ['/bin/sh', '-c', 'printf %s "$0" | "$@"', options.input, ...command];
  const [program = '', ...args] = piped;
  const child = startChild(program, args, {
    cwd: tmpdir(),
    env,
    onStdout(text) {
      out += text;
    },
  });
  const { code } = await child.exited;
  return { code, out: out.replace(/\n$/, ''), output: child.output() };
}
