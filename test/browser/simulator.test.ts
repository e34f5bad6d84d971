import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import type { AxeResults } from 'axe-core';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { REPOSITORY } from '../support/cache.ts';
import { type Chromium, startChromium } from '../support/chromium.ts';
import { startGateway } from '../support/gateway-process.ts';

const FILE = join(REPOSITORY, 'docs/simulator/index.html');
const PAGE = pathToFileURL(FILE).href;
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const MAX_GZIPPED = 150_000;
const LOOKS = [
  { language: 'zh', theme: 'dark', width: 390 },
  { language: 'zh', theme: 'light', width: 1280 },
  { language: 'en', theme: 'light', width: 1280 },
  { language: 'en', theme: 'light', width: 320 },
  { language: 'en', theme: 'dark', width: 1280 },
] as const;
/** A tick is 50 ms, written in base 36. */
const ticks = (seconds: number): string => (seconds * 20).toString(36);

let chromium: Chromium;
beforeAll(async () => {
  chromium = await startChromium();
});
afterAll(async () => {
  await chromium?.stop();
});

const opened: { readonly page: Page; readonly errors: string[] }[] = [];
afterEach(async () => {
  for (const { page, errors } of opened.splice(0)) {
    await page.close();
    expect(errors).toEqual([]);
  }
});

interface Choice {
  readonly language?: 'en' | 'zh';
  readonly theme?: 'light' | 'dark';
  readonly width?: number;
  readonly address?: string;
  /** A script that runs before those of the page. */
  readonly before?: string;
}

/** The page with a history that was fast-forwarded to its end. Each error of the page fails the test. */
async function open(
  hash = '',
  { language = 'en', theme = 'light', width = 1280, address = PAGE, before = '' }: Choice = {},
): Promise<Page> {
  const page = await chromium.tabs.newPage();
  const errors: string[] = [];
  opened.push({ page, errors });
  page.on('pageerror', ({ message }) => errors.push(message));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') errors.push(message.text());
  });
  await page.setViewportSize({ width, height: 900 });
  const chosen = { 'lingxi-language': language, 'lingxi-theme': theme };
  await page.addInitScript(`Object.assign(localStorage, ${JSON.stringify(chosen)})`);
  if (before !== '') await page.addInitScript(before);
  await page.goto(address + hash);
  await page.locator('.primary:not(:disabled)').waitFor();
  return page;
}

function log(page: Page): Promise<readonly string[]> {
  return page.locator('.history li').allTextContents();
}

function press(page: Page, name: string, group?: string): Promise<void> {
  const place = group === undefined ? page : page.getByRole('group', { name: group });
  return place.getByRole('button', { name, exact: true }).click();
}

/** Takes single steps until the clock of the page has advanced by this many seconds. */
async function goOn(page: Page, seconds: number): Promise<void> {
  const [minutes = 0, rest = 0] = ((await page.locator('.time').textContent()) ?? '').split(':').map(Number);
  await press(page, 'Step');
  await page.evaluate(stepUntil, minutes * 60 + rest + seconds);
}

