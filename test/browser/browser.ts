import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll } from 'vitest';
import type { State } from '../../src/client/types.ts';
import { type Chromium, startChromium } from '../support/chromium.ts';
import { eventually } from '../support/ports.ts';
import { game, type Site, startSite } from './site.ts';

/** One Chromium and one site for the tests of a file. */
export interface Browser {
  readonly chromium: Chromium;
  readonly site: Site;
  /** Opens a page of the site. */
  open(path?: string): Promise<Page>;
}

/**
 * Starts them before the tests of this file and ends them afterwards. Pages are closed after each test, but not if tests
 * run at the same time.
 */
export function useBrowser({ isConcurrent = false } = {}): Browser {
  let chromium: Chromium | undefined;
  let site: Site | undefined;
  const pages: Page[] = [];
  beforeAll(async () => {
    [chromium, site] = await Promise.all([startChromium(), startSite()]);
  });
  afterEach(async () => {
    // A crashed tab has nothing to say.
    if (!isConcurrent) for (const page of pages.splice(0)) await page.close();
  });
  afterAll(async () => {
    await chromium?.stop();
    await site?.stop();
  });
  const started = <T>(part: T | undefined): T => {
    if (part === undefined) throw new Error('the tests have not started yet');
    return part;
  };
  return {
    get chromium() {
      return started(chromium);
    },
    get site() {
      return started(site);
    },
    async open(path = '/play') {
      const page = await started(chromium).tabs.newPage();
      pages.push(page);
      await page.goto(started(site).url + path);
      return page;
    },
  };
}

/** Resolves with the state of the page's client once it has this status. */
export function until(
  page: Pick<Page, 'evaluate'>,
  status: State['status'],
  timeoutMs = 15_000,
): Promise<State> {
  return eventually(
    async () => {
      const { state, states } = await game(page);
      if (state.status !== status) throw new Error(`not ${status}: ${JSON.stringify(states)}`);
      return state;
    },
    { timeoutMs },
  );
}

export async function statuses(page: Pick<Page, 'evaluate'>): Promise<readonly string[]> {
  return (await game(page)).states.map(({ status }) => status);
}
