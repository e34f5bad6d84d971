import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Chromium, startChromium } from '../support/chromium.ts';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually } from '../support/ports.ts';
import { freshUser } from '../support/stores.ts';
import { expectAccessible } from './accessible.ts';

/** Enough time to return on a busy machine. */
const TIMEOUT_MS = 6_000;
/** Messages that a browser prints by itself about a server that is gone or refuses. */
const OF_THE_NETWORK = /ERR_CONNECTION|ERR_EMPTY_RESPONSE|WebSocket connection to|Failed to load resource/;

let chromium: Chromium;
beforeAll(async () => {
  chromium = await startChromium();
});
afterAll(() => chromium?.stop());

/** A window and a gateway for tests that run one after the other, beside those of other windows. */
interface Demo {
  readonly gateway: Gateway;
  readonly window: BrowserContext;
  /** Errors of pages that no test expects. */
  readonly errors: string[];
  /** Errors of this page fail the test, which closes it. */
  watch(page: Page): Page;
  /** A page that has not logged in. */
  open(query: string, init?: string): Promise<Page>;
  /** A page on which the user plays. */
  play(user: number, name?: string, init?: string): Promise<Page>;
  statusOf(user: number): Promise<unknown>;
}

function useDemo(openWindow = () => chromium.openWindow()): Demo {
  let gateway: Gateway | undefined;
  let window: BrowserContext | undefined;
  const errors: string[] = [];
  const pages: Page[] = [];
  beforeAll(async () => {
    [window, gateway] = await Promise.all([
      openWindow(),
      startGateway({
        runtime: 'node',
        stores: 'embedded',
        env: { LINGXI_HEARTBEAT_TIMEOUT_MS: String(TIMEOUT_MS), LINGXI_PING_INTERVAL_MS: '1000' },
      }),
    ]);
  });
  afterEach(async () => {
    for (const page of pages.splice(0)) await page.close();
    expect(errors.splice(0)).toEqual([]);
  });
  afterAll(() => gateway?.stop());
  const demo: Demo = {
    get gateway() {
      return gateway ?? expect.fail('no gateway');
    },
    get window() {
      return window ?? expect.fail('no window');
    },
    errors,
    watch(page) {
      pages.push(page);
      page.on('pageerror', ({ message }) => errors.push(message));
      page.on('console', (message) => {
        if (message.type() === 'error' && !OF_THE_NETWORK.test(message.text())) errors.push(message.text());
      });
      return page;
    },
    async open(query, init) {
      const page = demo.watch(await demo.window.newPage());
      if (init !== undefined) await page.addInitScript(init);
      await page.goto(`http://localhost:${demo.gateway.port()}/${query}`);
      return page;
    },
    async play(user, name = 'Ann', init) {
      const page = await demo.open(`?user=${user}&name=${encodeURIComponent(name)}`, init);
      await page.locator('.value.growing').waitFor({ timeout: 15_000 });
      return page;
    },
    statusOf: async (user) =>
      (await demo.gateway.service('GET', `/api/online/player/${user}`)).body['status'],
  };
  return demo;
}

const spirit = async (page: Page): Promise<number> =>
  Number(await page.locator('[data-spirit]').getAttribute('data-spirit'));
const news = (page: Page): Promise<string> => page.locator('.news').innerText();
const says = (page: Page, sentence: RegExp, timeoutMs = 15_000): Promise<void> =>
  eventually(async () => expect(await news(page)).toMatch(sentence), { timeoutMs });
const press = (page: Page, label: string): Promise<void> => page.getByRole('button', { name: label }).click();

