import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ChildOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly uid?: number;
  readonly gid?: number;
  /** A folder that is removed if this test run dies before it can clean up. */
  readonly removeOnDeath?: string;
  readonly onStdout?: (text: string) => void;
}

/** A process in a separate group, so that a signal also reaches its children. */
export interface Child {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  exit(): Exit | undefined;
  /** The newest 16,000 characters of both outputs. */
  output(): string;
  /** Sends `signal` to the process alone. */
  signal(signal: NodeJS.Signals): void;
  /** Sends `signal` to the whole group. */
  signalGroup(signal: NodeJS.Signals): void;
}

const KEPT_OUTPUT_CHARACTERS = 16_000;

export function startChild(command: string, args: readonly string[], options: ChildOptions = {}): Child {
  const child = spawn(command, args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.gid ?? options.uid }),
  });
  let output = '';
  const keep = (text: string): void => {
    output = (output + text).slice(-KEPT_OUTPUT_CHARACTERS);
  };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    keep(text);
    options.onStdout?.(text);
  });
  child.stderr?.setEncoding('utf8').on('data', keep);
  let ended: Exit | undefined;
  const exited = new Promise<Exit>((resolve) => {
    child.once('error', (error) => keep(String(error)));
    child.once('close', (code, signal) => {
      ended = { code, signal };
      resolve(ended);
    });
  });
  const pid = child.pid ?? -1;
  if (pid > 0) {
    passPriorityOn(pid);
    watch(child, pid, options.removeOnDeath);
  }
  return {
    pid,
    exited,
    exit: () => ended,
    output: () => output,
    signal: (signal) => send(pid, signal),
    signalGroup: (signal) => send(-pid, signal),
  };
}

/** Runs a command to its end and returns its outputs. Rejects with them if the exit code is not 0. */
export async function run(
  command: string,
  args: readonly string[],
  options: ChildOptions = {},
): Promise<string> {
  let stdout = '';
  const child = startChild(command, args, {
    ...options,
    onStdout: (text) => {
      stdout += text;
    },
  });
  const exit = await child.exited;
  if (exit.code === 0) return stdout;
  throw new Error(`${command} ended with ${exit.code ?? exit.signal ?? 'an error'}: ${child.output()}`);
}

/**
 * A test run may be killed. The watchdog has the other end of a pipe: when this process ends, it reads the end of file. Then it
 * kills the groups that would otherwise stay behind, and removes their folders. One watchdog serves all children, because another
 * process for each would cost as much as a short command itself.
 */
const WATCHDOG = `
while read -r what pid folder; do
  case $what in
    begun) eval "folder_$pid=\\$folder; is_up_$pid=1"; pids="$pids $pid" ;;
    ended) unset "folder_$pid" "is_up_$pid" ;;
  esac
done
for pid in $pids; do
  eval "folder=\\$folder_$pid; is_up=\\$is_up_$pid"
  [ -z "$is_up" ] && continue
  kill -s KILL -- "-$pid"
  [ -z "$folder" ] || rm -rf -- "$folder"
done
`;

let watchdog: ChildProcess | undefined;

function watch(child: ChildProcess, pid: number, folder: string | undefined): void {
  watchdog ??= startWatchdog();
  const { stdin } = watchdog;
  stdin?.write(`begun ${pid} ${folder ?? ''}\n`);
  child.once('close', () => stdin?.write(`ended ${pid}\n`));
}

function startWatchdog(): ChildProcess {
  const started = spawn('/bin/sh', ['-c', WATCHDOG], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  started.unref();
  started.on('error', () => undefined);
  started.stdin?.on('error', () => undefined);
  return started;
}

/** The nice value of this process's session. `npm test` gives the simulation's session a low one. */
const sessionPriority = readSessionPriority();

/**
 * A child leads a separate session. Linux balances sessions against each other ("autogroup"), and a new one has the usual weight.
 */
function passPriorityOn(pid: number): void {
  if (sessionPriority === undefined) return;
  try {
    writeFileSync(`/proc/${pid}/autogroup`, sessionPriority);
  } catch {
    // The process has already ended, or Linux accepts no second change within 100 ms. Then it keeps the usual priority.
  }
}

/** Undefined if it is the usual value, or if the system has none. */
function readSessionPriority(): string | undefined {
  try {
    const nice = /nice (-?\d+)/.exec(readFileSync('/proc/self/autogroup', 'utf8'))?.[1];
    return nice === '0' ? undefined : nice;
  } catch {
    return undefined;
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
