import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { fileSecretStore, type SecretName } from '../config/development-secrets.ts';
import { type LoadedConfig, type LoadOptions, loadConfig } from '../config/load.ts';
import { readTextFile } from '../config/read-text-file.ts';
import type { ConfigError } from '../config/sources.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import type { Result } from '../lib/result.ts';
import { redisUrlFault } from '../redis/url.ts';

/** The parts of its process that a command may use. */
export interface Cli {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Whether a person reads standard output. */
  readonly isTerminal: boolean;
  /** Whether a person can answer a question: standard input and output are a terminal. */
  readonly isInteractive: boolean;
  readonly clock: Clock;
  random(bytes: number): Uint8Array;
  out(line: string): void;
  error(line: string): void;
  /** All of standard input as UTF-8, or undefined if it has more than `maxBytes`. */
  readInput(maxBytes: number): Promise<string | undefined>;
  /** Asks a person. Returns false also if the person cancels. */
  confirm(question: string): Promise<boolean>;
  /** The exit code that the process has when nothing is left to do. */
  setExitCode(code: number): void;
}

/** The real process. */
export function processCli(): Cli {
  return {
    env: process.env,
    cwd: process.cwd(),
    isTerminal: process.stdout.isTTY,
    isInteractive: process.stdin.isTTY && process.stdout.isTTY,
    clock: waitingClock(),
    random: randomBytes,
    out: (line) => void process.stdout.write(`${line}\n`),
    error: (line) => void process.stderr.write(`${line}\n`),
    readInput,
    async confirm(question) {
      const { confirm } = await import('@clack/prompts');
      return (await confirm({ message: question, initialValue: false })) === true;
    },
    setExitCode(code) {
      process.exitCode = code;
    },
  };
}

interface ConfigWish {
  /** Development secrets to make if they are missing. Default: none. */
  readonly make?: readonly SecretName[];
  /** The part of the configuration that the command needs. Default: all of it. */
  readonly needs?: LoadOptions['needs'];
}

/** The configuration of this folder and environment. */
export function readConfig(
  cli: Cli,
  { make = [], needs = 'everything' }: ConfigWish,
): Result<LoadedConfig, ConfigError> {
  const making = fileSecretStore((bytes) => cli.random(bytes));
  const looking = fileSecretStore();
  return loadConfig({
    env: cli.env,
    cwd: cli.cwd,
    hostname: hostname(),
    needs,
    readFile: readTextFile,
    redisUrlFault,
    secretStore: {
      obtain: (name, dataDir) => (make.includes(name) ? making : looking).obtain(name, dataDir),
    },
  });
}

/** As {@link readConfig}. If the configuration is invalid, prints the faults and ends the command with code 1. */
export function configOrFail(cli: Cli, make: readonly SecretName[] = []): LoadedConfig | undefined {
  const loaded = readConfig(cli, { make });
  if (loaded.ok) return loaded.value;
  fail(cli, loaded.error.message);
  return undefined;
}

export function fail(cli: Cli, sentence: string): void {
  cli.error(sentence);
  cli.setExitCode(1);
}

async function readInput(maxBytes: number): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The system clock, but its timers keep the process alive: a command with a pending timer is not done. */
function waitingClock(): Clock {
  const timer = (handle: NodeJS.Timeout): Timer => ({ cancel: () => clearTimeout(handle) });
  return {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    after: (delayMs, callback) => timer(setTimeout(callback, delayMs)),
    every: (intervalMs, callback) => timer(setInterval(callback, intervalMs)),
    defer(callback) {
      const handle = setImmediate(callback);
      return { cancel: () => clearImmediate(handle) };
    },
  };
}