describe.concurrent('the demo page and its user', () => {
  // In the first window one tab hides the other, as for a user.
  const demo = useDemo(async () => chromium.tabs);

  it.sequential('a user signs in by the keyboard, and the spirit grows on the page as it grows on the server', async () => {
    const user = freshUser();
    const page = await demo.open('');
    await page.getByLabel('User id').fill(String(user));
    await page.getByLabel('Name').fill('Cloud Walker');
    await page.keyboard.press('Enter');
    await page.locator('.value.growing').waitFor();
    const before = await spirit(page);
    await eventually(async () => expect(await spirit(page)).toBeGreaterThan(before + 1.5));
    expect(await page.locator('.who').innerText()).toContain('Cloud Walker');
    await press(page, 'Fight');
    await press(page, 'Explore');
    await eventually(async () =>
      expect(await page.locator('section[aria-labelledby=dungeon] li').count()).toBeGreaterThan(2),
    );
    await eventually(async () => {
      expect(await page.locator('tr.own').innerText()).toContain('Cloud Walker');
      expect(await page.locator('section[aria-labelledby=board]').innerText()).toMatch(
        /You are number \d+ among the players of this node\./,
      );
    });
    // After a reload the page continues as the same user. Its new socket may come before the old one is closed.
    await page.reload();
    await page.locator('.value.growing').waitFor();
    await says(page, /You are back in time|You stayed online/);
  });

  it.sequential('a stopped heartbeat leads to a logout, its settlement, and a return without credit', async () => {
    const user = freshUser();
    const page = await demo.play(user);
    await press(page, 'Stop my heartbeat');
    await page.locator('.countdown').waitFor();
    await says(page, /No heartbeat for 6 s: the server closed the socket \(4100\) and logged you out/);
    expect(await page.locator('.situation').innerText()).toContain(
      'Closed: no heartbeat came, so the server closed it (4100) and logged you out.',
    );
    const last = await spirit(page);
    await eventually(async () => expect(await demo.statusOf(user)).toBe('offline'));
    await says(page, /Settled: the logout time \d\d:\d\d:\d\d goes into SQL/);
    await says(page, /Away for \d+ s, nothing was credited/, 20_000);
    await page.locator('.value.growing').waitFor();
    // The page stayed away for six seconds: only the time since its return counted for growth.
    const settled = Number(await page.locator('[data-spirit]').getAttribute('data-spirit'));
    expect(settled - last).toBeLessThan(5);
    await eventually(async () =>
      expect(await page.locator('section[aria-labelledby=knows]').innerText()).toContain('no sign of life'),
    );
  });

  it.sequential('after a closed socket the user lingers, and returns in the same period', async () => {
    const user = freshUser();
    const page = await demo.play(user);
    await press(page, 'Close the socket');
    await eventually(async () =>
      expect(await page.locator('section[aria-labelledby=knows] dl').innerText()).toContain(
        'without a socket',
      ),
    );
    expect(await demo.statusOf(user)).toBe('online');
    await press(page, 'Come back now');
    await says(page, /You are back in time/);
    expect(await news(page)).not.toMatch(/nothing was credited/);
  });

  it.sequential('a second tab takes over, and the first one stays away until it is asked to play again', async () => {
    const user = freshUser();
    const page = await demo.play(user);
    const [second] = await Promise.all([
      demo.window.waitForEvent('page'),
      page.getByRole('link', { name: 'Open a second tab' }).click(),
    ]);
    demo.watch(second);
    await second.locator('.value.growing').waitFor();
    await says(page, /Another tab took over \(4001\)/);
    await says(second, /This tab took over\./);
    expect(await news(second)).not.toMatch(/You are back in time/);
    // The user is online in the second tab, so there is no countdown to a logout.
    await eventually(async () =>
      expect(await page.locator('.situation').innerText()).toContain('You stay online in the other tab.'),
    );
    expect(await page.locator('.countdown').count()).toBe(0);
    await page.bringToFront();
    await press(page, 'Play here again');
    await page.locator('.value.growing').waitFor();
    await says(second, /Another tab took over/);
    await says(page, /This tab took over\./);
  });

  it.sequential('if the server refuses, the page shows its sentence, and plays when the cause is gone', async () => {
    const user = freshUser();
    const page = await demo.play(user);
    await demo.gateway.service('POST', `/api/users/${user}/disconnect`, { blockMs: 5_000 });
    await says(page, /closed the connection for good: the service kicked the user \(4002\)/);
    await press(page, 'Come back now');
    await eventually(async () => expect(await page.locator('.situation').innerText()).toMatch(/blocked/i));
    await eventually(
      async () => {
        await press(page, 'Come back now').catch(() => undefined);
        await page.locator('.value.growing').waitFor({ timeout: 1_000 });
      },
      { timeoutMs: 20_000 },
    );
  });
});

