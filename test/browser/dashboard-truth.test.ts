import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Chromium, startChromium } from '../support/chromium.ts';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually } from '../support/ports.ts';
import { freshUser } from '../support/stores.ts';
import { type Client, connect } from '../support/ws-client.ts';
import { closeQuietly, type Dashboard, openDashboard, untilRows } from './dashboard-pages.ts';

let chromium: Chromium;
beforeAll(async () => {
  chromium = await startChromium();
});
afterAll(() => chromium?.stop());

const opened: Dashboard[] = [];
const clients: Client[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.terminate();
  await closeQuietly(...opened.splice(0));
});

describe.each(['bun'] as const)('what the dashboard of a gateway on %s says', (runtime) => {
  let gateway: Gateway;
  beforeAll(async () => {
    const env = { LINGXI_LOGINS_PER_MINUTE: '0', LINGXI_NODE_NAME: 'board' };
    gateway = await startGateway({ runtime, stores: 'embedded', env });
  });
  afterAll(() => gateway?.stop());

  const dashboard = async (hash = ''): Promise<Dashboard> => {
    const board = await openDashboard(chromium.tabs, { url: gateway.url, key: gateway.apiKey, hash });
    opened.push(board);
    return board;
  };
  const stay = async (user: number, name?: string): Promise<Client> => {
    const token = gateway.token(user, name === undefined ? {} : { name });
    const client = await connect(gateway.wsUrl, { token, protocols: ['lingxi.v1'] });
    clients.push(client);
    client.keepAlive(500);
    return client;
  };

  it('shows only the result of the last action, and only as long as it is true', async () => {
    const user = freshUser();
    await stay(user);
    const { page, sees } = await dashboard(`#/users/${user}`);
    const results = () => page.locator('.result:not(:empty)').allTextContents();
    await page.getByRole('button', { name: 'Send' }).click();
    await sees('Written. Connections: 1.');
    await page.getByLabel('Keep the user out').selectOption({ label: 'for 10 minutes' });
    await page.getByRole('button', { name: 'Kick…' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Kick' }).click();
    await sees(/Done. The user is blocked until/);
    expect(await results()).toHaveLength(1);
    await page.getByRole('button', { name: 'Lift the block' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Lift the block' }).click();
    await sees('The block is lifted.');
    expect(await results()).toEqual(['The block is lifted.']);
    // Another operator blocks the user again.
    await page.getByRole('button', { name: 'Lift the block' }).waitFor({ state: 'detached' });
    await gateway.service('POST', `/api/users/${user}/disconnect`, { blockMs: 60_000 });
    await sees(/Blocked until/);
    expect(await results()).toEqual([]);
  });

  it('shows the same name of a user in the list and on the page of the user', async () => {
    const user = freshUser();
    const client = await stay(user, 'One word');
    const board = await dashboard('#/users?search=one+word');
    await untilRows(board, (rows) => rows.length === 1);
    expect(await board.page.locator('.rows .cell.state').textContent()).toBe('active');
    await board.go(`#/users/${user}`);
    const badge = board.page.locator('.facts .badge').first();
    await eventually(async () => expect(await badge.textContent()).toBe('active'));
    client.terminate();
    await eventually(async () => expect(await badge.textContent()).toBe('lingering'));
  });

  it('shows the order of the durations by the arrow', async () => {
    for (const name of ['Arrow one', 'Arrow two']) await stay(freshUser(), name);
    const board = await dashboard('#/users?search=arrow');
    await untilRows(board, (rows) => rows.join() === 'Arrow two,Arrow one');
    const head = board.page.getByRole('columnheader', { name: /Online for/ });
    expect([await head.getAttribute('aria-sort'), await head.textContent()]).toEqual([
      'ascending',
      'Online for↑',
    ]);
    await head.getByRole('button').click();
    await untilRows(board, (rows) => rows.join() === 'Arrow one,Arrow two');
    expect(await head.getAttribute('aria-sort')).toBe('descending');
  });

  it('shows everything about a node on a phone, with the button that drains it', async () => {
    const { page } = await dashboard();
    await page.setViewportSize({ width: 360, height: 740 });
    const node = page.locator('.nodes tbody tr');
    await node.getByText('board').first().waitFor();
    for (const place of [
      node.locator('td[data-label="Users"]'),
      node.locator('td[data-label="Connections"]'),
    ]) {
      const box = await place.boundingBox();
      expect((box?.x ?? 999) + (box?.width ?? 999)).toBeLessThanOrEqual(360);
    }
    const drain = node.getByRole('button', { name: /^Drain/ });
    const box = await drain.boundingBox();
    expect(box?.x).toBeGreaterThanOrEqual(0);
    expect((box?.x ?? 999) + (box?.width ?? 999)).toBeLessThanOrEqual(360);
    await drain.click();
    await page.getByRole('dialog').waitFor();
  });

  it('keeps no empty strip beside the header', async () => {
    const { page } = await dashboard('#/config');
    const styles = await page.evaluate<string[]>(
      `(({ scrollbarGutter, overflowY }) => [scrollbarGutter, overflowY])(getComputedStyle(document.documentElement))`,
    );
    expect(styles).toEqual(['auto', 'scroll']);
  });
});
