import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually, sleep } from '../support/ports.ts';
import { freshUser } from '../support/stores.ts';
import { statuses, until, useBrowser } from './browser.ts';
import { type Game, game, play } from './site.ts';

const TIMEOUT_MS = 15_000;
const PING_INTERVAL_MS = 5_000;
/** A tab must take over within this time. */
const TAKE_OVER_MS = 2_000;

// The tests of one runtime share a window, where one tab hides the other. Those of both run at the same time.
describe.concurrent.each(['bun', 'node'] as const)('pages in Chromium and a gateway on %s', (runtime) => {
  const browser = useBrowser();
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      runtime,
      stores: 'embedded',
      env: {
        LINGXI_HEARTBEAT_TIMEOUT_MS: String(TIMEOUT_MS),
        LINGXI_PING_INTERVAL_MS: String(PING_INTERVAL_MS),
      },
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

  it.sequential('of two tabs the older one stays away after 4001, even when it becomes visible: no ping-pong', async () => {
    const user = freshUser();
    const older = await browser.open();
    await play(older, optionsOf(user));
    await until(older, 'open');
    const newer = await browser.open();
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
    // The user may still request a connection.
    await older.evaluate(() => (globalThis as unknown as { game: Game }).game.client.connect());
    expect(await until(older, 'open')).toMatchObject({ reason: 'resumed' });
    await until(newer, 'closed');
    for (const page of [older, newer]) expect((await game(page)).errors).toEqual([]);
  });

  it.sequential('a tab that becomes visible again pings the server, and does not wait long for the answer', async () => {
    const user = freshUser();
    const page = await browser.open();
    await play(page, optionsOf(user));
    await until(page, 'open');
    const other = await browser.open('/elsewhere');
    await eventually(async () => expect(await connections(user)).toMatchObject([{ state: 'background' }]));
    gateway.signalAll('SIGSTOP');
    try {
      await page.bringToFront();
      await until(page, 'waiting');
    } finally {
      gateway.signalAll('SIGCONT');
    }
    const { states, wokenAt } = await game(page);
    // Later attempts may have waited too, each for its own reason.
    const waiting = states.find(({ status }) => status === 'waiting');
    expect(waiting?.reason).toBe('no-answer');
    const waitingAt = waiting?.at ?? 0;
    // Without that ping, the regular pings would notice after 7 to 12 s.
    expect(waitingAt - wokenAt).toBeGreaterThan(1_900);
    expect(waitingAt - wokenAt).toBeLessThan(PING_INTERVAL_MS);
    await until(page, 'open');
    await eventually(async () => expect(await connections(user)).toMatchObject([{ state: 'active' }]));
    await other.bringToFront();
    expect(await logouts(user)).toBe(0);
  });

  it.sequential('a tab closes its socket when it enters the back-forward cache, and connects at once when it returns', async () => {
    const user = freshUser();
    const page = await browser.open();
    await play(page, optionsOf(user));
    await until(page, 'open');
    await page.goto(`${browser.site.url.replace('localhost', '127.0.0.1')}/elsewhere`).catch(() => undefined);
    await eventually(async () => expect(await connections(user)).toEqual([]));
    // The page must be able to answer before it leaves.
    await page.evaluate('void setTimeout(() => history.back())');
    const state = await until(page, 'open');
    expect(state).toEqual({ status: 'open', reason: 'resumed' });
    const { states, persisted, errors, wokenAt } = await game(page);
    expect(persisted.at(-1)).toBe(true);
    expect(states.map(({ status }) => status)).toEqual(['open', 'paused', 'connecting', 'open']);
    expect((states[2]?.at ?? 0) - wokenAt).toBeLessThan(1_500);
    expect(errors).toEqual([]);
    expect(await logouts(user)).toBe(0);
  });

  it.sequential('a frozen tab reconnects by itself, although the server closed its connection meanwhile', async () => {
    const user = freshUser();
    const page = await browser.open();
    await play(page, optionsOf(user));
    await until(page, 'open');
    const other = await browser.open('/elsewhere');
    await browser.chromium.freeze(page, true);
    await gateway.restart();
    await browser.chromium.freeze(page, false);
    expect((await until(page, 'open')).reason).toMatch(/resumed|connected/);
    await other.close();
    expect((await game(page)).freezes).toBe(1);
    expect(await push(user, 1)).toBe('written');
  });

  it.sequential('a restarting server says goodbye; its pages reconnect by themselves, and send the waiting messages', async () => {
    const user = freshUser();
    const page = await browser.open();
    await play(page, optionsOf(user));
    await until(page, 'open');
    await gateway.terminate();
    expect((await until(page, 'waiting')).retryAt).toBeGreaterThan(0);
    const sent = page.evaluate(() =>
      (globalThis as unknown as { game: Game }).game.client.send('state', { value: 'background' }),
    );
    await gateway.restart();
    await until(page, 'open', 30_000);
    expect(await sent).toBe('sent');
    await eventually(async () => expect(await connections(user)).toMatchObject([{ state: 'background' }]));
    const { states, errors } = await game(page);
    expect(states).toContainEqual(expect.objectContaining({ reason: 'shutdown', code: 1012 }));
    expect(errors).toEqual([]);
    expect(await push(user, 1)).toBe('written');
  });

  it.sequential('tabs share one connection; if its owner is killed or closed, another tab takes over within 2 s', async () => {
    const user = freshUser();
    const shared = { ...optionsOf(user), shared: true, user };
    const tabs = [await browser.open(), await browser.open(), await browser.open()];
    // The first to be open owns the connection.
    for (const tab of tabs) {
      await play(tab, shared);
      await until(tab, 'open');
    }
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
    await takeOver((owner) => browser.chromium.crash(owner), 2);
    const [, follower] = tabs;
    const outcome = await follower?.evaluate(() =>
      (globalThis as unknown as { game: Game }).game.client.send('state', { value: 'background' }),
    );
    expect(outcome).toBe('sent');
    await takeOver((owner) => owner.close(), 3);
    expect(await logouts(user)).toBe(0);

    // A logout is one for all tabs.
    const late = await browser.open();
    await play(late, shared);
    await until(late, 'open');
    await late.evaluate(() => (globalThis as unknown as { game: Game }).game.client.logout());
    for (const tab of [...tabs, late]) expect(await until(tab, 'closed')).toMatchObject({ code: 4000 });
    expect(await logouts(user)).toBe(1);
  });
});
