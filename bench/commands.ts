import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** The commands of a helper process. Each command takes one JSON object and returns one. */
export type Commands = Readonly<Record<string, (args: never) => unknown>>;

/** A process that runs the commands from its standard input, one JSON object a line. It ends with its parent. */
export interface Helper<C extends Commands> {
  /** Rejects with the helper's error sentence, or with a sentence about its end. */
  call<K extends keyof C & string>(name: K, ...args: Parameters<C[K]>): Promise<Awaited<ReturnType<C[K]>>>;
  /** How the process ended, as a sentence; undefined while it runs. */
  end(): string | undefined;
  stop(): Promise<void>;
}

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

const KEPT_CHARACTERS = 2_000;
/** Longer than any command takes. Only a server that hangs exceeds it. */
const LIMIT_MS = 180_000;

export function startHelper<C extends Commands>(
  name: string,
  program: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Helper<C> {
  const child = spawn(program[0] ?? '', program.slice(1), { ...options, stdio: ['pipe', 'pipe', 'pipe'] });
  const waiting = new Map<number, Waiting>();
  let last = 0;
  let said = '';
  let end: string | undefined;
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-KEPT_CHARACTERS);
  });
  const ended = whenEnded(child).then((how) => {
    end = `${name} ended (${how})${said === '' ? '' : `: ${said.trim()}`}`;
    for (const { reject } of waiting.values()) reject(new Error(end));
    waiting.clear();
  });
  child.stdin.on('error', () => undefined);
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (!line.startsWith('{')) return;
    const { id, answer, error } = JSON.parse(line) as { id: number; answer?: unknown; error?: string };
    const caller = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) caller?.resolve(answer);
    else caller?.reject(new Error(error));
  });
  return {
    call: (command, ...[args]) =>
      new Promise((resolve, reject) => {
        if (end !== undefined) return reject(new Error(end));
        last += 1;
        const id = last;
        const limit = setTimeout(() => {
          waiting.delete(id);
          reject(
            new Error(`${name} did not do "${command}" within ${LIMIT_MS / 1000} s: the server may hang`),
          );
        }, LIMIT_MS);
        waiting.set(id, {
          resolve(answer) {
            clearTimeout(limit);
            (resolve as (answer: unknown) => void)(answer);
          },
          reject(error) {
            clearTimeout(limit);
            reject(error);
          },
        });
        child.stdin.write(`${JSON.stringify({ id, command, args })}\n`);
      }),
    end: () => end,
    async stop() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** The helper's side: runs the commands from standard input, and ends with it. `leave` is called before. */
export function serveCommands(commands: Commands, leave: () => void = () => undefined): void {
  const table = commands as Readonly<Record<string, (args: unknown) => unknown>>;
  const input = createInterface({ input: process.stdin });
  input.on('line', (line) => {
    const { id, command, args } = JSON.parse(line) as { id: number; command: string; args: unknown };
    const answered = (result: object): void =>
      void process.stdout.write(`${JSON.stringify({ id, ...result })}\n`);
    Promise.resolve()
      .then(() => table[command]?.(args))
      .then(
        (answer) => answered({ answer: answer ?? {} }),
        (error: unknown) => answered({ error: error instanceof Error ? error.message : String(error) }),
      );
  });
  input.on('close', () => {
    leave();
    process.exit(0);
  });
}

function whenEnded(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(signal ?? `exit code ${code ?? '?'}`));
  });
}
