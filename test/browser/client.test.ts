import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import type { State } from '../../src/client/types.ts';
import { type Chromium, startChromium } from '../support/chromium.ts';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually, sleep } from '../support/ports.ts';
import { freshUser } from '../support/stores.ts';
import { type Game, game, play, type Site, startSite } from './site.ts';

const TIMEOUT_MS = 4_000;
/** A tab that takes over must do so within this. */
const TAKE_OVER_MS = 2_000;

let chromium: Chromium;
let site: Site;
beforeAll(async () => {
  [chromium, site] = await Promise.all([startChromium(), startSite()]);
});
afterAll(async () => {
  await chromium?.stop();
  await site?.stop();
});

const pages: Page[] = [];
afterEach(async () => {
  // A crashed tab has nothing to say.
  for (const page of pages.splice(0)) await page.close();
});

async function open(path = '/play'): Promise<Page> {
  const page = await chromium.tabs.newPage();
  pages.push(page);
  await page.goto(site.url + path);
  return page;
}

function until(page: Pick<Page, 'evaluate'>, status: State['status'], timeoutMs = 8_000): Promise<State> {
  return eventually(
    async () => {
      const { state, states } = await game(page);
      if (state.status !== status) throw new Error(`not ${status}: ${JSON.stringify(states)}`);
      return state;
    },
    { timeoutMs, intervalMs: 20 },
  );
}

async function statuses(page: Page): Promise<readonly string[]> {
  return (await game(page)).states.map(({ status }) => status);
}

