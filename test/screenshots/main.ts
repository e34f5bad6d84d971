import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { REPOSITORY } from '../support/cache.ts';
import { startChromium } from '../support/chromium.ts';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { sleep } from '../support/ports.ts';
import { type Client, connect } from '../support/ws-client.ts';

/** `npm run screenshots [folder]`: the pages of a gateway with active users, for README. */
const FOLDER = process.argv[2] ?? join(REPOSITORY, 'docs/images');
const USERS = 60;
/** Every so many ms one user leaves and another one comes. */
const CHURN_MS = 250;
/** The game and the charts need some history. */
const LIFE_MS = 20_000;
const NAMES = [
  'Ann',
  'Mirela',
  'Jonas',
  'Sofía',
  'Kofi',
  'Wren',
  'Ines',
  'Tariq',
  'Yuna',
  'Olek',
  'Bao',
  'Maeve',
];
const TITLES = ['of the Cloud', 'the Quiet', 'Jade Hand', 'of the Reed', 'Nine Swords', 'the Late'];

interface Shot {
  readonly name: string;
  readonly path: string;
  readonly theme: 'light' | 'dark';
  readonly language?: 'en' | 'zh';
  readonly width?: number;
  readonly height?: number;
  /** What a reader does before the picture. */
  readonly act?: (page: Page, gateway: Gateway) => Promise<void>;
}

const DEMO = '/?user=1&name=Cloud%20Walker';
const PHONE = { width: 400, height: 860 };

const SHOTS: readonly Shot[] = [
  { name: 'demo-light', path: DEMO, theme: 'light', act: play },
  { name: 'demo-dark', path: DEMO, theme: 'dark', act: silent },
  { name: 'demo-chinese', path: DEMO, theme: 'light', language: 'zh', act: play },
  { name: 'demo-phone', path: DEMO, theme: 'dark', ...PHONE, act: play },
  { name: 'dashboard-light', path: '/dashboard/', theme: 'light', act: unlock },
  { name: 'dashboard-dark', path: '/dashboard/', theme: 'dark', act: unlock },
  { name: 'simulator-light', path: '/simulator/', theme: 'light', act: simulate },
  { name: 'simulator-dark', path: '/simulator/', theme: 'dark', act: simulate },
  { name: 'docs-light', path: '/docs', theme: 'light' },
];

async function play(page: Page): Promise<void> {
  await page.locator('.value.growing').waitFor();
  await page.locator('section[aria-labelledby=dungeon] button').click();
  await page.locator('section[aria-labelledby=exploration] button').click();
  await sleep(5_500);
}

async function silent(page: Page): Promise<void> {
  await play(page);
  await page.locator('button[aria-describedby=heart]').click();
  await sleep(6_000);
}

async function unlock(page: Page, gateway: Gateway): Promise<void> {
  const key = page.locator('input[type=password]');
  if ((await key.count()) > 0) {
    await key.fill(gateway.apiKey);
    await key.press('Enter');
  }
  // The charts need something to draw.
  await sleep(60_000);
}

/** A history with a dead node, an empty store and a failover. */
async function simulate(page: Page): Promise<void> {
  const press = (name: string): Promise<void> => page.getByRole('button', { name }).first().click();
  await page.locator('select').nth(2).selectOption('4');
  await sleep(3_000);
  for (const name of ['Kill', 'Wipe', 'Failover']) {
    await press(name);
    await sleep(4_000);
  }
}

function nameOf(id: number): string {
  const name = NAMES[id % NAMES.length] ?? '';
  const title = TITLES[Math.floor(id / NAMES.length) % TITLES.length] ?? '';
  return `${name} ${title}`;
}

/** People who play, come and go. */
function startCrowd(gateway: Gateway): () => void {
  const clients = new Map<number, Client>();
  let next = 100;
  const come = async (): Promise<void> => {
    const id = next++;
    const token = gateway.token(id, { name: nameOf(id) });
    const client = await connect(gateway.wsUrl, { protocols: ['lingxi.v1', `bearer.${token}`] });
    clients.set(id, client);
    client.send({ type: 'game:join' });
    if (id % 2 === 0) client.send({ type: 'game:explore' });
  };
  const leave = (): void => {
    const [id, client] = clients.entries().next().value ?? [];
    if (id === undefined || client === undefined) return;
    clients.delete(id);
    if (id % 2 === 0) client.send({ type: 'logout' });
    else client.terminate();
  };
  const coming = Array.from({ length: USERS }, come);
  const timer = setInterval(() => {
    leave();
    come().catch(() => undefined);
  }, CHURN_MS);
  void Promise.all(coming);
  return () => {
    clearInterval(timer);
    for (const client of clients.values()) client.terminate();
  };
}

async function take(page: Page, gateway: Gateway, shot: Shot): Promise<void> {
  const { name, path, theme, language = 'en', width = 1280, height = 800, act } = shot;
  await page.emulateMedia({ colorScheme: theme });
  await page.setViewportSize({ width, height });
  await page.addInitScript(`localStorage.setItem('lingxi-language', '${language}')`);
  const answer = await page.goto(gateway.url.replace('127.0.0.1', 'localhost') + path);
  if (answer?.status() !== 200) {
    process.stdout.write(`${name}: ${path} is not here (${answer?.status()})\n`);
    return;
  }
  await act?.(page, gateway);
  const picture = await page.screenshot({ type: 'png' });
  writeFileSync(join(FOLDER, `${name}.png`), picture);
  process.stdout.write(`${name}.png: ${Math.round(picture.length / 1024)} KB\n`);
}

mkdirSync(FOLDER, { recursive: true });
const only = process.argv.slice(3);
const shots = only.length === 0 ? SHOTS : SHOTS.filter(({ name }) => only.includes(name));
const gateway = await startGateway({ runtime: 'bun', stores: 'embedded' });
const chromium = await startChromium().catch(async (error: unknown) => {
  await gateway.stop();
  throw error;
});
const stopCrowd = startCrowd(gateway);
try {
  await sleep(LIFE_MS);
  for (const shot of shots) {
    const page = await chromium.tabs.newPage();
    await take(page, gateway, shot);
    await page.close();
  }
} finally {
  stopCrowd();
  await chromium.stop();
  await gateway.stop();
}