describe.concurrent('the demo page and a node that is killed', () => {
  const demo = useDemo();

  it.sequential('the node is killed and started again, and the page reconnects by itself', async () => {
    const user = freshUser();
    const page = await demo.play(user);
    const before = await spirit(page);
    await press(page, 'Kill the node');
    await says(page, /You killed the node, as a crash would/);
    expect((await demo.gateway.exited()).signal).toBe('SIGKILL');
    await eventually(async () =>
      expect(await page.locator('.situation').innerText()).toMatch(
        /does not answer[^]*as you started it \(npm start\)/,
      ),
    );
    await demo.gateway.restart();
    await says(page, /The node is back\. It found in SQL that you were online/);
    await page.locator('.value.growing').waitFor();
    await eventually(async () => expect(await spirit(page)).toBeGreaterThan(before));
    // There is only one node.
    expect(await page.locator('section[aria-labelledby=knows]').innerText()).not.toMatch(/another node/);
  });

  it.sequential('the node is killed while the page stays away: the node logs the user out once it is back', async () => {
    const user = freshUser();
    const page = await demo.play(user);
    await press(page, 'Close the socket');
    await press(page, 'Stay away');
    await press(page, 'Kill the node');
    expect((await demo.gateway.exited()).signal).toBe('SIGKILL');
    await demo.gateway.restart();
    await says(page, /The node is back, and this page has no connection/);
    await eventually(async () => expect(await demo.statusOf(user)).toBe('offline'), { timeoutMs: 15_000 });
    await press(page, 'Come back now');
    await page.locator('.value.growing').waitFor();
  });

  it.sequential('the node is killed while the heartbeat is off: the page reconnects without a heartbeat, and is logged out', async () => {
    const page = await demo.play(freshUser());
    await press(page, 'Stop my heartbeat');
    await says(page, /Connected, and silent/);
    await press(page, 'Kill the node');
    expect((await demo.gateway.exited()).signal).toBe('SIGKILL');
    await demo.gateway.restart();
    await says(page, /No heartbeat for 6 s: the server closed the socket/, 20_000);
  });
});

