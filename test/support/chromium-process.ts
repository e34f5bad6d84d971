import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startChild } from './child.ts';
import { type ChromiumBinary, findChromium } from './chromium-binary.ts';
import { Aborted, eventually, sleep } from './ports.ts';

/** A Chromium that listens for the DevTools protocol. */
export interface ChromiumProcess {
  readonly pid: number;
  readonly port: number;
  /** Address of the DevTools protocol for the whole browser. */
  readonly url: string;
  /** Waits until the process has ended by itself, else kills it; removes its folder. */
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 3_000;

export async function startChromiumProcess(
  options: { readonly flags?: readonly string[]; readonly binary?: ChromiumBinary } = {},
): Promise<ChromiumProcess> {
  const { command, env } = options.binary ?? (await findChromium());
  const folder = mkdtempSync(join(tmpdir(), 'lingxi-chromium-'));
  const child = startChild(
    command,
    [
      '--headless=new',
      '--no-first-run',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--disable-extensions',
      '--remote-debugging-port=0',
      `--user-data-dir=${folder}`,
      // The sandbox refuses root, and many containers refuse the sandbox. The pages are the tests' own.
      '--no-sandbox',
      ...(options.flags ?? []),
      'about:blank',
    ],
    { env: { ...env, HOME: folder }, removeOnDeath: folder },
  );
  const stop = async (): Promise<void> => {
    await Promise.race([child.exited, sleep(STOP_TIMEOUT_MS)]);
    if (child.exit() === undefined) child.signalGroup('SIGKILL');
    await child.exited;
    // Its helper processes may write for a moment longer.
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  };
  try {
    const [port, path] = await eventually(
      () => {
        if (child.exit() !== undefined) throw new Aborted(`${command} ended: ${child.output()}`);
        const [text, rest] = readFileSync(join(folder, 'DevToolsActivePort'), 'utf8').split('\n');
        if (!text || !rest) throw new Error('Chromium has not written its port yet');
        return [Number(text), rest] as const;
      },
      { timeoutMs: START_TIMEOUT_MS },
    );
    return { pid: child.pid, port, url: `ws://127.0.0.1:${port}${path}`, stop };
  } catch (error) {
    child.signalGroup('SIGKILL');
    await stop();
    throw error;
  }
}
