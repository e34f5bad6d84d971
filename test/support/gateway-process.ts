import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { REPOSITORY } from './cache.ts';
import { type Child, type Exit, startChild } from './child.ts';
import { type Answer, type CallOptions, callHttp } from './http-client.ts';
import { Aborted, eventually } from './ports.ts';
import { signToken, type TokenOptions } from './tokens.ts';

export type Runtime = 'bun' | 'node';

/** Where a gateway keeps presence and settlements. */
export type Stores = 'embedded' | { readonly redisUrl: string; readonly databaseUrl: string };

export interface GatewayOptions {
  readonly runtime: Runtime;
  readonly stores: Stores;
  /** Has priority over every default of the tests; `undefined` removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Largest number of descriptors for each of its processes. */
  readonly descriptors?: number;
}

/** One line of the gateway's log. */
export type LogLine = Readonly<Record<string, unknown>>;

/** The real product as a separate process. */
export interface Gateway {
  readonly runtime: Runtime;
  readonly port: () => number;
  /** The started process. Its children are in its group. */
  readonly pid: () => number;
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  /** `ws://127.0.0.1:<port>/ws` */
  readonly wsUrl: string;
  readonly apiKey: string;
  readonly jwtSecret: string;
  readonly dataDir: string;
  token(userId: unknown, options?: TokenOptions): string;
  /** Sends an HTTP request: with `as` a user token, with `service` the service key, else no credential. */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** The same with the service key. */
  service(method: string, path: string, body?: unknown): Promise<Answer>;
  /** Lines of the present process's log that are JSON. */
  logs(): readonly LogLine[];
  /** The same, once everything that the process logged before this call has arrived: a line may be on its way for seconds. */
  logsSoFar(): Promise<readonly LogLine[]>;
  /** Everything that was printed by every process since the start. */
  printed(): string;
  /** The first line with this event that `match` accepts. Waits up to `timeoutMs` (15 s). */
  waitForLog(event: string, match?: (line: LogLine) => boolean, timeoutMs?: number): Promise<LogLine>;
  /** Ends the process and its runtime with `signal` (SIGKILL), without a goodbye. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Stops or continues the process and its runtime (SIGSTOP, SIGCONT). */
  signalAll(signal: NodeJS.Signals): void;
  /** Sends a signal (SIGTERM) only to the command, as a supervisor does, and returns how it ended. */
  terminate(signal?: NodeJS.Signals): Promise<Exit>;
  /** How the process ends after an earlier signal. */
  exited(): Promise<Exit>;
  /** Starts it again on the same data folder and port, after a {@link kill} if it still runs. */
  restart(env?: Readonly<Record<string, string | undefined>>): Promise<void>;
  /** Ends it in any state and removes the data folder. */
  stop(): Promise<void>;
}

const API_KEY = 'test-service-key-0123456789abcdef0123456789';
const JWT_SECRET = 'test-jwt-secret-0123456789abcdef0123456789';
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 35_000;
const START_TRIES = 3;
const STORE_WAS_SLOW = /cannot be used \(Command timed out\)|does not answer \(/;

/** Settings of the developer's own shell that would affect the tests. */
const OWN_VARIABLES =
  /^(LINGXI_|JWT_|REDIS_URL|DATABASE_URL|PORT$|HOST$|NODE_ENV$|LOG_LEVEL$|VITEST|NODE_OPTIONS$)/;

/** Starts `lingxi serve` on a free port and waits until it says that it listens. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const dataDir = mkdtempSync(join(tmpdir(), 'lingxi-gateway-'));
  let run = await launch(options, dataDir, undefined).catch((error: unknown) => {
    rmSync(dataDir, { recursive: true, force: true });
    throw error;
  });
  let earlier = '';
  const kill = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> => {
    run.child.signalGroup(signal);
    await run.child.exited;
  };
  const url = `http://127.0.0.1:${run.port}`;
  return {
    runtime: options.runtime,
    port: () => run.port,
    pid: () => run.child.pid,
    url,
    wsUrl: `ws://127.0.0.1:${run.port}/ws`,
    apiKey: API_KEY,
    jwtSecret: JWT_SECRET,
    dataDir,
    token: (userId, tokenOptions) => signToken(JWT_SECRET, userId, tokenOptions),
    call: (method, path, callOptions = {}) => callHttp(url, method, path, callOptions, API_KEY),
    service: (method, path, body) => callHttp(url, method, path, { service: true, body }, API_KEY),
    logs: () => run.logs(),
    async logsSoFar() {
      // On a node that does not drain, the end of a drain changes nothing. Lines arrive in the order of their events.
      const asked = Date.now();
      await callHttp(url, 'DELETE', '/api/drain', { service: true }, API_KEY);
      const isOwn = ({ action, time }: LogLine): boolean =>
        action === 'end-drain' && Date.parse(String(time)) >= asked;
      await waitForLine(run, 'audit', isOwn);
      return run.logs();
    },
    printed: () => earlier + run.printed(),
    waitForLog: (event, match, timeoutMs) => waitForLine(run, event, match, timeoutMs),
    kill,
    signalAll: (signal) => run.child.signalGroup(signal),
    terminate(signal = 'SIGTERM') {
      run.child.signal(signal);
      return within(run.child.exited, STOP_TIMEOUT_MS, () => `${signal} ended nothing: ${run.printed()}`);
    },
    exited: () => within(run.child.exited, STOP_TIMEOUT_MS, () => `it does not end: ${run.printed()}`),
    async restart(env) {
      if (run.child.exit() === undefined) await kill();
      earlier += run.printed();
      run = await launch({ ...options, env: { ...options.env, ...env } }, dataDir, run.port);
    },
    async stop() {
      if (run.child.exit() === undefined) await kill();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** The environment in which the tests start the product. */
export function gatewayEnvironment(options: GatewayOptions, dataDir: string): NodeJS.ProcessEnv {
  const shell = Object.entries(process.env).filter(([name]) => !OWN_VARIABLES.test(name));
  const stores =
    options.stores === 'embedded'
      ? {}
      : { REDIS_URL: options.stores.redisUrl, DATABASE_URL: options.stores.databaseUrl };
  const env: Record<string, string | undefined> = {
    ...Object.fromEntries(shell),
    LINGXI_RUNTIME: options.runtime,
    PORT: '0',
    HOST: '127.0.0.1',
    NODE_ENV: 'development',
    LINGXI_DATA_DIR: join(dataDir, 'data'),
    LINGXI_API_KEY: API_KEY,
    JWT_SECRET,
    LOG_LEVEL: 'info',
    // Connections are closed over two thirds of this time: a test need not wait for the default of 20 s.
    LINGXI_DRAIN_TIMEOUT_MS: '3000',
    ...stores,
    ...options.env,
  };
  return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined));
}

