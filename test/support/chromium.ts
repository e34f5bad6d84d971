import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, type Browser as Connection, chromium, type Page } from 'playwright-core';
import { CACHE, findExecutable, withLock } from './cache.ts';
import { startChild } from './child.ts';
import { Aborted, eventually, sleep } from './ports.ts';
import { fetchDebianPrograms } from './redis-binaries.ts';

/** A real Chromium, whose tabs share one window: showing one hides the others, as for a user. */
export interface Chromium {
  readonly tabs: BrowserContext;
  /** Freezes a hidden tab, as Chromium does to save power, or thaws it. */
  freeze(tab: Page, isFrozen: boolean): Promise<void>;
  /** Kills the process behind a tab. */
  crash(tab: Page): Promise<void>;
  stop(): Promise<void>;
}

const ROOT = join(CACHE, 'lingxi-chromium');
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 3_000;

export async function startChromium(): Promise<Chromium> {
  const { command, env } = await findChromium();
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
      // Chromium's own sandbox refuses root.
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      'about:blank',
    ],
    { env: { ...env, HOME: folder }, removeOnDeath: folder },
  );
  const stop = async (): Promise<void> => {
    await Promise.race([child.exited, sleep(STOP_TIMEOUT_MS)]);
    if (child.exit() === undefined) child.signalGroup('SIGKILL');
    await child.exited;
    // Its helpers may write for a moment longer.
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  };
  try {
    const port = await eventually(
      () => {
        if (child.exit() !== undefined) throw new Aborted(`${command} ended: ${child.output()}`);
        const [text, path] = readFileSync(join(folder, 'DevToolsActivePort'), 'utf8').split('\n');
        if (!text || !path) throw new Error('Chromium has not written its port yet');
        return text;
      },
      { timeoutMs: START_TIMEOUT_MS },
    );
    // Without defaults: with them every tab would count as visible.
    const connection = await chromium.connectOverCDP(`http://127.0.0.1:${port}`, { noDefaults: true });
    return driver(connection, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

function driver(connection: Connection, stop: () => Promise<void>): Chromium {
  const [tabs] = connection.contexts();
  if (tabs === undefined) throw new Error('Chromium has no window');
  return {
    tabs,
    async freeze(tab, isFrozen) {
      const session = await tabs.newCDPSession(tab);
      await session.send('Page.setWebLifecycleState', { state: isFrozen ? 'frozen' : 'active' });
      await session.detach();
    },
    async crash(tab) {
      const session = await tabs.newCDPSession(tab);
      const crashed = new Promise<void>((resolve) => tab.once('crash', () => resolve()));
      // Nobody is left to answer.
      session.send('Page.crash').catch(() => undefined);
      await crashed;
    },
    async stop() {
      // It ends its helpers itself; killed, it would leave them to others.
      const session = await connection.newBrowserCDPSession();
      await session.send('Browser.close').catch(() => undefined);
      await connection.close();
      await stop();
    },
  };
}

/** A Chromium or Chrome on PATH, else Debian's, fetched once without root rights and announced in one line. */
async function findChromium(): Promise<{ command: string; env: NodeJS.ProcessEnv }> {
  const installed = NAMES.map((name) => findExecutable(name)).find((found) => found !== undefined);
  if (installed !== undefined) return { command: installed, env: process.env };
  const command = join(ROOT, 'usr/lib/chromium/chromium');
  await withLock(`${ROOT}.lock`, async () => {
    if (existsSync(command)) return;
    await fetchDebianPrograms(['chromium'], ROOT).catch((error: unknown) => {
      throw new Error(
        'The tests of the client need Chromium: install it with "sudo apt-get install chromium". ' +
          `Fetching it failed: ${error instanceof Error ? error.message : String(error)}`,
      );
    });
  });
  const lib = join(ROOT, 'usr/lib');
  const folders = readdirSync(lib).filter((name) => name.includes('-linux-'));
  const path = folders.map((name) => join(lib, name)).join(':');
  return { command, env: { ...process.env, LD_LIBRARY_PATH: path } };
}
