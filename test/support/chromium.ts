import { type BrowserContext, type Browser as Connection, chromium, type Page } from 'playwright-core';
import type { ChromiumBinary } from './chromium-binary.ts';
import { startChromiumProcess } from './chromium-process.ts';

/** A real Chromium whose tabs share one window. As for a user, showing one tab hides the others. */
export interface Chromium {
  readonly pid: number;
  readonly tabs: BrowserContext;
  /** One more window with separate storage. Its pages count as visible and hide no others, so tests may run at the same time. */
  openWindow(): Promise<BrowserContext>;
  /** Freezes a hidden tab as Chromium does to save power, or thaws it. */
  freeze(tab: Page, isFrozen: boolean): Promise<void>;
  /** Kills the process behind a tab. */
  crash(tab: Page): Promise<void>;
  stop(): Promise<void>;
}

/** Starts the Chromium of this machine, else Debian's, or the given one. */
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
    openWindow: () => connection.newContext({ viewport: null }),
    async freeze(tab, isFrozen) {
      const session = await tabs.newCDPSession(tab);
      await session.send('Page.setWebLifecycleState', { state: isFrozen ? 'frozen' : 'active' });
      await session.detach();
    },
    async crash(tab) {
      const session = await tabs.newCDPSession(tab);
      const crashed = new Promise<void>((resolve) => tab.once('crash', () => resolve()));
      // No process can answer any more.
      session.send('Page.crash').catch(() => undefined);
      await crashed;
    },
    async stop() {
      // The browser ends its helper processes itself. If it were killed, they would stay.
      const session = await connection.newBrowserCDPSession();
      await session.send('Browser.close').catch(() => undefined);
      await connection.close();
      await stop();
    },
  };
}
