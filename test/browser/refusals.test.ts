import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually, sleep } from '../support/ports.ts';
import { freshUser } from '../support/stores.ts';
import { type Browser, statuses, until, useBrowser } from './browser.ts';
import { type Game, game, play } from './site.ts';

/** Each group of tests has its own window, site and gateway. */
function useGame(): { readonly browser: Browser; readonly gateway: () => Gateway } {
  let gateway: Gateway | undefined;
  beforeAll(async () => {
    gateway = await startGateway({ runtime: 'bun', stores: 'embedded' });
  });
  afterAll(() => gateway?.stop());
  return { browser: useBrowser(), gateway: () => gateway ?? expect.fail('no gateway') };
}

describe.concurrent('pages in Chromium that stay', () => {
  const { browser, gateway } = useGame();

  it.sequential('renew their token on the open connection', async () => {
    const user = freshUser();
    const asked: string[] = [];
    browser.site.token = (reason) => {
      asked.push(reason);
      return gateway().token(user, { expiresInS: 6 });
    };
    const page = await browser.open();
    await play(page, { url: gateway().wsUrl, withGetToken: true });
    await until(page, 'open');
    await sleep(7_500);
    expect(await statuses(page)).toEqual(['open']);
    expect(asked[0]).toBe('start');
    expect(new Set(asked.slice(1))).toEqual(new Set(['renewal']));
    expect(asked.length).toBeLessThan(6);
  });
});

describe.concurrent('pages in Chromium that are refused', () => {
  const { browser, gateway } = useGame();

  it.sequential('are online at once when the network returns', async () => {
    const user = freshUser();
    const page = await browser.open();
    await play(page, { url: gateway().wsUrl, token: gateway().token(user) });
    await until(page, 'open');
    await gateway().kill();
    await until(page, 'waiting');
    await browser.chromium.tabs.setOffline(true);
    await gateway().restart();
    // Attempts without a network make the backoff long.
    await sleep(6_000);
    await browser.chromium.tabs.setOffline(false);
    await until(page, 'open');
    const { states, errors, wokenAt } = await game(page);
    const attempt = states.find(({ status, at }) => status === 'connecting' && at >= wokenAt);
    // At most about one attempt a second, whatever the network does, and some time for a busy machine.
    expect((attempt?.at ?? 0) - wokenAt).toBeLessThan(2_800);
    expect(errors).toEqual([]);
  });

  it.sequential('obey the goodbye of a refusal in band', async () => {
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
    browser.site.token = (reason) => {
      asked.push(reason);
      return `token-${asked.length}`;
    };
    const page = await browser.open();
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

  it.sequential('see why the server refuses them, and stay away or fetch another token', async () => {
    const user = freshUser();
    const asked: string[] = [];
    browser.site.token = (reason) => {
      asked.push(reason);
      return asked.length === 1 ? 'not.a.token' : gateway().token(user);
    };
    const page = await browser.open();
    await play(page, { url: gateway().wsUrl, withGetToken: true });
    await until(page, 'open');
    expect(asked).toEqual(['start', 'expired']);
    expect((await game(page)).states).toContainEqual(
      expect.objectContaining({ status: 'waiting', reason: 'invalid-token', code: 4003 }),
    );
    await gateway().service('POST', `/api/users/${user}/disconnect`, { blockMs: 60_000 });
    expect(await until(page, 'closed')).toMatchObject({ code: 4002 });
    await page.evaluate(() => (globalThis as unknown as { game: Game }).game.client.connect());
    await eventually(async () => expect((await game(page)).state).toMatchObject({ reason: 'blocked' }));
    expect((await game(page)).state).toEqual({ status: 'closed', reason: 'blocked', code: 4005 });
    const other = await browser.open();
    await play(other, { url: `${gateway().wsUrl}?userId=${user + 1}`, token: gateway().token(user) });
    expect(await until(other, 'closed')).toEqual({ status: 'closed', reason: 'user-mismatch', code: 4008 });
  });

  it.sequential('connect alone if they may not share', async () => {
    const user = freshUser();
    const page = await browser.open('/sandbox');
    const frame = page.frames()[1];
    if (frame === undefined) throw new Error('no frame');
    await frame.waitForFunction('window.game !== undefined');
    await play(frame, { url: gateway().wsUrl, token: gateway().token(user), shared: true, user });
    await until(frame, 'open');
    expect((await game(frame)).errors).toEqual([]);
  });
});
