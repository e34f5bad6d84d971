import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Chromium, startChromium } from '../support/chromium.ts';
import { eventually, sleep } from '../support/ports.ts';
import { freshUser } from '../support/stores.ts';
import {
  answerWith,
  type Boards,
  type Dashboard,
  type Front,
  type Opening,
  startFront,
  untilRows,
  untilTile,
  useBoards,
} from './dashboard-pages.ts';

let chromium: Chromium;
beforeAll(async () => {
  chromium = await startChromium();
});
afterAll(() => chromium?.stop());

/** With a proxy before the gateway. */
interface Bench extends Pick<Boards, 'gateway' | 'window'> {
  readonly front: Front;
  /** A dashboard through the proxy, signed in. */
  open(opening?: Partial<Opening>): Promise<Dashboard>;
  login(user: number): Promise<unknown>;
}

function useBench(openWindow = () => chromium.openWindow()): Bench {
  const boards = useBoards(openWindow, {
    runtime: 'node',
    stores: 'embedded',
    env: { LINGXI_HTTP_TIMEOUT_MS: '600000', LINGXI_LOGINS_PER_MINUTE: '0', LINGXI_NODE_NAME: 'board' },
  });
  let front: Front | undefined;
  beforeAll(async () => {
    front = await startFront(boards.gateway.url);
  });
  afterEach(() => {
    bench.front.trick = () => false;
    bench.front.alter = (_, piece) => piece;
  });
  afterAll(() => front?.stop());
  const bench: Bench = {
    get gateway() {
      return boards.gateway;
    },
    get window() {
      return boards.window;
    },
    get front() {
      return front ?? expect.fail('no proxy');
    },
    open: (opening = {}) => boards.open({ url: bench.front.url, key: bench.gateway.apiKey, ...opening }),
    login: (user) => bench.gateway.service('POST', '/api/online/login', { playerId: String(user) }),
  };
  return bench;
}

const untilLive = ({ page }: Dashboard) => page.locator('.pill.live').waitFor({ timeout: 20_000 });

describe.concurrent('the dashboard of a gateway that is gone', () => {
  const bench = useBench();

  it.sequential('says that the server is gone, keeps the last figures, and recovers after its restart', async () => {
    const user = freshUser();
    await bench.login(user);
    const board = await bench.open({ url: bench.gateway.url });
    await untilTile(board, 'Online', (figure) => figure >= 1);
    const before = await board.tile('Online');
    await bench.gateway.kill();
    await board.sees(/The server (does not answer|closed the connection)/);
    await board.sees(/The figures are from/);
    await board.sees(/Next attempt in/);
    expect(await board.tile('Online')).toBe(before);
    expect(await board.page.title()).toContain('⚠');
    await bench.gateway.restart();
    await untilLive(board);
    await eventually(async () => expect(await board.page.title()).not.toContain('⚠'));
  });

  it.sequential('reports that the gateway is gone when a proxy answers instead, changes no node meanwhile, and is up to date with the first answer', async () => {
    const board = await bench.open({ hash: '#/' });
    await untilLive(board);
    await board.page.getByRole('button', { name: /^Drain/ }).waitFor();
    const tries = () => bench.front.asked.filter((path) => path.includes('/live')).length;
    const before = tries();
    bench.front.trick = (request, response) => {
      if (request.url?.includes('/api/') !== true) return false;
      response.writeHead(502, { 'content-type': 'text/html' }).end('<h1>Bad gateway</h1>');
      return true;
    };
    await bench.gateway.restart();
    await board.sees('The gateway does not answer: a proxy before it answered 502.', 20_000);
    expect(await board.page.getByRole('button', { name: /^Drain/ }).isDisabled()).toBe(true);
    await board.go('#/users');
    await eventually(async () =>
      expect(await board.page.locator('#users-hint').textContent()).toContain('answered 502'),
    );
    // The stream has had a few attempts: its next own attempt is seconds away.
    await eventually(() => expect(tries()).toBeGreaterThan(before + 4), { timeoutMs: 40_000 });
    bench.front.trick = () => false;
    const isFresh = board.page.locator('#users-hint.muted').waitFor({ timeout: 20_000 });
    await isFresh;
    await board.page.locator('.pill.live').waitFor({ timeout: 3_000 });
    expect(await board.page.locator('.notices.shown').count()).toBe(0);
  });

  it.sequential('waits as long as a refusing server asks, and says why', async () => {
    const board = await bench.open();
    await untilLive(board);
    bench.front.trick = (request, response) =>
      request.url?.includes('/api/') === true &&
      answerWith(
        response,
        503,
        { error: 'The kitchen is closed.', code: 'overloaded' },
        { 'retry-after': '3' },
      );
    const asked = bench.front.asked.length;
    await bench.gateway.restart();
    await board.sees('The kitchen is closed.', 15_000);
    const early = bench.front.asked.slice(asked).filter((path) => path.includes('/live')).length;
    expect(early).toBeLessThanOrEqual(2);
    bench.front.trick = () => false;
    await board.page.getByRole('button', { name: 'Try now' }).click();
    await untilLive(board);
  });
});

