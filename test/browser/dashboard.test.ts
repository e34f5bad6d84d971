import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Chromium, startChromium } from '../support/chromium.ts';
import { logIn } from '../support/log-in.ts';
import { eventually } from '../support/ports.ts';
import { freshUser } from '../support/stores.ts';
import { type Cluster, startCluster } from '../support/two-nodes.ts';
import { expectAccessible, widthBeyond } from './accessible.ts';
import { closeQuietly, type Dashboard, openDashboard, untilRows, untilTile } from './dashboard-pages.ts';
import { useDashboards, useUsers, VIEW_KEY } from './dashboard-users.ts';

const MANY = 10_000;
const FIRST_OF_MANY = 100_000;
/** A user notices half a second as a pause. On a busy machine a task takes three times as long. */
const LONGEST_TASK_MS = 1_500;

const HOSTILE: readonly (readonly [name: string, shown: string | RegExp])[] = [
  ['<img src=x onerror="document.title=1">', '<img src=x onerror="document.title=1">'],
  // The gateway itself removes control characters from the names in tokens.
  ['\u202egnp.exe', /^(⟨202E⟩)?gnp\.exe$/],
  ['Z\u0351\u0352\u0353\u0354\u0355\u0356lgo', 'Z\u0351\u0352\u0353lgo'],
  ['x'.repeat(128), /^x{63}…$/],
];

let chromium: Chromium;
beforeAll(async () => {
  chromium = await startChromium();
});
afterAll(() => chromium?.stop());

describe.concurrent('the dashboard and who is online', () => {
  const boards = useDashboards(() => chromium);

  it.sequential('refuses a wrong key with a sentence, accepts the right one, and keeps it only in the tab', async () => {
    const { page, sees } = await boards.open({ url: boards.gateway.url });
    await page.getByLabel(/^Key/).fill('wrong-key');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await sees('The server does not accept this key.');
    await page.getByLabel(/^Key/).fill(boards.gateway.token(1));
    await page.getByRole('button', { name: 'Sign in' }).click();
    await sees('This is the token of a user.');
    await page.getByLabel(/^Key/).fill(boards.gateway.apiKey);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.locator('.pill.live').waitFor();
    const stored = await page.evaluate(() => {
      const { localStorage, sessionStorage } = globalThis as unknown as Record<string, object>;
      return [JSON.stringify(localStorage), JSON.stringify(sessionStorage)];
    });
    expect(stored[0]).not.toContain(boards.gateway.apiKey);
    expect(stored[1]).toContain(boards.gateway.apiKey);
    await page.reload();
    await page.locator('.pill.live').waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.reload();
    await page.getByLabel(/^Key/).waitFor();
  });

  it.sequential('counts follow logins and a timeout', async () => {
    const board = await boards.show();
    // Nobody has been online before.
    await untilTile(board, 'Online', (figure) => figure === 0);
    const users = Array.from({ length: 4 }, freshUser);
    await Promise.all(users.map((user) => boards.enter(user, { isSilent: true })));
    await untilTile(board, 'Online', (figure) => figure === 4);
    await untilTile(board, 'Logins / s', (figure) => figure > 0);
    // No user sends a heartbeat.
    await untilTile(board, 'Online', (figure) => figure === 0);
    await board.sees(/timed out \d/);
    await untilTile(board, 'Logouts / s', (figure) => figure > 0);
  });

  it.sequential('lists users as the server sorts and finds them', async () => {
    const [one, two] = [freshUser(), freshUser()];
    await boards.stay(one, 'Alpha sorted');
    await boards.stay(two, 'Beta sorted');
    const board = await boards.show('#/users?search=sorted');
    await untilRows(board, (rows) => rows.join() === 'Beta sorted,Alpha sorted');
    await board.page.getByRole('button', { name: 'Name' }).click();
    await untilRows(board, (rows) => rows.join() === 'Alpha sorted,Beta sorted');
    await board.page.getByRole('button', { name: 'Name' }).click();
    await untilRows(board, (rows) => rows.join() === 'Beta sorted,Alpha sorted');
    await board.page.keyboard.press('/');
    await board.page.keyboard.type('alpha sorted');
    await untilRows(board, (rows) => rows.join() === 'Alpha sorted');
    await board.page.keyboard.type(' nowhere');
    await board.sees('Nobody online matches this search.');
    // The page says so already at the first letters that match nobody.
    await board.page.waitForURL(/search=alpha\+sorted\+nowhere/);
  });

  it.sequential('can be used by keyboard: arrows and Enter open a user, Back returns to the list', async () => {
    const [one, two] = [freshUser(), freshUser()];
    await boards.stay(one, 'Keys one');
    await boards.stay(two, 'Keys two');
    const { page, ...board } = await boards.show('#/users?search=keys&sort=name&order=asc');
    await untilRows({ page, ...board }, (rows) => rows.length === 2);
    await page.getByRole('grid').focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Keys two' }).waitFor();
    await page.goBack();
    await untilRows({ page, ...board }, (rows) => rows.length === 2);
  });

  it.sequential('shows what happened to a user, and that the user has left', async () => {
    const user = freshUser();
    const client = await boards.stay(user, 'Traveller');
    await boards.gateway.service('POST', `/api/groups/guild:7`, { add: [user] });
    const { page, sees } = await boards.show(`#/users/${user}`);
    await page.getByRole('heading', { name: 'Traveller' }).waitFor();
    await sees('Online: the user logged in');
    await sees('guild:7');
    await page.getByRole('cell', { name: 'lingxi.v1' }).waitFor();
    client.close();
    await sees('No open connection.');
    await sees('This user is offline.');
    await sees(/Offline: the user gave no sign of life/);
  });

  it.sequential('shows nothing about an unknown user, and finds the user after the login', async () => {
    const user = freshUser();
    const { page, sees } = await boards.show(`#/users/${user}`);
    await sees('Nothing is known of this user');
    await boards.stay(user, 'Late');
    await page.getByRole('heading', { name: 'Late' }).waitFor();
  });
});

