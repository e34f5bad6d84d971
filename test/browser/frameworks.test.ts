import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually, sleep } from '../support/ports.ts';
import { freshUser } from '../support/stores.ts';
import { useBrowser } from './browser.ts';

const browser = useBrowser({ isConcurrent: true });

/** How long the server waits for a heartbeat. */
const TIMEOUT_MS = 5_000;

describe.concurrent('pages in Chromium', () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      runtime: 'bun',
      stores: 'embedded',
      env: { LINGXI_HEARTBEAT_TIMEOUT_MS: String(TIMEOUT_MS) },
    });
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

  it('use it in Vue', async () => {
    const user = freshUser();
    const page = await browser.open();
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
    const page = await browser.open();
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
    const older = await browser.open();
    await older.evaluate(connect);
    await push(user, 'spirit:grow', { gainAmount: 3 });
    await eventually(async () => expect(await older.evaluate('window.grown')).toEqual([{ gainAmount: 3 }]));
    expect(await older.evaluate('window.used.connectionStatus.value')).toBe('connected');
    const newer = await browser.open();
    await newer.evaluate(connect);
    await eventually(async () => expect(await older.evaluate('window.manager.isConnected')).toBe(false));
    // The first attempt would come after 3 s.
    await sleep(3_500);
    expect(await newer.evaluate('window.manager.isConnected')).toBe(true);
    expect(await older.evaluate('window.manager.getConnectionStatus().reconnectAttempts')).toBe(0);
  });

  it('of the Go game whose heartbeat stops are logged out after the timeout, although the socket is open', async () => {
    const user = freshUser();
    const page = await browser.open();
    await page.evaluate(`(async () => {
      const { default: manager } = await import('lingxi/seed');
      window.manager = manager;
      window.closedAt = new Promise((resolve) => manager.on('connection:close', () => resolve(performance.now())));
      await manager.connect('', ${user}, '${gateway.wsUrl}?userId=${user}&token=${gateway.token(user)}');
    })()`);
    const statusOf = async (): Promise<unknown> =>
      (await gateway.service('GET', `/api/online/player/${user}`)).body['status'];
    await sleep(TIMEOUT_MS + 500);
    expect(await statusOf()).toBe('online');
    const stopped = await page.evaluate(
      '[performance.now(), manager.sendHeartbeat(), manager.stopHeartbeat()][0]',
    );
    const closed = await page.evaluate('window.closedAt');
    expect(Number(closed) - Number(stopped)).toBeGreaterThan(TIMEOUT_MS - 50);
    // It would connect again after 3 s.
    await page.evaluate('manager.disconnect()');
    await eventually(async () => expect(await statusOf()).toBe('offline'));
  });
});
