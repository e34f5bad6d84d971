import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Chromium, startChromium } from '../support/chromium.ts';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually } from '../support/ports.ts';
import { freshUser } from '../support/stores.ts';
import {
  answerWith,
  closeQuietly,
  type Dashboard,
  type Front,
  type Opening,
  openDashboard,
  startFront,
  untilRows,
  untilTile,
} from './dashboard-pages.ts';

let chromium: Chromium;
beforeAll(async () => {
  chromium = await startChromium();
});
afterAll(() => chromium?.stop());

const opened: Dashboard[] = [];
afterEach(() => closeQuietly(...opened.splice(0)));

describe.each(['node'] as const)('the dashboard in trouble, before a gateway on %s', (runtime) => {
  let gateway: Gateway;
  let front: Front;
  beforeAll(async () => {
    gateway = await startGateway({
      runtime,
      stores: 'embedded',
      env: { LINGXI_HTTP_TIMEOUT_MS: '600000', LINGXI_LOGINS_PER_MINUTE: '0', LINGXI_NODE_NAME: 'board' },
    });
    front = await startFront(gateway.url);
  });
  afterEach(() => {
    front.trick = () => false;
    front.alter = (_, piece) => piece;
  });
  afterAll(async () => {
    await front?.stop();
    await gateway?.stop();
  });

  const open = async (opening: Partial<Opening> = {}): Promise<Dashboard> => {
    const dashboard = await openDashboard(chromium, { url: front.url, key: gateway.apiKey, ...opening });
    opened.push(dashboard);
    return dashboard;
  };
  const untilLive = ({ page }: Dashboard) => page.locator('.pill.live').waitFor({ timeout: 20_000 });
  const login = (user: number, more: object = {}) =>
    gateway.service('POST', '/api/online/login', { playerId: String(user), ...more });

  it('keeps a letter that is typed at the moment at which the search takes effect', async () => {
    const [wanted, other] = [10_432_100 + freshUser(), 10_432_900 + freshUser()];
    await Promise.all([login(wanted), login(other)]);
    const board = await open({ hash: '#/users' });
    await untilRows(board, (rows) => rows.length >= 2);
    await board.page.evaluate((last) => {
      const replace = history.replaceState.bind(history);
      history.replaceState = (...given) => {
        history.replaceState = replace;
        replace(...given);
        const input = document.querySelector('input[type=search]') as HTMLInputElement;
        input.value = last;
        input.dispatchEvent(new Event('input', { bubbles: true }));
      };
    }, String(wanted));
    await board.page.getByRole('searchbox').fill('10432');
    await untilRows(board, (rows) => rows.join() === `Player ${wanted}`);
    expect(await board.page.getByRole('searchbox').inputValue()).toBe(String(wanted));
  });

  it('says that the server is gone, keeps the last figures, and recovers after its restart', async () => {
    const user = freshUser();
    await login(user);
    const board = await open({ url: gateway.url });
    await untilTile(board, 'Online', (figure) => figure >= 1);
    const before = await board.tile('Online');
    await gateway.kill();
    await board.sees(/The server (does not answer|closed the connection)/);
    await board.sees(/The figures are from/);
    await board.sees(/Next attempt in/);
    expect(await board.tile('Online')).toBe(before);
    expect(await board.page.title()).toContain('⚠');
    await gateway.restart();
    await untilLive(board);
    await eventually(async () => expect(await board.page.title()).not.toContain('⚠'));
  });

  it('says that the gateway is gone when a proxy answers for it, changes no node meanwhile, and is fresh with the first answer', async () => {
    const board = await open({ hash: '#/' });
    await untilLive(board);
    await board.page.getByRole('button', { name: /^Drain/ }).waitFor();
    front.trick = (request, response) => {
      if (request.url?.includes('/api/') !== true) return false;
      response.writeHead(502, { 'content-type': 'text/html' }).end('<h1>Bad gateway</h1>');
      return true;
    };
    await gateway.restart();
    await board.sees('The gateway does not answer: a proxy before it answered 502.', 15_000);
    expect(await board.page.getByRole('button', { name: /^Drain/ }).isDisabled()).toBe(true);
    await board.go('#/users');
    await eventually(async () =>
      expect(await board.page.locator('#users-hint').textContent()).toContain('answered 502'),
    );
    // The stream has been tried a few times: the next attempt of its own is seconds away.
    const tries = () => front.asked.filter((path) => path.includes('/live')).length;
    const before = tries();
    await eventually(() => expect(tries()).toBeGreaterThan(before + 3), { timeoutMs: 30_000 });
    front.trick = () => false;
    const isFresh = board.page.locator('#users-hint.muted').waitFor({ timeout: 20_000 });
    await isFresh;
    await board.page.locator('.pill.live').waitFor({ timeout: 1_500 });
    expect(await board.page.locator('.notices.shown').count()).toBe(0);
  });

  it('notices a stream that says nothing any more, though nobody ended it', async () => {
    const board = await open();
    await untilLive(board);
    front.alter = (path, piece) => (path.includes('/live') ? undefined : piece);
    await board.sees('The server takes too long to answer.', 15_000);
    await board.page.locator('.pill.quiet').waitFor();
    // The watchdog gives the stream up, and the next one is held back as well.
    await board.page.locator('.pill.waiting').waitFor({ timeout: 20_000 });
    front.alter = (_, piece) => piece;
    await untilLive(board);
  });

  it('waits as long as a server that refuses asks for, and says why', async () => {
    const board = await open();
    await untilLive(board);
    front.trick = (request, response) =>
      request.url?.includes('/api/') === true &&
      answerWith(
        response,
        503,
        { error: 'The kitchen is closed.', code: 'overloaded' },
        { 'retry-after': '3' },
      );
    const asked = front.asked.length;
    await gateway.restart();
    await board.sees('The kitchen is closed.', 15_000);
    const early = front.asked.slice(asked).filter((path) => path.includes('/live')).length;
    expect(early).toBeLessThanOrEqual(2);
    front.trick = () => false;
    await board.page.getByRole('button', { name: 'Try now' }).click();
    await untilLive(board);
  });

  it('checks a key again by itself while the server cannot say whether it is right', async () => {
    front.trick = (request, response) =>
      request.url?.includes('/api/') === true &&
      answerWith(
        response,
        429,
        { error: 'Too many requests.', code: 'rate-limited' },
        { 'retry-after': '1' },
      );
    const dashboard = await openDashboard(chromium, { url: front.url });
    opened.push(dashboard);
    await dashboard.page.getByLabel(/^Key/).fill(gateway.apiKey);
    await dashboard.page.getByRole('button', { name: 'Sign in' }).click();
    await dashboard.sees(/Too many requests.*The page tries again by itself/);
    front.trick = () => false;
    await untilLive(dashboard);
  });

  it('asks for another key when the server no longer accepts the one in use', async () => {
    const board = await open({ hash: '#/users' });
    await untilLive(board);
    front.trick = (request, response) =>
      request.url?.includes('/api/') === true &&
      answerWith(response, 401, { error: 'Invalid.', code: 'invalid-token' });
    await board.sees('The server no longer accepts the key of this tab.');
    front.trick = () => false;
    await board.page.getByLabel(/^Key/).fill(gateway.apiKey);
    await board.page.getByRole('button', { name: 'Sign in' }).click();
    await board.page.getByRole('grid').waitFor();
    await untilLive(board);
  });

  it('shows causes, types and states that it does not know, as they are', async () => {
    const hostile = '<b>meteor\u202e';
    front.alter = (path, piece) =>
      path.includes('/live')
        ? piece
            .replaceAll('"logouts":{', `"logouts":{${JSON.stringify(hostile)}:5,"__proto__":1,`)
            .replaceAll('"state":"live"', '"state":"dreaming"')
        : piece;
    front.trick = (request, response) => {
      if (request.url?.includes('/timeline') === true) {
        const entry = { at: 1e18, event: 'abducted', cause: hostile, reason: hostile, node: 7, epoch: null };
        return answerWith(response, 200, { entries: [entry, null, 'x'] });
      }
      if (!/\/api\/dashboard\/users\/\d/.test(request.url ?? '')) return false;
      const player = { username: 'x'.repeat(10_000), status: 'dreaming', loginTime: 'never' };
      return answerWith(response, 200, { player, connections: [{}], groups: [hostile, 4] });
    };
    const board = await open();
    await board.sees('<b>meteor⟨202E⟩');
    await board.page.getByRole('cell', { name: 'dreaming' }).waitFor();
    await board.go('#/users/1');
    await board.sees(/abducted: <b>meteor⟨202E⟩/);
    await board.sees('dreaming');
    expect(await board.page.locator('#page b').count()).toBe(0);
  });

  it('lives with answers that make no sense, and recovers', async () => {
    front.trick = (request, response) => {
      if (request.url?.includes('/dashboard/users') !== true) return false;
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>proxy login</html>');
      return true;
    };
    const user = freshUser();
    await login(user);
    const board = await open({ hash: '#/users' });
    await board.sees(/The answer is not one that this page understands/);
    front.trick = () => false;
    await untilRows(board, (rows) => rows.length > 0);
  });

  it('works where storage is forbidden', async () => {
    const board = await open({
      before: () => {
        for (const name of ['sessionStorage', 'localStorage'])
          Object.defineProperty(globalThis, name, {
            get() {
              throw new DOMException('denied', 'SecurityError');
            },
          });
      },
    });
    await untilLive(board);
    await board.page.getByRole('button', { name: '中文' }).click();
    await board.page.getByRole('link', { name: '用户' }).click();
    await board.page.getByRole('heading', { name: '在线用户' }).waitFor();
  });

  it('asks for no window of users while nobody looks, and goes on when somebody does', async () => {
    await login(freshUser());
    const board = await open({ hash: '#/users' });
    await untilRows(board, (rows) => rows.length > 0);
    const windows = () => front.asked.filter((path) => path.includes('/api/dashboard/users')).length;
    const other = await chromium.tabs.newPage();
    await other.bringToFront();
    await eventually(async () => {
      const hidden = await board.page.evaluate(
        () => (globalThis as unknown as { document: { visibilityState: string } }).document.visibilityState,
      );
      expect(hidden).toBe('hidden');
    });
    await new Promise((resolve) => setTimeout(resolve, 700));
    const before = windows();
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    expect(windows()).toBe(before);
    await other.close();
    await board.page.bringToFront();
    await eventually(async () => expect(windows()).toBeGreaterThan(before));
  });

  it('asks for the next window only after the last, at most every 500 ms', async () => {
    const board = await open({ hash: '#/users' });
    await untilLive(board);
    const windows = () => front.asked.filter((path) => path.includes('/api/dashboard/users?')).length;
    const before = windows();
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect(windows() - before).toBeLessThanOrEqual(7);
    expect(windows() - before).toBeGreaterThan(1);
  });
});
