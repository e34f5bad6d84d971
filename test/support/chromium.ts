import { type BrowserContext, type Browser as Connection, chromium, type Page } from 'playwright-core';
import type { ChromiumBinary } from './chromium-binary.ts';
import { startChromiumProcess } from './chromium-process.ts';

/** A real Chromium, whose tabs share one window: showing one hides the others, as for a user. */
export interface Chromium {
  readonly pid: number;
  readonly tabs: BrowserContext;
  /** Freezes a hidden tab, as Chromium does to save power, or thaws it. */
  freeze(tab: Page, isFrozen: boolean): Promise<void>;
  /** Kills the process behind a tab. */
  crash(tab: Page): Promise<void>;
  stop(): Promise<void>;
}

/** Starts the Chromium of this machine, else Debian's, or the one that is given. */
export async function startChromium(binary?: ChromiumBinary): Promise<Chromium> {
  const { port, pid, stop } = await startChromiumProcess(binary === undefined ? {} : { binary });
  try {
    // Without defaults: with them every tab would count as visible.
    const connection = await chromium.connectOverCDP(`http://127.0.0.1:${port}`, { noDefaults: true });
    return { pid, ...driver(connection, stop) };
  } catch (error) {
    await stop();
    throw error;
  }
}

function driver(connection: Connection, stop: () => Promise<void>): Omit<Chromium, 'pid'> {
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