/** Runs in the page: the tests would wait for two frames of the browser before each click of their own. */
async function stepUntil(until: number): Promise<void> {
  interface Element {
    readonly textContent: string;
    click(): void;
  }
  const { document } = globalThis as unknown as {
    document: { querySelector(name: string): Element; querySelectorAll(name: string): Iterable<Element> };
  };
  const step = [...document.querySelectorAll('button')].find(({ textContent }) => textContent === 'Step');
  const clock = document.querySelector('.time');
  const deadline = performance.now() + 30_000;
  for (;;) {
    const [minutes = 0, rest = 0] = clock.textContent.split(':').map(Number);
    if (minutes * 60 + rest >= until) return;
    if (performance.now() > deadline) throw new Error(`the clock stands at ${clock.textContent}`);
    // The page ignores it while it takes a step.
    step?.click();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

function verdict(page: Page): Promise<string | null> {
  return page.locator('#verdict').textContent();
}

async function violationsOfAxe(page: Page): Promise<readonly string[]> {
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
  const { violations } = await page.evaluate<AxeResults>(
    `axe.run(document, { runOnly: ${JSON.stringify(tags)}, resultTypes: ['violations'] })`,
  );
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}

describe('the page of the simulator', () => {
  it('is one file of at most 150 KB gzipped, whose policy allows only itself', () => {
    const html = readFileSync(FILE, 'utf8');
    expect(gzipSync(html).length).toBeLessThan(MAX_GZIPPED);
    expect(html).toMatch(/default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'/);
    expect(html).not.toMatch(/<(?:script|link)[^>]+(?:src|href)="(?!data:)/);
  });

  it('opens from a file, and users connect by themselves', async () => {
    const page = await open();
    await expect.poll(() => page.locator('.user.tone-good').count(), { timeout: 30_000 }).toBe(5);
    expect(await verdict(page)).toBe('The ledger is exact');
    await press(page, 'Pause');
    expect(await page.locator('tr[data-state="running"]').count()).toBe(5);
  });

  it('keeps the ledger exact when a node is killed, the store is wiped, and a failover happens', async () => {
    const page = await open(`#seed=7&at=${ticks(4)}`);
    await press(page, 'Kill', 'Node A');
    await goOn(page, 2);
    await press(page, 'Wipe (FLUSHALL)');
    await goOn(page, 2);
    await press(page, 'Lin: Log out');
    await press(page, 'Mei: Go silent');
    await goOn(page, 4);
    await press(page, 'Failover, loses 1–2 s');
    await goOn(page, 20);
    expect(await verdict(page)).toBe('The ledger is exact');
    expect(await page.locator('.checks .broken').count()).toBe(0);
    expect(await page.locator('tr[data-state="settled"]').count()).toBeGreaterThanOrEqual(2);
    expect(await page.locator('tr[data-state="pending"], tr[data-state="lost"]').count()).toBe(0);
    expect(await log(page)).toContainEqual(expect.stringContaining('the store is wiped'));
  });

  it('plays the same history again for the same seed and actions', async () => {
    const hash = `#seed=41&do=${ticks(2)}.r~${ticks(9)}.kA~${ticks(4)}.w&at=${ticks(40)}`;
    const [first, again] = [await open(hash), await open(hash)];
    const told = await log(first);
    expect(told.length).toBeGreaterThan(20);
    expect(await log(again)).toEqual(told);
    const trace = first.locator('.trace pre');
    expect(await again.locator('.trace pre').textContent()).toBe(await trace.textContent());
    const other = await open(hash.replace('seed=41', 'seed=42'));
    expect(await log(other)).not.toEqual(told);
  });

  it('gives a link with the seed and the actions by hand', async () => {
    const page = await open(`#seed=3&at=${ticks(3)}`);
    await press(page, 'Freeze', 'Node B');
    await goOn(page, 3);
    await press(page, 'Thaw', 'Node B');
    await goOn(page, 3);
    const told = await log(page);
    await press(page, 'Copy link');
    await page.locator('.said:not(:empty)').waitFor();
    const { hash } = new URL(page.url());
    expect(hash).toMatch(/^#seed=3&do=/);
    expect(await log(await open(hash))).toEqual(told);
  });

  it('shows the ledger as wrong once a rule is broken on purpose, and as exact without it', async () => {
    const page = await open(`#seed=7&do=${ticks(4)}.w&at=${ticks(12)}`);
    expect(await verdict(page)).toBe('The ledger is exact');
    await page.getByLabel('Break a rule').selectOption('never-restored');
    await expect.poll(() => verdict(page), { timeout: 30_000 }).toBe('The ledger is wrong');
    expect(await page.locator('[data-check="not-back"]').getAttribute('class')).toBe('broken');
    await page.getByLabel('Break a rule').selectOption('none');
    await expect.poll(() => verdict(page), { timeout: 30_000 }).toBe('The ledger is exact');
  });

  it.each([
    ['hasty-death', 'not-back', ['Freeze'], 'Node B'],
    ['absence-counts', 'exact-time', ['Mei: Go silent'], undefined],
  ] as const)(
    'says which button makes the broken rule %s visible, and it does',
    async (rule, check, buttons, group) => {
      const page = await open(`#seed=7&rule=${rule}&at=${ticks(5)}`);
      expect(await verdict(page)).toBe('The ledger is exact');
      const hint = (await page.locator('.verdict .unmet').textContent()) ?? '';
      expect(hint).toContain('nothing has met it yet');
      for (const button of buttons) {
        expect(hint).toContain(`“${button.replace(/^.*: /, '')}”`);
        await press(page, button, group);
      }
      await goOn(page, rule === 'hasty-death' ? 6 : 12);
      if (rule === 'hasty-death') await press(page, 'Thaw', 'Node B');
      await goOn(page, 4);
      expect(await page.locator(`[data-check="${check}"]`).getAttribute('class')).toBe('broken');
      expect(await page.locator('.unmet').count()).toBe(0);
    },
  );

  it('notes beside a gained time that it contains a jump of the store clock', async () => {
    const hash = `#seed=7&do=${ticks(4)}.u~${ticks(5)}.2l&at=${ticks(15)}`;
    const page = await open(hash);
    expect(await verdict(page)).toBe('The ledger is exact');
    const line = page.locator('tr[data-state="settled"]', { hasText: 'Mei' });
    expect(await line.locator('.jump').textContent()).toBe('+8 h by the store’s clock');
    expect(await page.locator('.jumps').textContent()).toContain('All nodes follow that clock');
    const chinese = await open(hash, { language: 'zh' });
    expect(await chinese.locator('.jump').first().textContent()).toBe('存储时钟 +8 小时');
    const calm = await open(`#seed=7&do=${ticks(4)}.2l&at=${ticks(10)}`);
    expect(await calm.locator('.jump, .jumps').count()).toBe(0);
  });

  it('shows a logout that is lost, and one that is written twice', async () => {
    const lost = await open(`#seed=7&rule=no-order&do=${ticks(4)}.2l&at=${ticks(6)}`);
    expect(await verdict(lost)).toBe('The ledger is wrong');
    expect(await lost.locator('tr[data-state="lost"]').count()).toBe(1);
    const twice = await open(`#seed=7&rule=written-twice&do=${ticks(4)}.2l&at=${ticks(50)}`);
    expect(await twice.locator('tr[data-state="twice"]').count()).toBe(1);
  });

  it.each([
    ['an element for a seed', '#seed=<img src=x onerror=alert(1)>'],
    [
      'a script for actions, and a rule of every object',
      '#seed=5&do=<script>alert(1)</script>&rule=__proto__',
    ],
    ['more actions than a history has', `#seed=5&do=${'0.w~'.repeat(3000)}`],
    ['800 kills and starts in 5 s', `#seed=5&do=${'0.kA~0.sA~'.repeat(400)}1.w&at=${ticks(5)}`],
    ['numbers that are too large', '#seed=99999999999999999999&at=zzzzzzzzz'],
    ['a broken escape', '#%E0%A4%A&&&==='],
    ['the name of a place', '#ledger'],
    ['50,000 letters', `#${'a'.repeat(50_000)}`],
  ])('opens with an address that holds %s', async (_, hash) => {
    const page = await open(hash);
    expect(await verdict(page)).toBe('The ledger is exact');
    expect(await page.locator('img, #page script').count()).toBe(0);
  });

  it.each([
    ['an exact ledger', `#seed=7&do=${ticks(2)}.r&at=${ticks(30)}`, 'zh', 'dark', 0],
    [
      'a wrong ledger',
      `#seed=7&rule=no-order&do=${ticks(4)}.kA~${ticks(2)}.2l&at=${ticks(20)}`,
      'en',
      'light',
      1,
    ],
  ] as const)('with %s has no violation by axe-core in any look', async (_, hash, language, theme, wrong) => {
    const page = await open(hash, { language, theme });
    await page.evaluate(AXE);
    for (const look of LOOKS) {
      await page.setViewportSize({ width: look.width, height: 900 });
      await page.locator('.settings select').first().selectOption(look.language);
      await page.locator('.settings select').last().selectOption(look.theme);
      const html = page.locator(`html[lang="${look.language === 'zh' ? 'zh-CN' : 'en'}"]`);
      await page.locator(`html[data-theme="${look.theme}"]`).and(html).waitFor();
      const where = JSON.stringify(look);
      expect(await page.locator('.is-wrong').count(), where).toBe(wrong);
      expect(await violationsOfAxe(page), where).toEqual([]);
      const width = await page.evaluate<number>('document.documentElement.scrollWidth');
      expect(width, where).toBeLessThanOrEqual(look.width);
    }
  });

  it('can be played with only the keyboard', async () => {
    const page = await open(`#seed=7&at=${ticks(3)}`);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    expect(await page.evaluate('document.activeElement.id')).toBe('ledger');
    const kill = page.getByRole('group', { name: 'Node A' }).getByRole('button', { name: 'Kill' });
    await kill.focus();
    await page.keyboard.press('Space');
    await goOn(page, 1);
    expect(await log(page)).toContainEqual(expect.stringContaining('node A is killed'));
  });

  it('begins another history for another seed, and the same one again for a replay', async () => {
    const page = await open(`#seed=7&do=${ticks(3)}.kA&at=${ticks(5)}`);
    const told = await log(page);
    await page.getByLabel('Speed').selectOption('16');
    await press(page, 'Replay');
    await expect.poll(() => log(page), { timeout: 30_000 }).toEqual(expect.arrayContaining([...told]));
    await page.getByLabel('Seed').fill('8x');
    await press(page, 'New history');
    expect(await page.locator('.said').textContent()).toContain('whole number');
    await page.getByLabel('Seed').fill('8');
    await press(page, 'New history');
    await expect
      .poll(() => log(page), { timeout: 30_000 })
      .not.toContainEqual(expect.stringContaining('killed'));
  });

  it('works if the browser stores nothing', async () => {
    const before = `Object.defineProperty(window, 'localStorage', { get() { throw new Error('forbidden'); } });`;
    const page = await open(`#seed=7&at=${ticks(4)}`, { before });
    await page.getByLabel('Language').selectOption('zh');
    await expect.poll(() => page.getAttribute('html', 'lang')).toBe('zh-CN');
    await page.getByLabel('配色').selectOption('dark');
    await expect.poll(() => page.getAttribute('html', 'data-theme')).toBe('dark');
  });

  it('is served by a gateway, under its policy', async () => {
    const gateway = await startGateway({ runtime: 'node', stores: 'embedded' });
    try {
      const page = await open(`#seed=7&do=${ticks(4)}.w&at=${ticks(9)}`, {
        address: `${gateway.url}/simulator/`,
      });
      expect(await verdict(page)).toBe('The ledger is exact');
      expect(await page.locator('.user.tone-good').count()).toBe(5);
    } finally {
      await gateway.stop();
    }
  });
});
