import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { REPOSITORY } from '../support/cache.ts';
import { type Chromium, startChromium } from '../support/chromium.ts';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually } from '../support/ports.ts';
import { freshUser } from '../support/stores.ts';

const TIMEOUT_MS = 4_000;
const AXE = readFileSync(join(REPOSITORY, 'node_modules/axe-core/axe.min.js'), 'utf8');
/** What a browser prints by itself about a server that is gone, or that refuses. */
const OF_THE_NETWORK = /ERR_CONNECTION|ERR_EMPTY_RESPONSE|WebSocket connection to|Failed to load resource/;

let chromium: Chromium;
beforeAll(async () => {
  chromium = await startChromium();
});
afterAll(() => chromium?.stop());

/** Errors of pages that no test expects. */
const errors: string[] = [];
const pages: Page[] = [];
afterEach(async () => {
  for (const page of pages.splice(0)) await page.close();
  expect(errors.splice(0)).toEqual([]);
});

function watch(page: Page): Page {
  pages.push(page);
  page.on('pageerror', ({ message }) => errors.push(message));
  page.on('console', (message) => {
    if (message.type() === 'error' && !OF_THE_NETWORK.test(message.text())) errors.push(message.text());
  });
  return page;
}

describe.each(['node'] as const)('the demo page and a gateway on %s', (runtime) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      runtime,
      stores: 'embedded',
      env: { LINGXI_HEARTBEAT_TIMEOUT_MS: String(TIMEOUT_MS), LINGXI_PING_INTERVAL_MS: '1000' },
    });
  });
  afterAll(() => gateway?.stop());

  const open = async (query: string, init?: string): Promise<Page> => {
    const page = watch(await chromium.tabs.newPage());
    if (init !== undefined) await page.addInitScript(init);
    await page.goto(`http://localhost:${gateway.port()}/${query}`);
    return page;
  };
  const play = async (user: number, name = 'Ann', init?: string): Promise<Page> => {
    const page = await open(`?user=${user}&name=${encodeURIComponent(name)}`, init);
    await page.locator('.value.growing').waitFor({ timeout: 15_000 });
    return page;
  };
  const spirit = async (page: Page): Promise<number> =>
    Number(await page.locator('[data-spirit]').getAttribute('data-spirit'));
  const news = (page: Page): Promise<string> => page.locator('.news').innerText();
  const says = (page: Page, sentence: RegExp, timeoutMs = 15_000): Promise<void> =>
    eventually(async () => expect(await news(page)).toMatch(sentence), { timeoutMs });
  const press = (page: Page, label: string): Promise<void> =>
    page.getByRole('button', { name: label }).click();
  const statusOf = async (user: number): Promise<unknown> =>
    (await gateway.service('GET', `/api/online/player/${user}`)).body['status'];

  it('a user signs in by the keyboard, and the spirit grows on the page as it grows on the server', async () => {
    const user = freshUser();
    const page = await open('');
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
    expect(await page.locator('tr.own').innerText()).toContain('Cloud Walker');
    expect(await page.locator('section[aria-labelledby=board]').innerText()).toMatch(
      /You are number \d+ among the players of this node\./,
    );
    // The page goes on as the same user when it is loaded again. Its new socket may come before the old one is closed.
    await page.reload();
    await page.locator('.value.growing').waitFor();
    await says(page, /You are back in time|You stayed online/);
  });

  it('a stopped heart leads to a logout, its settlement, and a return that credits nothing', async () => {
    const user = freshUser();
    const page = await play(user);
    await press(page, 'Stop my heartbeat');
    await page.locator('.countdown').waitFor();
    await says(page, /No heartbeat for 4 s: the server closed the socket \(4100\) and logged you out/);
    expect(await page.locator('.situation').innerText()).toContain(
      'Closed: no heartbeat came, so the server closed it (4100) and logged you out.',
    );
    const last = await spirit(page);
    await eventually(async () => expect(await statusOf(user)).toBe('offline'));
    await says(page, /Settled: the logout time \d\d:\d\d:\d\d goes into SQL/);
    await says(page, /Away for \d s, nothing was credited/, 20_000);
    await page.locator('.value.growing').waitFor();
    // It stayed away for six seconds: what grew was the moment since its return.
    const settled = Number(await page.locator('[data-spirit]').getAttribute('data-spirit'));
    expect(settled - last).toBeLessThan(5);
    expect(await page.locator('section[aria-labelledby=knows]').innerText()).toContain('no sign of life');
  });

  it('a closed socket lingers, and comes back as the same period', async () => {
    const user = freshUser();
    const page = await play(user);
    await press(page, 'Close the socket');
    await eventually(async () =>
      expect(await page.locator('section[aria-labelledby=knows] dl').innerText()).toContain(
        'without a socket',
      ),
    );
    expect(await statusOf(user)).toBe('online');
    await press(page, 'Come back now');
    await says(page, /You are back in time/);
    expect(await news(page)).not.toMatch(/nothing was credited/);
  });

  it('a second tab takes over, the first one stays away, and may play on when asked to', async () => {
    const user = freshUser();
    const page = await play(user);
    const [second] = await Promise.all([
      chromium.tabs.waitForEvent('page'),
      page.getByRole('link', { name: 'Open a second tab' }).click(),
    ]);
    watch(second);
    await second.locator('.value.growing').waitFor();
    await says(page, /Another tab took over \(4001\)/);
    await says(second, /This tab took over\./);
    expect(await news(second)).not.toMatch(/You are back in time/);
    // The user is online there: nobody is about to be logged out.
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

  it('the node is killed and started again, and the page comes back by itself', async () => {
    const user = freshUser();
    const page = await play(user);
    const before = await spirit(page);
    await press(page, 'Kill the node');
    await says(page, /You killed the node, as a crash would/);
    expect((await gateway.exited()).signal).toBe('SIGKILL');
    await eventually(async () =>
      expect(await page.locator('.situation').innerText()).toMatch(
        /does not answer[^]*as you started it \(npm start\)/,
      ),
    );
    await gateway.restart();
    await says(page, /The node is back\. It found in SQL that you were online/);
    await page.locator('.value.growing').waitFor();
    await eventually(async () => expect(await spirit(page)).toBeGreaterThan(before));
    // There is one node alone.
    expect(await page.locator('section[aria-labelledby=knows]').innerText()).not.toMatch(/another node/);
  });

  it('the node is killed while the page stays away: the node logs the user out once it is back', async () => {
    const user = freshUser();
    const page = await play(user);
    await press(page, 'Close the socket');
    await press(page, 'Stay away');
    await press(page, 'Kill the node');
    expect((await gateway.exited()).signal).toBe('SIGKILL');
    await gateway.restart();
    await says(page, /The node is back, and this page has no connection/);
    await eventually(async () => expect(await statusOf(user)).toBe('offline'), { timeoutMs: 15_000 });
    await press(page, 'Come back now');
    await page.locator('.value.growing').waitFor();
  });

  it('the node is killed while the heart is silent: the page connects again, silent, and is logged out', async () => {
    const page = await play(freshUser());
    await press(page, 'Stop my heartbeat');
    await says(page, /Connected, and silent/);
    await press(page, 'Kill the node');
    expect((await gateway.exited()).signal).toBe('SIGKILL');
    await gateway.restart();
    await says(page, /No heartbeat for 4 s: the server closed the socket/, 20_000);
  });

  it('a server that refuses is heard: the page shows its sentence, and plays when the cause is gone', async () => {
    const user = freshUser();
    const page = await play(user);
    await gateway.service('POST', `/api/users/${user}/disconnect`, { blockMs: 2_000 });
    await says(page, /closed the connection for good: the service kicked the user \(4002\)/);
    await press(page, 'Come back now');
    await eventually(async () => expect(await page.locator('.situation').innerText()).toMatch(/blocked/i));
    await eventually(
      async () => {
        await press(page, 'Come back now').catch(() => undefined);
        await page.locator('.value.growing').waitFor({ timeout: 1_000 });
      },
      { timeoutMs: 15_000 },
    );
  });

  it('passes over what is pushed to it in another shape, and plays on', async () => {
    const user = freshUser();
    const page = await play(user);
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
    expect((await gateway.service('POST', '/api/messages', messages)).status).toBe(200);
    const last = { userId: user, oldSpirit: 0, newSpirit: 1e6, gainAmount: 1, spiritRate: 1 };
    await gateway.service('POST', '/api/messages', {
      to: { userId: user },
      type: 'spirit:grow',
      data: { ...last, elapsedSeconds: 1, timestamp: 1 },
    });
    await page.locator('[data-spirit="1000000"]').waitFor();
    await page.locator('tr.own').waitFor();
    await eventually(async () =>
      expect(await page.locator('section[aria-labelledby=dungeon] li').count()).toBeGreaterThan(2),
    );
  });

  it('shows hostile names as text, in every place', async () => {
    const name = '<img src=x onerror=alert(1)>\u0301\u0301\u0301\u0301\u0301"\'&{{7*7}}';
    const page = await play(freshUser(), name);
    page.on('dialog', () => errors.push('a name ran a script'));
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

  it('plays where storage is forbidden', async () => {
    const forbidden = `for (const name of ['localStorage', 'sessionStorage', 'BroadcastChannel'])
      Object.defineProperty(window, name, { get() { throw new DOMException('forbidden', 'SecurityError'); } });`;
    const page = await play(freshUser(), 'Ann', forbidden);
    await press(page, '中文');
    await page.getByRole('button', { name: '停止我的心跳' }).waitFor();
  });

  it('speaks English and Chinese, also of what has happened, and the server speaks the language of the page', async () => {
    const page = await play(freshUser());
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

  it.each(['light', 'dark'] as const)('has no accessibility violation (%s)', async (colorScheme) => {
    const page = watch(await chromium.tabs.newPage());
    await page.emulateMedia({ colorScheme });
    const check = async (): Promise<void> => {
      await page.evaluate(AXE);
      const found = (await page.evaluate('axe.run()')) as {
        violations: readonly { id: string; nodes: readonly { html: string }[] }[];
      };
      expect(found.violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([]);
    };
    await page.goto(`http://localhost:${gateway.port()}/`);
    await page.getByLabel('User id').waitFor();
    await check();
    await page.goto(`http://localhost:${gateway.port()}/?user=${freshUser()}`);
    await page.locator('.value.growing').waitFor();
    await press(page, 'Fight');
    await press(page, 'Explore');
    await page.locator('tr.own').waitFor();
    await check();
    await press(page, 'Stop my heartbeat');
    await page.locator('.countdown').waitFor();
    await check();
    await press(page, 'Let it beat again');
    await page.locator('.value.growing').waitFor();
    await press(page, 'Close the socket');
    await page.getByRole('button', { name: 'Stay away' }).waitFor();
    await check();
  });
});