describe.each(['bun', 'node'] as const)('pages in Chromium and a gateway on %s', (runtime) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      runtime,
      stores: 'embedded',
      env: { LINGXI_HEARTBEAT_TIMEOUT_MS: String(TIMEOUT_MS), LINGXI_PING_INTERVAL_MS: '1000' },
    });
  });
  afterAll(() => gateway?.stop());

  const optionsOf = (user: number) => ({ url: gateway.wsUrl, token: gateway.token(user) });
  const push = async (user: number, data: unknown) => {
    const body = { to: { userId: user }, type: 'note', data };
    const answer = await gateway.service('POST', '/api/messages', body);
    return (answer.body['results'] as readonly Record<string, unknown>[])[0]?.['status'];
  };
  const connections = async (user: number) => {
    const answer = await gateway.service('GET', `/api/users/${user}/connections`);
    return answer.body['connections'] as readonly Record<string, unknown>[];
  };
  const logouts = async (user: number) => {
    const answer = await gateway.service('GET', '/api/online/events?limit=1000');
    const events = answer.body['events'] as readonly { userId: number; type: string }[];
    return events.filter(({ userId, type }) => userId === user && type === 'offline').length;
  };

  it('of two tabs the older stays away after 4001, also when it is looked at: no ping-pong', async () => {
    const user = freshUser();
    const older = await open();
    await play(older, optionsOf(user));
    await until(older, 'open');
    const newer = await open();
    await play(newer, optionsOf(user));
    await until(newer, 'open');
    expect(await until(older, 'closed')).toEqual({ status: 'closed', reason: 'replaced', code: 4001 });
    await older.bringToFront();
    await newer.bringToFront();
    await sleep(1_500);
    expect(await statuses(newer)).toEqual(['open']);
    expect(await statuses(older)).toEqual(['open', 'closed']);
    expect(await push(user, 1)).toBe('written');
    await eventually(async () => expect((await game(newer)).notes).toEqual([1]));
    // The user may ask for it all the same.
    await older.evaluate(() => (globalThis as unknown as { game: Game }).game.client.connect());
    expect(await until(older, 'open')).toMatchObject({ reason: 'resumed' });
    await until(newer, 'closed');
    for (const page of [older, newer]) expect((await game(page)).errors).toEqual([]);
  });

  it('a tab that is shown again asks the server for a sign of life, and does not wait long for it', async () => {
    const user = freshUser();
    const page = await open();
    await play(page, optionsOf(user));
    await until(page, 'open');
    const other = await open('/elsewhere');
    await eventually(async () => expect(await connections(user)).toMatchObject([{ state: 'background' }]));
    gateway.signalAll('SIGSTOP');
    const before = performance.now();
    try {
      await page.bringToFront();
      expect((await until(page, 'waiting', 6_000)).reason).toBe('no-answer');
      expect(performance.now() - before).toBeLessThan(3_500);
    } finally {
      gateway.signalAll('SIGCONT');
    }
    await until(page, 'open', 10_000);
    await eventually(async () => expect(await connections(user)).toMatchObject([{ state: 'active' }]));
    await other.bringToFront();
    expect(await logouts(user)).toBe(0);
  });

  it('a tab that goes into the back-forward cache closes its socket; back from there it connects at once', async () => {
    const user = freshUser();
    const page = await open();
    await play(page, optionsOf(user));
    await until(page, 'open');
    await page.goto(`${site.url.replace('localhost', '127.0.0.1')}/elsewhere`).catch(() => undefined);
    await eventually(async () => expect(await connections(user)).toEqual([]));
    await page.evaluate(() => {
      (globalThis as unknown as { history: { back(): void } }).history.back();
    });
    const state = await until(page, 'open', 5_000);
    expect(state).toEqual({ status: 'open', reason: 'resumed' });
    const { states, persisted, errors } = await game(page);
    expect(persisted.at(-1)).toBe(true);
    expect(states.map(({ status }) => status)).toEqual(['open', 'paused', 'connecting', 'open']);
    const [, , connecting, open_] = states;
    expect((open_?.at ?? 0) - (connecting?.at ?? 0)).toBeLessThan(1_000);
    expect(errors).toEqual([]);
    expect(await logouts(user)).toBe(0);
  });

  it('a frozen tab comes back by itself, though the server closed its connection meanwhile', async () => {
    const user = freshUser();
    const page = await open();
    await play(page, optionsOf(user));
    await until(page, 'open');
    const other = await open('/elsewhere');
    await chromium.freeze(page, true);
    await gateway.restart();
    await chromium.freeze(page, false);
    expect((await until(page, 'open', 10_000)).reason).toMatch(/resumed|connected/);
    await other.close();
    expect((await game(page)).freezes).toBe(1);
    expect(await push(user, 1)).toBe('written');
  });

  it('tabs share one connection; where its owner is killed or closed, another is there within 2 s', async () => {
    const user = freshUser();
    const shared = { ...optionsOf(user), shared: true, user };
    const tabs = [await open(), await open(), await open()];
    for (const tab of tabs) await play(tab, shared);
    for (const tab of tabs) await until(tab, 'open');
    expect(await connections(user)).toHaveLength(1);
    expect(await push(user, 1)).toBe('written');
    for (const tab of tabs) await eventually(async () => expect((await game(tab)).notes).toEqual([1]));

    const takeOver = async (end: (owner: Page) => Promise<void>, note: number): Promise<void> => {
      const [before] = await connections(user);
      const [owner] = tabs.splice(0, 1);
      if (owner === undefined) throw new Error('no tab is left');
      await end(owner);
      const since = performance.now();
      await eventually(
        async () => {
          const [now, ...more] = await connections(user);
          expect(more).toEqual([]);
          expect(now?.['connectionId']).toMatch(/./);
          expect(now?.['connectionId']).not.toBe(before?.['connectionId']);
        },
        { intervalMs: 20 },
      );
      expect(performance.now() - since).toBeLessThan(TAKE_OVER_MS);
      for (const tab of tabs) await until(tab, 'open');
      await eventually(async () => expect(await push(user, note)).toBe('written'));
      for (const tab of tabs) await eventually(async () => expect((await game(tab)).notes.at(-1)).toBe(note));
    };
    await takeOver((owner) => chromium.crash(owner), 2);
    const [, follower] = tabs;
    const outcome = await follower?.evaluate(() =>
      (globalThis as unknown as { game: Game }).game.client.send('state', { value: 'background' }),
    );
    expect(outcome).toBe('sent');
    await takeOver((owner) => owner.close(), 3);
    expect(await logouts(user)).toBe(0);

    // A logout is one for all tabs.
    const late = await open();
    await play(late, shared);
    await until(late, 'open');
    await late.evaluate(() => (globalThis as unknown as { game: Game }).game.client.logout());
    for (const tab of [...tabs, late]) expect(await until(tab, 'closed')).toMatchObject({ code: 4000 });
    expect(await logouts(user)).toBe(1);
  });
});

