import { describe, expect, it } from 'vitest';
import { type SharedClientOptions, SharedConnection } from '../../../src/client/shared.ts';
import type { SendOutcome, State } from '../../../src/client/types.ts';
import { Browser, settle, World } from './world.ts';

interface Tab {
  readonly world: World;
  readonly client: SharedConnection;
  readonly seen: unknown[];
}

async function openTab(browser: Browser, options: Partial<SharedClientOptions> = {}): Promise<Tab> {
  const world = new World(browser.tabs());
  const client = new SharedConnection({ token: 'secret', user: 7, ...options }, world.env);
  const seen: unknown[] = [];
  client.on('note', (data) => seen.push(data));
  client.connect();
  await settle();
  return { world, client, seen };
}

async function openTabs(count: number) {
  const browser = new Browser();
  const tabs: Tab[] = [];
  for (let index = 0; index < count; index += 1) tabs.push(await openTab(browser));
  const [first] = tabs;
  first?.world.socket.welcome();
  await settle();
  return { browser, tabs: tabs as [Tab, Tab, Tab] };
}

const statuses = (tabs: readonly Tab[]) => tabs.map(({ client }) => client.state.status);

describe('tabs of one user', () => {
  it('share one socket, its state and its messages', async () => {
    const { tabs } = await openTabs(3);
    expect(tabs.map(({ world }) => world.sockets.length)).toEqual([1, 0, 0]);
    expect(statuses(tabs)).toEqual(['open', 'open', 'open']);
    tabs[0].world.socket.message('note', { a: 1 }, { id: '1.2' });
    await settle();
    expect(tabs.map(({ seen }) => seen)).toEqual([[{ a: 1 }], [{ a: 1 }], [{ a: 1 }]]);
    expect(tabs[0].world.socket.sent).toContainEqual({ type: 'ack', id: '1.2' });
    expect(tabs[0].world.socket.sent.filter(({ type }) => type === 'ack')).toHaveLength(1);
  });

  it('send through the owner, and learn the outcome', async () => {
    const { tabs } = await openTabs(2);
    expect(await tabs[1].client.send('note', { b: 2 })).toBe('sent');
    expect(await tabs[1].client.send('ready')).toBe('sent');
    expect(await tabs[1].client.send('note', 1n)).toBe('invalid');
    expect(tabs[0].world.socket.sent).toEqual([{ type: 'note', data: { b: 2 } }, { type: 'ready' }]);
  });

  it('a new tab learns the state from the owner', async () => {
    const { browser, tabs } = await openTabs(1);
    const late = await openTab(browser);
    expect(late.client.state).toEqual(tabs[0].client.state);
  });

  it('of another user, or of another address, have their own', async () => {
    const { browser } = await openTabs(1);
    const other = await openTab(browser, { user: 8 });
    const elsewhere = await openTab(browser, { url: 'wss://else.example/ws' });
    expect([other, elsewhere].map(({ world }) => world.sockets.length)).toEqual([1, 1]);
  });

  it('one takes over if the owner is closed, and the others follow it', async () => {
    const { tabs } = await openTabs(3);
    const states: State[] = [];
    tabs[2].client.subscribe((state) => states.push(state));
    tabs[0].client.close();
    await settle();
    expect(tabs[0].world.socket.isClosed).toBe(true);
    expect(tabs[1].world.sockets).toHaveLength(1);
    tabs[1].world.socket.welcome({ resumed: true });
    await settle();
    expect(statuses(tabs)).toEqual(['closed', 'open', 'open']);
    expect(states.map(({ status }) => status)).toEqual(['connecting', 'open']);
    expect(await tabs[2].client.send('note')).toBe('sent');
    expect([tabs[0].world.timers, tabs[0].world.listeners()]).toEqual([0, 0]);
  });

  it('stay away together after 4001, even if the owner is then closed, until one asks to connect', async () => {
    const { tabs } = await openTabs(3);
    tabs[0].world.socket.end(4001, 'replaced');
    await settle();
    expect(statuses(tabs)).toEqual(['closed', 'closed', 'closed']);
    expect(await tabs[1].client.send('note')).toBe('closed');
    tabs[0].client.close();
    await settle();
    tabs[1].world.clock.advance(60_000);
    expect(tabs[1].world.sockets).toEqual([]);
    tabs[2].client.connect();
    await settle();
    tabs[1].world.socket.welcome();
    await settle();
    expect(statuses(tabs)).toEqual(['closed', 'open', 'open']);
  });

  it('connect again if a new tab is opened after a logout', async () => {
    const { browser, tabs } = await openTabs(2);
    tabs[0].world.socket.end(4000, 'logout');
    await settle();
    const late = await openTab(browser);
    const states: string[] = [];
    late.client.subscribe(({ status }) => states.push(status));
    expect(late.client.state.status).toBe('connecting');
    tabs[0].world.socket.welcome();
    await settle();
    expect(statuses([...tabs, late])).toEqual(['open', 'open', 'open']);
    expect(states).toEqual(['open']);
  });

  it('if the owner dies, messages in transit are unknown, and waiting ones go to the next owner', async () => {
    const browser = new Browser();
    const owner = await openTab(browser);
    const other = await openTab(browser);
    // The owner has no connection: it keeps the message.
    const early = other.client.send('early');
    await settle();
    owner.client.close();
    expect(await early).toBe('unknown');
    const late = other.client.send('late');
    other.world.socket.welcome();
    expect(await late).toBe('sent');
  });

  it('have a bounded number of messages to the owner', async () => {
    const browser = new Browser();
    await openTab(browser);
    const other = await openTab(browser, { queueLimit: 2 });
    const outcomes: SendOutcome[] = [];
    for (let index = 0; index < 3; index += 1)
      void other.client.send('note').then((outcome) => outcomes.push(outcome));
    await settle();
    expect(outcomes).toEqual(['queue-full']);
    other.client.close();
    await settle();
    expect(outcomes).toEqual(['queue-full', 'unknown', 'unknown']);
  });

  it('a page in the cache leaves the connection to the others, and later joins them again', async () => {
    const { tabs } = await openTabs(2);
    tabs[0].world.fire('pagehide');
    await settle();
    expect(tabs[0].client.state).toEqual({ status: 'paused', reason: 'page-hidden' });
    tabs[1].world.socket.welcome();
    await settle();
    tabs[0].world.fire('pageshow');
    await settle();
    expect(statuses(tabs)).toEqual(['open', 'open']);
    expect(tabs.map(({ world }) => world.sockets.length)).toEqual([1, 1]);
    tabs[1].world.socket.message('note', 5);
    await settle();
    expect(tabs[0].seen).toEqual([5]);
  });

  it('a signal ends one tab and leaves the others', async () => {
    const browser = new Browser();
    const abort = new AbortController();
    const first = await openTab(browser, { signal: abort.signal });
    const second = await openTab(browser);
    abort.abort();
    await settle();
    expect(first.client.state).toEqual({ status: 'closed', reason: 'aborted' });
    first.client.connect();
    await settle();
    expect([first, second].map(({ world }) => world.sockets.length)).toEqual([1, 1]);
    expect(first.world.socket.isClosed).toBe(true);
  });
});