/** The command that a user types. */
export const GATEWAY_COMMAND: readonly string[] = [join(REPOSITORY, 'bin/lingxi.js'), 'serve'];

interface Run {
  readonly child: Child;
  readonly port: number;
  readonly logs: () => readonly LogLine[];
  readonly printed: () => string;
}

/**
 * A start ends if a store takes longer than its limit of one or two seconds to answer. On a busy machine that happens while many
 * servers start, so the start is tried again.
 */
async function launch(...how: Parameters<typeof launchOnce>): Promise<Run> {
  for (let left = START_TRIES - 1; ; left -= 1) {
    try {
      return await launchOnce(...how);
    } catch (error) {
      if (left === 0 || !STORE_WAS_SLOW.test(String(error))) throw error;
    }
  }
}

async function launchOnce(options: GatewayOptions, dataDir: string, port: number | undefined): Promise<Run> {
  let printed = '';
  const logs = parsedLines(() => printed);
  const env = gatewayEnvironment(options, dataDir);
  const [command, ...args] = limited(options.descriptors, [process.execPath, ...GATEWAY_COMMAND]);
  const child = startChild(command, args, {
    cwd: dataDir,
    env: port === undefined ? env : { ...env, PORT: String(port) },
    removeOnDeath: dataDir,
    onStdout(text) {
      printed += text;
    },
  });
  const started = await waitForLine({ child, logs }, 'started', undefined, START_TIMEOUT_MS).catch(
    async (error: unknown) => {
      child.signalGroup('SIGKILL');
      await child.exited;
      throw error;
    },
  );
  if (typeof started['port'] !== 'number')
    throw new Error(`"started" names no port: ${JSON.stringify(started)}`);
  return { child, port: started['port'], logs, printed: () => `${printed}\n${child.output()}` };
}

/** Runs `command` with this many descriptors at most. A runtime raises the soft limit to the hard one, so both are set. */
function limited(descriptors: number | undefined, command: [string, ...string[]]): [string, ...string[]] {
  if (descriptors === undefined) return command;
  return ['/bin/sh', '-c', `ulimit -n ${descriptors}; exec "$@"`, 'limited', ...command];
}

/** Parses the output only when it is read: a test beside many log lines must not pay for each line. */
function parsedLines(printed: () => string): () => readonly LogLine[] {
  const logs: LogLine[] = [];
  let read = 0;
  return () => {
    const text = printed();
    const end = text.lastIndexOf('\n') + 1;
    for (const line of text.slice(read, end).split('\n')) {
      const parsed = parseLine(line);
      if (parsed !== undefined) logs.push(parsed);
    }
    read = Math.max(read, end);
    return logs;
  };
}

function parseLine(line: string): LogLine | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return JSON.parse(line) as LogLine;
  } catch {
    return undefined;
  }
}

function waitForLine(
  run: Pick<Run, 'child' | 'logs'>,
  event: string,
  match: (line: LogLine) => boolean = () => true,
  timeoutMs = 15_000,
): Promise<LogLine> {
  return eventually(
    () => {
      const line = run.logs().find((entry) => entry['event'] === event && match(entry));
      if (line !== undefined) return line;
      const problem = `no log line "${event}" within ${timeoutMs} ms`;
      if (run.child.exit() !== undefined) throw new Aborted(`the gateway ended: ${run.child.output()}`);
      throw new Error(`${problem}; the gateway printed: ${run.child.output().slice(-2_000)}`);
    },
    { timeoutMs },
  );
}

function within<T>(promise: Promise<T>, timeoutMs: number, sentence: () => string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(sentence())), timeoutMs);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