describe('pages in Chromium', () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({ runtime: 'bun', stores: 'embedded' });
  });
  afterAll(() => gateway?.stop());
  const push = async (user: number, type: string, data: unknown) => {
    const answer = await gateway.service('POST', '/api/messages', { to: { userId: user }, type, data });
    expect(answer.body['counts']).toEqual({ written: 1 });
  };
  const gone = async (user: number) => {
    const answer = await gateway.service('GET', `/api/users/${user}/connections`);
    expect(answer.body['connections']).toEqual([]);
  };

  it('renew their token on the open connection', async () => {
    const user = freshUser();
    const asked: string[] = [];
    site.token = (reason) => {
      asked.push(reason);
      return gateway.token(user, { expiresInS: 4 });
    };
    const page = await open();
    await play(page, { url: gateway.wsUrl, withGetToken: true });
    await until(page, 'open');
    await sleep(6_500);
    expect(await statuses(page)).toEqual(['open']);
    expect(asked.slice(0, 2)).toEqual(['start', 'renewal']);
    expect(asked.length).toBeLessThan(6);
  });

  it('are online at once when the network returns', async () => {
    const user = freshUser();
    const page = await open();
    await play(page, { url: gateway.wsUrl, token: gateway.token(user) });
    await until(page, 'open');
    await gateway.kill();
    await until(page, 'waiting');
    await chromium.tabs.setOffline(true);
    await gateway.restart();
    // Attempts without a network make the backoff long.
    await sleep(4_000);
    await chromium.tabs.setOffline(false);
    const before = performance.now();
    await until(page, 'open', 5_000);
    expect(performance.now() - before).toBeLessThan(2_500);
    expect((await game(page)).errors).toEqual([]);
  });

  it('obey what a server says that refuses them in band', async () => {
    const goodbye = { code: 4110, reason: 'overloaded', reconnectAfterMs: 600 };
    const refusals: ((socket: WebSocket) => void)[] = [
      (socket) => {
        socket.send(JSON.stringify({ type: 'goodbye', data: goodbye }));
        socket.close(4110, 'overloaded');
      },
      (socket) => socket.close(4003, 'invalid-token'),
      (socket) => socket.close(4006, 'session-exists'),
    ];
    const seen: { readonly at: number; readonly offer: string }[] = [];
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    server.on('connection', (socket, request) => {
      seen.push({ at: performance.now(), offer: request.headers['sec-websocket-protocol'] ?? '' });
      refusals.shift()?.(socket);
    });
    await once(server, 'listening');
    const asked: string[] = [];
    site.token = (reason) => {
      asked.push(reason);
      return `token-${asked.length}`;
    };
    const page = await open();
    await play(page, { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`, withGetToken: true });
    expect(await until(page, 'closed')).toEqual({ status: 'closed', reason: 'session-exists', code: 4006 });
    await sleep(1_500);
    server.close();
    expect(asked).toEqual(['start', 'expired']);
    expect(seen.map(({ offer }) => offer.split('bearer.')[1])).toEqual(['token-1', 'token-1', 'token-2']);
    expect((seen[1]?.at ?? 0) - (seen[0]?.at ?? 0)).toBeGreaterThanOrEqual(590);
    const states = (await game(page)).states.map(({ status, reason }) => `${status} ${reason}`);
    expect(states.filter((state) => state.startsWith('waiting'))).toEqual([
      'waiting overloaded',
      'waiting invalid-token',
    ]);
  });

  it('see why the server refuses them, and stay away or fetch another token', async () => {
    const user = freshUser();
    const asked: string[] = [];
    site.token = (reason) => {
      asked.push(reason);
      return asked.length === 1 ? 'not.a.token' : gateway.token(user);
    };
    const page = await open();
    await play(page, { url: gateway.wsUrl, withGetToken: true });
    await until(page, 'open');
    expect(asked).toEqual(['start', 'expired']);
    expect((await game(page)).states).toContainEqual(
      expect.objectContaining({ status: 'waiting', reason: 'invalid-token', code: 4003 }),
    );
    await gateway.service('POST', `/api/users/${user}/disconnect`, { blockMs: 60_000 });
    expect(await until(page, 'closed')).toMatchObject({ code: 4002 });
    await page.evaluate(() => (globalThis as unknown as { game: Game }).game.client.connect());
    await eventually(async () => expect((await game(page)).state).toMatchObject({ reason: 'blocked' }));
    expect((await game(page)).state).toEqual({ status: 'closed', reason: 'blocked', code: 4005 });
    const other = await open();
    await play(other, { url: `${gateway.wsUrl}?userId=${user + 1}`, token: gateway.token(user) });
    expect(await until(other, 'closed')).toEqual({ status: 'closed', reason: 'user-mismatch', code: 4008 });
  });

  it('that may not share connect alone', async () => {
    const user = freshUser();
    const page = await open('/sandbox');
    const frame = page.frames()[1];
    if (frame === undefined) throw new Error('no frame');
    await frame.waitForFunction('window.game !== undefined');
    await play(frame, { url: gateway.wsUrl, token: gateway.token(user), shared: true, user });
    await until(frame, 'open');
    expect((await game(frame)).errors).toEqual([]);
  });

  it('use it in Vue', async () => {
    const user = freshUser();
    const page = await open();
    const source = `(async () => {
      const { createApp, h } = await import('vue');
      const { useLingxi } = await import('lingxi/vue');
      window.app = createApp({
        setup() {
          const { state, newest } = useLingxi(${JSON.stringify({ url: gateway.wsUrl, token: gateway.token(user) })});
          const note = newest('note');
          return () => h('p', state.value.status + ' ' + note.value);
        },
      });
      window.app.mount('#app');
    })()`;
    await page.evaluate(source);
    await eventually(async () => expect(await page.textContent('#app p')).toBe('open undefined'));
    await push(user, 'note', '<b>灵力</b>');
    await eventually(async () => expect(await page.textContent('#app p')).toBe('open <b>灵力</b>'));
    await page.evaluate('window.app.unmount()');
    await eventually(() => gone(user));
  });

  it('use it in React, in strict mode too', async () => {
    const user = freshUser();
    const page = await open();
    const options = JSON.stringify({ url: gateway.wsUrl, token: gateway.token(user) });
    const mount = `import('/react.js').then(({ mount }) => {
      window.unmount = mount(document.querySelector('#app'), ${options});
    })`;
    await page.evaluate(mount);
    await eventually(async () => expect(await page.textContent('#app p')).toMatch(/^open \w+ none$/));
    await push(user, 'note', 'seven');
    await eventually(async () => expect(await page.textContent('#app p')).toMatch(/^open \w+ seven$/));
    await page.evaluate('window.unmount()');
    await eventually(() => gone(user));
  });

  it("of the Go game use their own exports, and two of them do not end each other's connection", async () => {
    const user = freshUser();
    const connect = `(async () => {
      const { default: manager, useWebSocket, subscribeSpiritGrowth } = await import('lingxi/seed');
      window.manager = manager;
      window.grown = [];
      window.used = useWebSocket();
      subscribeSpiritGrowth((data) => window.grown.push(data));
      await manager.connect('', ${user}, '${gateway.wsUrl}?userId=${user}&token=${gateway.token(user)}');
    })()`;
    const older = await open();
    await older.evaluate(connect);
    await push(user, 'spirit:grow', { gainAmount: 3 });
    await eventually(async () => expect(await older.evaluate('window.grown')).toEqual([{ gainAmount: 3 }]));
    expect(await older.evaluate('window.used.connectionStatus.value')).toBe('connected');
    const newer = await open();
    await newer.evaluate(connect);
    await eventually(async () => expect(await older.evaluate('window.manager.isConnected')).toBe(false));
    // The first attempt would come after 3 s.
    await sleep(3_500);
    expect(await newer.evaluate('window.manager.isConnected')).toBe(true);
    expect(await older.evaluate('window.manager.getConnectionStatus().reconnectAttempts')).toBe(0);
  });
});