describe('a page that may not share', () => {
  const forbidden = (): never => {
    throw new Error('SecurityError');
  };
  it.each([
    ['has no Web Locks', undefined],
    ['may not open a channel', { locks: new Browser().tabs().locks, channel: forbidden }],
    ['may not ask for a lock', { locks: { request: forbidden }, channel: new Browser().tabs().channel }],
    [
      'learns late that it may not lock',
      { locks: { request: () => Promise.reject(new Error('no')) }, channel: new Browser().tabs().channel },
    ],
  ])('%s, and has a connection of its own', async (_case, tabs) => {
    const world = new World(tabs);
    const client = new SharedConnection({ token: 'secret', user: 7 }, world.env);
    client.connect();
    await settle();
    world.socket.welcome();
    expect(client.state.status).toBe('open');
    expect(await client.send('note')).toBe('sent');
    expect(world.reported).toEqual([]);
    client.close();
    expect(client.state.status).toBe('closed');
  });

  it('garbage in the channel has no effect', async () => {
    const { browser, tabs } = await openTabs(2);
    const { postMessage } = browser.tabs().channel('lingxi.v1 wss://game.example/ws 7');
    for (const note of [
      null,
      7,
      'x',
      {},
      { kind: 'outcome', id: 'none' },
      { kind: 'message' },
      { kind: 'send' },
    ])
      postMessage(note);
    await settle();
    expect(statuses(tabs)).toEqual(['open', 'open']);
    expect(await tabs[1].client.send('note')).toBe('sent');
  });
});