describe.concurrent('the dashboard and invalid answers', () => {
  const bench = useBench();

  it.sequential('keeps a letter that is typed while the search takes effect', async () => {
    const [wanted, other] = [10_432_100 + freshUser(), 10_432_900 + freshUser()];
    await Promise.all([bench.login(wanted), bench.login(other)]);
    const board = await bench.open({ hash: '#/users' });
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

  it.sequential('checks a key again by itself while the server cannot verify it', async () => {
    bench.front.trick = (request, response) =>
      request.url?.includes('/api/') === true &&
      answerWith(
        response,
        429,
        { error: 'Too many requests.', code: 'rate-limited' },
        { 'retry-after': '1' },
      );
    const dashboard = await bench.open({ key: undefined });
    await dashboard.page.getByLabel(/^Key/).fill(bench.gateway.apiKey);
    await dashboard.page.getByRole('button', { name: 'Sign in' }).click();
    await dashboard.sees(/Too many requests.*The page tries again by itself/);
    bench.front.trick = () => false;
    await untilLive(dashboard);
  });

  it.sequential('asks for another key when the server no longer accepts the present one', async () => {
    const board = await bench.open({ hash: '#/users' });
    await untilLive(board);
    bench.front.trick = (request, response) =>
      request.url?.includes('/api/') === true &&
      answerWith(response, 401, { error: 'Invalid.', code: 'invalid-token' });
    await board.sees('The server no longer accepts the key of this tab.');
    bench.front.trick = () => false;
    await board.page.getByLabel(/^Key/).fill(bench.gateway.apiKey);
    await board.page.getByRole('button', { name: 'Sign in' }).click();
    await board.page.getByRole('grid').waitFor();
    await untilLive(board);
  });

  it.sequential('shows unknown causes, types and states unchanged', async () => {
    const hostile = '<b>meteor\u202e';
    bench.front.alter = (path, piece) =>
      path.includes('/live')
        ? piece
            .replaceAll('"logouts":{', `"logouts":{${JSON.stringify(hostile)}:5,"__proto__":1,`)
            .replaceAll('"state":"live"', '"state":"dreaming"')
        : piece;
    bench.front.trick = (request, response) => {
      if (request.url?.includes('/timeline') === true) {
        const entry = { at: 1e18, event: 'abducted', cause: hostile, reason: hostile, node: 7, epoch: null };
        return answerWith(response, 200, { entries: [entry, null, 'x'] });
      }
      if (!/\/api\/dashboard\/users\/\d/.test(request.url ?? '')) return false;
      const player = { username: 'x'.repeat(10_000), status: 'dreaming', loginTime: 'never' };
      return answerWith(response, 200, { player, connections: [{}], groups: [hostile, 4] });
    };
    const board = await bench.open();
    await board.sees('<b>meteor⟨202E⟩');
    await board.page.getByRole('cell', { name: 'dreaming' }).waitFor();
    await board.go('#/users/1');
    await board.sees(/abducted: <b>meteor⟨202E⟩/);
    await board.sees('dreaming');
    expect(await board.page.locator('#page b').count()).toBe(0);
  });

  it.sequential('survives invalid answers, and recovers', async () => {
    bench.front.trick = (request, response) => {
      if (request.url?.includes('/dashboard/users') !== true) return false;
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>proxy login</html>');
      return true;
    };
    const user = freshUser();
    await bench.login(user);
    const board = await bench.open({ hash: '#/users' });
    await board.sees(/The answer is not one that this page understands/);
    bench.front.trick = () => false;
    await untilRows(board, (rows) => rows.length > 0);
  });

  it.sequential('works if storage is forbidden', async () => {
    const board = await bench.open({
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
});

describe.concurrent('the dashboard while it is hidden, or gets no answer', () => {
  // In the first window one tab hides the other, as for a user.
  const bench = useBench(async () => chromium.tabs);

  it.sequential('notices a silent stream that has not ended', async () => {
    const board = await bench.open();
    await untilLive(board);
    bench.front.alter = (path, piece) => (path.includes('/live') ? undefined : piece);
    await board.sees('The server takes too long to answer.', 15_000);
    await board.page.locator('.pill.quiet').waitFor();
    // The watchdog ends the stream, and the proxy holds the next one back too.
    await board.page.locator('.pill.waiting').waitFor({ timeout: 20_000 });
    bench.front.alter = (_, piece) => piece;
    await untilLive(board);
  });

  it.sequential('requests no window of users while it is hidden, and continues when it is visible', async () => {
    await bench.login(freshUser());
    const board = await bench.open({ hash: '#/users' });
    await untilRows(board, (rows) => rows.length > 0);
    const windows = () => bench.front.asked.filter((path) => path.includes('/api/dashboard/users')).length;
    const other = await bench.window.newPage();
    await other.bringToFront();
    await eventually(async () => {
      const hidden = await board.page.evaluate(
        () => (globalThis as unknown as { document: { visibilityState: string } }).document.visibilityState,
      );
      expect(hidden).toBe('hidden');
    });
    // Requests from before may still be on their way. A page that continued would never be silent for 2 s.
    const before = await eventually(async () => {
      const asked = windows();
      await sleep(2_000);
      expect(windows()).toBe(asked);
      return asked;
    });
    await other.close();
    await board.page.bringToFront();
    await eventually(async () => expect(windows()).toBeGreaterThan(before));
  });

  it.sequential('requests the next window only after the last one, at most every 500 ms', async () => {
    const board = await bench.open({ hash: '#/users' });
    await untilLive(board);
    const windows = () => bench.front.asked.filter((path) => path.includes('/api/dashboard/users?')).length;
    const before = windows();
    const began = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect(windows() - before).toBeLessThanOrEqual((performance.now() - began) / 500 + 1);
    expect(windows() - before).toBeGreaterThan(1);
  });
});
