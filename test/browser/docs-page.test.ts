import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Chromium, startChromium } from '../support/chromium.ts';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually } from '../support/ports.ts';
import { freshUser } from '../support/stores.ts';
import { expectAccessible } from './accessible.ts';
import { type Site, startSite } from './site.ts';

let chromium: Chromium;
let site: Site;
beforeAll(async () => {
  [chromium, site] = await Promise.all([startChromium(), startSite()]);
});
afterAll(async () => {
  await chromium?.stop();
  await site?.stop();
});

/** Pages in a separate window. Errors of a page fail the test, which closes it. */
function usePages() {
  const errors: string[] = [];
  const pages: Page[] = [];
  let window: BrowserContext | undefined;
  beforeAll(async () => {
    window = await chromium.openWindow();
  });
  afterEach(async () => {
    for (const page of pages.splice(0)) await page.close();
    expect(errors.splice(0)).toEqual([]);
  });
  const open = async (url: string): Promise<Page> => {
    const page = await (window ?? expect.fail('no window')).newPage();
    pages.push(page);
    page.on('pageerror', ({ message }) => errors.push(message));
    page.on('console', (message) => {
      // Chromium prints each answer of 4xx.
      const isAnswer = /the server responded with a status of 4/.test(message.text());
      if (message.type() === 'error' && !isAnswer) errors.push(message.text());
    });
    await page.goto(url);
    return page;
  };
  return { errors, open };
}

describe.concurrent.each(['development', 'production'] as const)(
  '/docs in a browser, in %s',
  (environment) => {
    const { errors, open } = usePages();
    let gateway: Gateway;
    beforeAll(async () => {
      const runtime = environment === 'production' ? 'node' : 'bun';
      gateway = await startGateway({ runtime, stores: 'embedded', env: { NODE_ENV: environment } });
    });
    afterAll(() => gateway?.stop());

    const docs = (): Promise<Page> => open(`http://localhost:${gateway.port()}/docs`);
    const operation = (page: Page, method: string, path: string) =>
      page.locator(`details:has(form[data-method=${method}][data-path="${path}"])`);

    it.sequential('a call shows its status, headers and body, first without a key and then with it', async () => {
      const page = await docs();
      const user = freshUser();
      const login = operation(page, 'post', '/api/online/login');
      await login.locator('summary').click();
      await login.locator('textarea').fill(`{"playerId":${user}}`);
      await login.getByRole('button', { name: 'Send' }).click();
      const answer = login.locator('form pre');
      await eventually(async () =>
        expect(await answer.innerText()).toMatch(/^401 [^]*"code": "unauthorized"/),
      );
      await page.getByLabel(/Service key or user token/).fill(gateway.apiKey);
      await login.getByRole('button', { name: 'Send' }).click();
      await eventually(async () =>
        expect(await answer.innerText()).toMatch(
          /^200 [^]*content-type: application\/json[^]*"loginTime": \d+/,
        ),
      );
      const player = operation(page, 'get', '/api/online/player/{playerId}');
      await player.locator('summary').click();
      await player.getByLabel('playerId').fill(String(user));
      await player.getByRole('button', { name: 'Send' }).click();
      await eventually(async () =>
        expect(await player.locator('form pre').innerText()).toContain('"status": "online"'),
      );
      // The key is only in memory.
      expect(
        await page.evaluate('JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])'),
      ).toBe('[{},{},""]');
    });

    it.sequential('a socket opens with a token, shows each frame, and sends the typed text', async () => {
      const page = await docs();
      const user = freshUser();
      if (environment === 'development') {
        await page.getByLabel(/Token for the user/).fill(String(user));
        await page.getByRole('button', { name: 'Get a token' }).click();
        await page.getByText('The token stands in the field above.').waitFor();
      } else await page.getByLabel(/Service key or user token/).fill(gateway.token(user));
      await page.getByRole('button', { name: /Open with the token/ }).click();
      const frames = page.locator('#frames');
      await eventually(async () => expect(await frames.innerText()).toContain('"type":"welcome"'));
      await page.locator('#frame').getByRole('button', { name: 'Send' }).click();
      await eventually(async () =>
        expect(await frames.innerText()).toMatch(/"type":"pong"[^]*→ \{"type":"ping"/),
      );
      await gateway.service('POST', '/api/messages', {
        to: { userId: user },
        type: 'note',
        data: '<b>x</b>',
      });
      await eventually(async () => expect(await frames.innerText()).toContain('<b>x</b>'));
      await page.locator('#socket').getByRole('button', { name: 'Close' }).click();
      await eventually(async () => expect(await frames.innerText()).toContain('closed 1000'));
      // Production refuses a token in an address.
      if (environment === 'production') return;
      await page.getByLabel('Protocol').selectOption('seed');
      await page.getByRole('button', { name: /Open with the token/ }).click();
      await eventually(async () => expect(await frames.innerText()).toMatch(/^\S+ · open/));
    });

    it.sequential('names the credentials of each call', async () => {
      const page = await docs();
      const who = await page.locator('.who').allInnerTexts();
      expect(who).toContain('service key or read-only key');
      expect(who.filter((names) => new Set(names.split(' or ')).size < names.split(' or ').length)).toEqual(
        [],
      );
    });

    it.sequential('stays as wide as a small screen, whatever the answer of a call is', async () => {
      const page = await docs();
      await page.setViewportSize({ width: 375, height: 700 });
      await page.getByLabel(/Service key or user token/).fill(gateway.apiKey);
      for (const path of ['/openapi.json', '/api/config', '/metrics', '/healthz']) {
        const call = operation(page, 'get', path);
        if ((await call.count()) === 0) continue;
        await call.locator('> summary').click();
        await call.getByRole('button', { name: 'Send' }).click();
        await eventually(async () => expect(await call.locator('form pre').innerText()).toMatch(/^200 /));
      }
      await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true");
      const tooWide = 'document.documentElement.scrollWidth - document.documentElement.clientWidth';
      expect(await page.evaluate(tooWide)).toBe(0);
    });

    it.sequential('a call to a server that is gone says so', async () => {
      const page = await docs();
      const health = operation(page, 'get', '/healthz');
      await health.locator('summary').click();
      await page.route('**/healthz', (route) => route.abort('connectionrefused'));
      await health.getByRole('button', { name: 'Send' }).click();
      await eventually(async () =>
        expect(await health.locator('form pre').innerText()).toContain('No answer'),
      );
      errors.splice(0);
    });

    it.sequential('has no accessibility violation, light and dark', async () => {
      const page = await docs();
      await page.evaluate(
        "for (const one of [...document.querySelectorAll('details')].slice(0, 8)) one.open = true",
      );
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme });
        await expectAccessible({ page }, colorScheme);
      }
    });

    if (environment === 'production') return;

    it.sequential('a page of another port of this machine gets a token and a socket, without any setting', async () => {
      const user = freshUser();
      const page = await open(`${site.url}/elsewhere`);
      const first = await page.evaluate(
        async ({ port, id }) => {
          const answer = await fetch(`http://localhost:${port}/dev/token?userId=${id}`);
          const { token } = (await answer.json()) as { token: string };
          const socket = new WebSocket(`ws://localhost:${port}/ws`, ['lingxi.v1', `bearer.${token}`]);
          return new Promise<string>((resolve) => {
            socket.addEventListener('message', (event) =>
              resolve(String((event as unknown as { data: unknown }).data)),
            );
          });
        },
        { port: gateway.port(), id: user },
      );
      expect(JSON.parse(first)).toMatchObject({ type: 'welcome', userId: user });
    });
  },
);
