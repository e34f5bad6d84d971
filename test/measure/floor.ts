import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findExecutable } from '../support/cache.ts';
import { startHelper } from './commands.ts';
import { withLoad } from './processes.ts';

interface FloorAnswer {
  readonly port: number;
  readonly sent: number;
  readonly cpuMs: number;
}

/** What floor.c does. */
interface FloorCommands extends Readonly<Record<string, (args: never) => unknown>> {
  port: (args: object) => FloorAnswer;
  random: (args: { readonly seconds: number }) => FloorAnswer;
  broadcast: (args: { readonly times: number; readonly everyMs: number }) => FloorAnswer;
}

const SOURCE = fileURLToPath(new URL('floor.c', import.meta.url));
const AT_ONCE = 500;

/**
 * CPU in µs of a delivery by a program in C that makes only the system calls, measured in the same run. Undefined
 * where there is no C compiler, or the system has no epoll.
 */
export async function measureFloor(plan: {
  readonly users: number;
  readonly seconds: number;
  /** Broadcasts at this distance; absent: to random users. */
  readonly everyMs?: number;
}): Promise<number | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'lingxi-floor-'));
  try {
    const program = compile(folder);
    if (program === undefined) return undefined;
    const floor = startHelper<FloorCommands>('the floor', [program]);
    try {
      return await withLoad(async (load) => {
        const { port } = await floor.call('port', {});
        // It runs, so its file is not needed: nothing stays if this program is killed.
        rmSync(folder, { recursive: true, force: true });
        const { users: count, seconds, everyMs } = plan;
        await load.call('open', { port, secret: 'none', first: 1, count, atOnce: AT_ONCE });
        const { cpuMs, sent } = await (everyMs === undefined
          ? floor.call('random', { seconds })
          : floor.call('broadcast', { times: Math.max(1, Math.floor((seconds * 1000) / everyMs)), everyMs }));
        return (cpuMs * 1000) / sent;
      });
    } finally {
      await floor.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function compile(folder: string): string | undefined {
  const compiler = findExecutable('cc');
  if (compiler === undefined || process.platform !== 'linux') return undefined;
  const program = join(folder, 'floor');
  const { status, stderr } = spawnSync(compiler, ['-O2', '-o', program, SOURCE], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`the floor does not compile: ${stderr}`);
  return program;
}