describe.concurrent('the demo page as it looks', () => {
  const demo = useDemo();

  it.sequential('ignores pushes of another shape, and continues to play', async () => {
    const user = freshUser();
    const page = await demo.play(user);
    await press(page, 'Fight');
    await press(page, 'Explore');
    const odd: readonly unknown[] = [null, [], 7, 'text', true, {}, { toString: 1 }];
    const shapes: Readonly<Record<string, readonly unknown[]>> = {
      'spirit:grow': [
        { newSpirit: '12', spiritRate: null },
        { newSpirit: 1, spiritRate: {} },
      ],
      'dungeon:event': [
        { eventType: 'combat_round', playerHp: {}, message: {} },
        { eventType: 'start', playerHp: 1, enemyHp: [1], roundNum: 'x', message: { a: 1 }, loot: null },
      ],
      'leaderboard:update': [
        { top10: null },
        { top10: [null], userRank: { rank: 1 } },
        { top10: [{ rank: 1, userId: user, username: 7, spirit: 'much', level: 1 }], userRank: null },
      ],
      'exploration:event': [{ eventType: 7 }, { eventType: 'start', exploreName: {}, message: ['x'] }],
      'game:state': [
        { spirit: {}, grownUnseen: 'x' },
        { spirit: 1, away: null },
      ],
      'game:refused': [{ reason: {} }],
    };
    const messages = Object.entries(shapes).flatMap(([type, own]) =>
      [...odd, ...own].map((data) => ({ to: { userId: user }, type, data })),
    );
    expect((await demo.gateway.service('POST', '/api/messages', messages)).status).toBe(200);
    const last = { userId: user, oldSpirit: 0, newSpirit: 1e6, gainAmount: 1, spiritRate: 1 };
    const grown = {
      to: { userId: user },
      type: 'spirit:grow',
      data: { ...last, elapsedSeconds: 1, timestamp: 1 },
    };
    // The next growth from the server replaces it within a second, so a slow page may not be seen with it.
    await eventually(
      async () => {
        await demo.gateway.service('POST', '/api/messages', grown);
        await page.locator('[data-spirit="1000000"]').waitFor({ timeout: 1_000 });
      },
      { timeoutMs: 30_000 },
    );
    await page.locator('tr.own').waitFor();
    await eventually(async () =>
      expect(await page.locator('section[aria-labelledby=dungeon] li').count()).toBeGreaterThan(2),
    );
  });

  it.sequential('shows hostile names as text, in every place', async () => {
    const name = '<img src=x onerror=alert(1)>\u0301\u0301\u0301\u0301\u0301"\'&{{7*7}}';
    const page = await demo.play(freshUser(), name);
    page.on('dialog', () => demo.errors.push('a name ran a script'));
    await page.locator('tr.own').waitFor();
    expect(await page.locator('.who').innerText()).toContain('<img src=x onerror=alert(1)>');
    expect(await page.locator('main img').count()).toBe(0);
    const width = await page.evaluate(() => {
      const { scrollWidth, clientWidth } = (
        globalThis as unknown as {
          document: { documentElement: { scrollWidth: number; clientWidth: number } };
        }
      ).document.documentElement;
      return scrollWidth - clientWidth;
    });
    expect(width).toBe(0);
  });

  it.sequential('plays if storage is forbidden', async () => {
    const forbidden = `for (const name of ['localStorage', 'sessionStorage', 'BroadcastChannel'])
      Object.defineProperty(window, name, { get() { throw new DOMException('forbidden', 'SecurityError'); } });`;
    const page = await demo.play(freshUser(), 'Ann', forbidden);
    await press(page, '中文');
    await page.getByRole('button', { name: '停止我的心跳' }).waitFor();
  });

  it.sequential('is in English and Chinese, including past events, and the server uses the language of the page', async () => {
    const page = await demo.play(freshUser());
    await press(page, '中文');
    await says(page, /你上线了/);
    expect(await page.evaluate('document.documentElement.lang')).toBe('zh-CN');
    await page.reload();
    await page.locator('.value.growing').waitFor();
    await press(page, '战斗');
    await eventually(async () =>
      expect(await page.locator('section[aria-labelledby=dungeon] ol').innerText()).toContain('石猿'),
    );
    await press(page, 'English');
  });

  it.sequential.each(['light', 'dark'] as const)(
    'has no accessibility violation (%s)',
    async (colorScheme) => {
      const page = demo.watch(await demo.window.newPage());
      await page.emulateMedia({ colorScheme });
      await page.goto(`http://localhost:${demo.gateway.port()}/`);
      await page.getByLabel('User id').waitFor();
      await expectAccessible({ page }, 'the first page');
      await page.goto(`http://localhost:${demo.gateway.port()}/?user=${freshUser()}`);
      await page.locator('.value.growing').waitFor();
      await press(page, 'Fight');
      await press(page, 'Explore');
      await page.locator('tr.own').waitFor();
      await expectAccessible({ page }, 'online');
      await press(page, 'Stop my heartbeat');
      await page.locator('.countdown').waitFor();
      await expectAccessible({ page }, 'without heartbeats');
      await press(page, 'Let it beat again');
      await page.locator('.value.growing').waitFor();
      await press(page, 'Close the socket');
      await page.getByRole('button', { name: 'Stay away' }).waitFor();
      await expectAccessible({ page }, 'with a closed socket');
    },
  );
});