describe.concurrent('the actions of the dashboard', () => {
  const boards = useDashboards(() => chromium);

  it.sequential('sends a message unchanged, and shows its outcome until the user is gone', async () => {
    const user = freshUser();
    const client = await boards.stay(user);
    const { page, sees } = await boards.show(`#/users/${user}`);
    await page.getByLabel('Type').fill('note');
    await page.getByLabel('Data (JSON)').fill('{"big": 12345678901234567890');
    await page.getByRole('button', { name: 'Send' }).click();
    await sees(/The data is not valid JSON/);
    await page.getByLabel('Data (JSON)').fill('{"big": 12345678901234567890}');
    await page.getByRole('button', { name: 'Send' }).click();
    await sees('Written. Connections: 1.');
    await client.next('note');
    // A pong may have come after it.
    expect(client.texts.find((text) => text.includes('"note"'))).toContain('12345678901234567890');
    client.terminate();
    await page.getByText('Written. Connections: 1.').waitFor({ state: 'detached' });
  });

  it.sequential('kicks with a reason and a block after a confirmation, and lifts the block', async () => {
    const user = freshUser();
    const client = await boards.stay(user);
    const { page, sees } = await boards.show(`#/users/${user}`);
    await page.getByLabel(/^Reason/).fill('speed hack');
    await page.getByLabel('Keep the user out').selectOption({ label: 'for 10 minutes' });
    await page.getByRole('button', { name: 'Kick…' }).click();
    await page.getByRole('button', { name: 'Cancel' }).click();
    expect(client.socket.readyState).toBe(client.socket.OPEN);
    await page.getByRole('button', { name: 'Kick…' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Kick' }).click();
    await sees(/Done. The user is blocked until/);
    expect(await client.closed).toMatchObject({ code: 4002, reason: 'speed hack' });
    await sees(/and said: .?speed hack/);
    await page.reload();
    await sees(/Blocked until/);
    await page.getByRole('button', { name: 'Lift the block' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Lift the block' }).click();
    await sees('The block is lifted.');
    await eventually(() => boards.stay(user));
    await page.getByRole('button', { name: 'Lift the block' }).waitFor({ state: 'detached' });
  });

  it.sequential('revokes after a confirmation', async () => {
    const user = freshUser();
    const client = await boards.stay(user);
    const { page, sees } = await boards.show(`#/users/${user}`);
    await page.getByRole('button', { name: 'Revoke…' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
    await sees(/Tokens issued until .* are void. Connections that close: 1./);
    expect(await client.closed).toMatchObject({ code: 4003 });
  });

  it.sequential('drains a node only after its name is typed, and cancels the drain', async () => {
    const { page, sees } = await boards.show();
    await page.getByRole('button', { name: /^Drain/ }).click();
    const dialog = page.getByRole('dialog');
    const confirm = dialog.getByRole('button', { name: 'Drain' });
    expect(await confirm.isDisabled()).toBe(true);
    await dialog.getByRole('textbox').fill('boar');
    expect(await confirm.isDisabled()).toBe(true);
    await dialog.getByRole('textbox').fill('board');
    await confirm.click();
    await sees(/board.* drains\./);
    await page.getByRole('cell', { name: 'draining' }).waitFor();
    expect((await boards.gateway.call('GET', '/readyz')).status).toBe(503);
    await page.getByRole('button', { name: /^Take back/ }).click();
    await sees(/board.* takes connections again\./);
    await eventually(async () => expect((await boards.gateway.call('GET', '/readyz')).status).toBe(200));
  });

  it.sequential('shows the present configuration without its secrets', async () => {
    const { page, sees } = await boards.show('#/config');
    await sees('LINGXI_HEARTBEAT_TIMEOUT_MS');
    await page.getByRole('searchbox').fill('LINGXI_API_KEY');
    await eventually(async () => expect(await page.locator('.key').count()).toBeLessThan(5));
    expect(await page.content()).not.toContain(boards.gateway.apiKey);
    expect(await page.content()).not.toContain(boards.gateway.jwtSecret);
  });

  it.sequential('with the read-only key shows everything and changes nothing', async () => {
    const user = freshUser();
    await boards.stay(user);
    const { page, sees } = await boards.show(`#/users/${user}`, VIEW_KEY);
    await sees('You hold the read-only key.');
    for (const name of ['Send', 'Kick…', 'Revoke…'])
      expect(await page.getByRole('button', { name }).isDisabled()).toBe(true);
    await page.getByRole('link', { name: 'Overview' }).click();
    await page.getByRole('row', { name: /board/ }).waitFor();
    expect(await page.getByRole('button', { name: /^Drain/ }).isDisabled()).toBe(true);
  });
});

describe.concurrent('the dashboard as it looks', () => {
  const boards = useDashboards(() => chromium);

  it.sequential('shows hostile names harmlessly in every place', async () => {
    const users = HOSTILE.map(() => freshUser());
    await Promise.all(users.map((user, index) => boards.stay(user, HOSTILE[index]?.[0])));
    const board = await boards.show('#/users');
    await untilRows(board, (rows) => rows.length >= users.length);
    for (const [index, user] of users.entries()) {
      const shown = HOSTILE[index]?.[1] ?? '';
      await board.go(`#/users/${user}`);
      const heading = board.page.getByRole('heading', { level: 1 });
      await eventually(async () => {
        const text = await heading.textContent();
        if (typeof shown === 'string') expect(text).toBe(shown);
        else expect(text).toMatch(shown);
      });
      await board.page.getByRole('button', { name: 'Kick…' }).click();
      await board.page.getByRole('dialog').waitFor();
      await board.page.keyboard.press('Escape');
      expect(await board.page.locator('#page img').count()).toBe(0);
      expect(await widthBeyond(board)).toBe(0);
    }
  });

  it.sequential.each([
    [
      'English',
      [
        { width: 1_280, theme: 'light' },
        { width: 360, theme: 'dark' },
      ],
    ],
    [
      '中文',
      [
        { width: 1_280, theme: 'dark' },
        { width: 360, theme: 'light' },
      ],
    ],
  ] as const)(
    'has no violation for axe-core in %s, wide and narrow, light and dark',
    async (language, looks) => {
      const user = freshUser();
      await boards.stay(user, 'Accessible');
      const board = await boards.open({
        url: boards.gateway.url,
        ...(language === '中文' ? { before: chinese } : {}),
      });
      const expectAccessibleWith = async (place: string): Promise<void> => {
        for (const { width, theme } of looks) {
          await board.page.setViewportSize({ width, height: 740 });
          await board.page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
          await board.page.locator(`:root[data-theme="${theme}"]`).waitFor();
          await expectAccessible(board, `${place} at ${width} px, ${theme}`);
          const beyond = await widthBeyond(board);
          expect(beyond, `${place} is wider than the window of ${width} px`).toBeLessThanOrEqual(0);
        }
      };
      await expectAccessibleWith('the form for the key');
      await board.page.locator('#key').fill(boards.gateway.apiKey);
      await board.page.locator('button.primary').click();
      await board.page.locator('.pill.live').waitFor();
      for (const [hash, ready] of [
        ['#/', '.legend'],
        ['#/users', '.rows .row'],
        [`#/users/${user}`, '.timeline li'],
        ['#/config', '.key'],
      ] as const) {
        await board.go(hash);
        await board.page.locator(ready).first().waitFor();
        await expectAccessibleWith(hash);
      }
      await board.go('#/');
      await board.page.locator('td button.danger').click();
      await expectAccessibleWith('the dialog of a drain');
    },
  );
});

describe.concurrent('the dashboard of two nodes', () => {
  const enter = useUsers();
  let cluster: Cluster;
  let board: Dashboard | undefined;
  beforeAll(async () => {
    cluster = await startCluster({
      nodes: [
        { runtime: 'bun', name: 'east' },
        { runtime: 'node', name: 'west' },
      ],
      timeoutMs: 10_000,
    });
  });
  afterAll(async () => {
    if (board !== undefined) await closeQuietly(board);
    await cluster?.stop();
  });

  it.sequential('sums both, shows a user of the other node, and drains that node', async () => {
    const [east, west] = [cluster.node(0).gateway, cluster.node(1).gateway];
    const [one, two] = [freshUser(), freshUser()];
    (await enter(east, one, { name: 'Eastern' })).keepAlive(1_000);
    const far = await enter(west, two, { name: 'Western' });
    far.keepAlive(1_000);
    board = await openDashboard(await chromium.openWindow(), { url: east.url, key: east.apiKey });
    await untilTile(board, 'Online', (figure) => figure === 2);
    await untilTile(board, 'Connections', (figure) => figure === 2);
    await board.page.getByRole('row', { name: /east/ }).waitFor();
    await board.go('#/users');
    await untilRows(board, (rows) => rows.length === 2);
    await board.page.getByRole('searchbox').fill('node:west');
    await untilRows(board, (rows) => rows.join() === 'Western');
    await board.page.getByRole('link', { name: 'Western' }).click();
    await board.page.getByRole('cell', { name: /^west:/ }).waitFor();
    await board.go('#/');
    await board.page.getByRole('row', { name: /west/ }).getByRole('button').click();
    await board.page.getByRole('dialog').getByRole('textbox').fill('west');
    await board.page.getByRole('dialog').getByRole('button', { name: 'Drain' }).click();
    await board.sees(/west.* drains\./);
    expect(await far.closed).toMatchObject({ code: 1012 });
  });
});

// Runs alone, because other pages would slow it down.
describe('the dashboard of 10,000 users', () => {
  const boards = useDashboards(() => chromium);

  it('renders only the visible rows, and stays responsive', async () => {
    await logIn(boards.gateway, FIRST_OF_MANY, MANY);
    const board = await boards.show('#/users?sort=user&order=asc');
    await untilRows(board, (rows) => rows.length > 20);
    expect((await board.rows()).length).toBeLessThanOrEqual(200);
    await board.page.evaluate(watchTasks);
    await board.page.getByRole('grid').focus();
    await board.page.keyboard.press('End');
    const last = `Player ${FIRST_OF_MANY + MANY - 1}`;
    await untilRows(board, (rows) => rows.at(-1) === last);
    await board.page.keyboard.press('Home');
    await untilRows(board, (rows) => rows[0] !== undefined && !rows.includes(last));
    await board.page.keyboard.press('/');
    await board.page.keyboard.type('104321');
    await untilRows(board, (rows) => rows.join() === 'Player 104321');
    expect(await board.page.evaluate(longestTask)).toBeLessThan(LONGEST_TASK_MS);
    await board.go('#/');
    await untilTile(board, 'Online', (figure) => figure >= MANY);
  }, 240_000);
});

function chinese(): void {
  localStorage.setItem('lingxi-language', 'zh');
}

/** Runs in the page: records tasks that block it. */
function watchTasks(): void {
  const scope = globalThis as unknown as { tasks: number[] };
  scope.tasks = [];
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) scope.tasks.push(duration);
  }).observe({ entryTypes: ['longtask'] as never });
}

function longestTask(): number {
  return Math.max(0, ...(globalThis as unknown as { tasks: number[] }).tasks);
}
