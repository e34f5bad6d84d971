import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { REPOSITORY } from '../support/cache.ts';
import { type Child, type Exit, startChild } from '../support/child.ts';
import {
  GATEWAY_COMMAND,
  type Gateway,
  gatewayEnvironment,
  type Runtime,
  startGateway,
} from '../support/gateway-process.ts';
import { eventually } from '../support/ports.ts';
import { startWitness } from '../support/witness.ts';

const START_LIMIT_MS = 20_000;
/** A drain of a node without connections takes about 0.3 s. */
const DRAIN_LIMIT_MS = 10_000;

/** How the process ended; rejects if it still runs after the limit. `exited` waits for every process of its group. */
async function ends(child: Pick<Child, 'exit' | 'output'>): Promise<Exit> {
  return eventually(
    () => {
      const exit = child.exit();
      if (exit === undefined) throw new Error(`still running: ${child.output().slice(-1_000)}`);
      return exit;
    },
    { timeoutMs: DRAIN_LIMIT_MS },
  );
}

describe.concurrent.each(['bun', 'node'] as const)('signals to the server on %s', (runtime) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({ runtime, stores: 'embedded' });
  });
  afterAll(() => gateway?.stop());

  it.sequential('SIGUSR1 and SIGUSR2 have no effect: no debugger, no exit, no disconnect', async () => {
    const witness = await startWitness(gateway);
    try {
      for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGUSR1'] as const) {
        // The launcher and its runtime both get the signal.
        gateway.signalAll(signal);
        await witness.noticedNothing(2_000);
      }
      expect((await gateway.call('GET', '/healthz')).status).toBe(200);
      expect(gateway.printed()).not.toMatch(/debugger|inspector/i);
    } finally {
      witness.stop();
    }
  });

  it.each(['command', 'whole group'] as const)(
    '[DR1] SIGHUP to the %s drains as SIGTERM does',
    async (to) => {
      const own = await startGateway({ runtime, stores: 'embedded' });
      try {
        const witness = await startWitness(own);
        if (to === 'whole group') own.signalAll('SIGHUP');
        const exit = to === 'whole group' ? own.exited() : own.terminate('SIGHUP');
        expect((await witness.client.closed).code).toBe(1012);
        witness.stop();
        expect(await exit).toEqual({ code: 0, signal: null });
        expect(own.logs().map((line) => line['event'])).toContain('stopped');
      } finally {
        await own.stop();
      }
    },
  );
});

describe('a launcher that ends while Bun starts', () => {
  it.concurrent.each(['SIGKILL', 'SIGTERM'] as const)('[DR1] %s leaves no server behind', async (signal) => {
    const folder = mkdtempSync(join(tmpdir(), 'lingxi-launcher-'));
    const env = gatewayEnvironment({ runtime: 'bun', stores: 'embedded' }, folder);
    try {
      for (let round = 0; round < 3; round += 1) {
        const child = startChild(process.execPath, [...GATEWAY_COMMAND], { cwd: folder, env });
        try {
          await eventually(() => expect(childrenOf(child.pid)).toHaveLength(1), { intervalMs: 1 });
          child.signal(signal);
          // Resolves when the last process that has the output of the launcher has ended.
          await ends(child);
        } finally {
          child.signalGroup('SIGKILL');
        }
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

/** Ids of the processes that `pid` started. */
function childrenOf(pid: number): readonly string[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    return children.filter((child) => child !== '');
  } catch {
    return [];
  }
}

describe.concurrent.each<Runtime>(['bun', 'node'])('npm start on %s', (runtime) => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'lingxi-npm-'));
    for (const name of ['package.json', 'bin', 'scripts', 'dist'])
      cpSync(join(REPOSITORY, name), join(folder, name), { recursive: true });
    symlinkSync(join(REPOSITORY, 'node_modules'), join(folder, 'node_modules'));
    // The test checks only the chain of processes; the product was built before.
    writeFileSync(join(folder, 'scripts/build.mjs'), '');
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  let child: Child;
  let printed: string;
  beforeEach(async () => {
    printed = '';
    child = startChild('npm', ['start'], {
      cwd: folder,
      env: gatewayEnvironment({ runtime, stores: 'embedded' }, folder),
      onStdout(text) {
        printed += text;
      },
    });
    await eventually(() => expect(printed, child.output()).toContain('"event":"started"'), {
      timeoutMs: START_LIMIT_MS,
    });
    return async () => {
      child.signalGroup('SIGKILL');
      await child.exited;
    };
  });

  it.sequential.each(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGKILL'] as const)(
    '[DR1] %s to npm alone drains the server and leaves no process behind',
    async (signal) => {
      child.signal(signal);
      const exit = await ends(child);
      expect(printed).toContain('"event":"draining"');
      expect(printed).toContain('"event":"stopped"');
      // npm waits for the server if it can. In a container, the end of npm would end every process.
      if (signal === 'SIGTERM' || signal === 'SIGINT') expect(exit.code).toBe(0);
    },
  );

  it.sequential('[DR1] SIGHUP to the whole group, as a closed terminal sends it, drains the server', async () => {
    child.signalGroup('SIGHUP');
    await ends(child);
    expect(printed).toContain('"event":"stopped"');
  });
});
