import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Game, type Site, startSite } from '../browser/site.ts';
import { startChromiumProcess } from '../support/chromium-process.ts';
import { type Gateway, type Runtime, startGateway } from '../support/gateway-process.ts';
import { eventually, sleep } from '../support/ports.ts';
import { freshUser } from '../support/stores.ts';
import { connectDevtools, type Devtools, type Tab } from './devtools.ts';

/** Chromium lets the timers of a hidden page run once a minute after five minutes; here after 5 s. */
const THROTTLING = '--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/5';
const GRACE_MS = 5_000;
/** A page without throttling ticks 60 times in this time. */
const PROOF_MS = 60_000;
const MOST_TICKS = 10;
const BACKGROUND_MS = 120_000;
const HEARTBEAT_TIMEOUT_MS = 10_000;
/** A timer of a hidden page may be this late, and the backoff may need two timers. */
const COME_BACK_MS = 150_000;
/** The same for a visible page, on a busy machine. */
const SHOWN_MS = 8_000;
/** More than all buffers between the gateway and the page can hold. */
const FLOOD = { messages: 60, bytes: 700_000 };

interface Player {
  readonly user: number;
  readonly gateway: Gateway;
  readonly tab: Tab;
  /** States of its client before it was frozen. */
  known: number;
}

const VARIANTS = (['bun', 'node'] as const).flatMap((runtime) =>
  (['a connection of its own', 'a shared connection'] as const).map((kind) => ({ runtime, kind })),
);
type Variant = (typeof VARIANTS)[number];

let site: Site;
let devtools: Devtools;
const gateways = new Map<string, Gateway>();
/** The tab that hides all others. */
let shown: Tab;
/** Protocol pongs do not count here. */
let strict: Player;
const players = new Map<string, Player>();
let hiddenAt = 0;

beforeAll(async () => {
  const start = async (runtime: Runtime, mode: string): Promise<void> => {
    const env = { LINGXI_HEARTBEAT_MODE: mode, LINGXI_WRITE_TIMEOUT_MS: '2000' };
    gateways.set(`${runtime} ${mode}`, await startGateway({ runtime, stores: 'embedded', env }));
  };
  const process = startChromiumProcess({ flags: [THROTTLING] });
  [site] = await Promise.all([
    startSite(),
    start('bun', 'auto'),
    start('node', 'auto'),
    start('node', 'client'),
  ]);
  devtools = await connectDevtools(await process);
  strict = await play('node client', false);
  for (const { runtime, kind } of VARIANTS)
    players.set(`${runtime} ${kind}`, await play(`${runtime} auto`, kind === 'a shared connection'));
  shown = await devtools.open(`${site.url}/elsewhere`);
  hiddenAt = performance.now();
});
afterAll(async () => {
  await devtools?.close();
  await site?.stop();
  for (const gateway of gateways.values()) await gateway.stop();
});

async function play(name: string, shared: boolean): Promise<Player> {
  const gateway = gateways.get(name);
  if (gateway === undefined) throw new Error(`no gateway ${name}`);
  const user = freshUser();
  const tab = await devtools.open(`${site.url}/play`);
  await eventually(async () => expect(await tab.evaluate('typeof game')).toBe('object'));
  const options = { url: gateway.wsUrl, token: gateway.token(user), shared, user };
  await tab.evaluate(`(() => {
    game.ticks = 0;
    setInterval(() => { game.ticks += 1; }, 1000);
    game.start(${JSON.stringify(options)});
  })()`);
  const player = { user, gateway, tab, known: 0 };
  await untilOpen(player, 10_000);
  return player;
}

const gameOf = ({ tab }: Player): Promise<Pick<Game, 'states' | 'notes' | 'errors'> & { ticks: number }> =>
  tab.evaluate('({ ...game, client: undefined })');

function untilOpen(player: Player, timeoutMs: number): Promise<void> {
  return eventually(
    async () => {
      const { states } = await gameOf(player);
      if (states.at(-1)?.status !== 'open') throw new Error(`not open: ${JSON.stringify(states)}`);
    },
    { timeoutMs, intervalMs: 100 },
  );
}

async function freeze(player: Player): Promise<void> {
  player.known = (await gameOf(player)).states.length;
  await player.tab.freeze(true);
}

/** Thaws the page and returns how its client reconnected. */
async function comeBack(player: Player, timeoutMs: number): Promise<string> {
  await player.tab.freeze(false);
  return eventually(
    async () => {
      const states = (await gameOf(player)).states.slice(player.known);
      const back = states.find(({ status }) => status === 'open');
      if (back === undefined) throw new Error(`not back: ${JSON.stringify(states)}`);
      return back.reason;
    },
    { timeoutMs, intervalMs: 100 },
  );
}

async function logoutsOf({ gateway, user }: Player): Promise<number> {
  const { body } = await gateway.service('GET', '/api/online/events?limit=1000');
  const events = body['events'] as readonly { userId: number; type: string }[];
  return events.filter(({ userId, type }) => userId === user && type === 'offline').length;
}

async function connectionsOf({ gateway, user }: Player): Promise<readonly Record<string, unknown>[]> {
  const { body } = await gateway.service('GET', `/api/users/${user}/connections`);
  return body['connections'] as readonly Record<string, unknown>[];
}

async function push({ gateway, user }: Player, type: string, data: unknown): Promise<unknown> {
  const { body } = await gateway.service('POST', '/api/messages', { to: { userId: user }, type, data });
  return (body['results'] as readonly Record<string, unknown>[])[0]?.['status'];
}

/** Freezes the page, and sends it more than it can hold, until the server closes its connection. */
async function freezeUntilClosed(player: Player): Promise<void> {
  await freeze(player);
  const text = 'x'.repeat(FLOOD.bytes);
  for (let sent = 0; sent < FLOOD.messages; sent += 1) await push(player, 'flood', text);
  await eventually(async () => expect(await connectionsOf(player)).toEqual([]), { timeoutMs: 20_000 });
  // The page itself cannot see the code: it comes after the data that the page did not read.
  const closed = player.gateway
    .logs()
    .filter(({ event, userId }) => event === 'disconnected' && userId === player.user);
  expect(closed.at(-1)).toMatchObject({ cause: 'slow-consumer' });
}

function playerOf({ runtime, kind }: Variant): Player {
  const player = players.get(`${runtime} ${kind}`);
  if (player === undefined) throw new Error('no such page');
  return player;
}

describe('pages in the background', () => {
  it('are hidden, and their own interval of 1 s ticks at most 10 times in 60 s', async () => {
    await sleep(hiddenAt + GRACE_MS + 5_000 - performance.now());
    const all = [strict, ...players.values()];
    const before = await Promise.all(all.map(gameOf));
    await sleep(PROOF_MS);
    for (const [index, player] of all.entries()) {
      expect(await player.tab.evaluate('document.visibilityState')).toBe('hidden');
      expect((await gameOf(player)).ticks - (before[index]?.ticks ?? 0)).toBeLessThanOrEqual(MOST_TICKS);
    }
  }, 120_000);

  it.each(VARIANTS)(
    'with $kind to a gateway on $runtime stay online for two minutes',
    async (variant) => {
      const player = playerOf(variant);
      await sleep(hiddenAt + BACKGROUND_MS - performance.now());
      const { states, errors } = await gameOf(player);
      expect(states.map(({ status }) => status)).toEqual(['connecting', 'open'].slice(-states.length));
      expect(errors).toEqual([]);
      expect(await logoutsOf(player)).toBe(0);
      expect(await connectionsOf(player)).toMatchObject([{ state: 'background' }]);
      expect(await push(player, 'note', 1)).toBe('written');
      await eventually(async () => expect((await gameOf(player)).notes).toEqual([1]));
    },
    BACKGROUND_MS + 30_000,
  );

  it("[HB3] stay online by the browser's answers to the server's pings: without those they are logged out", async () => {
    expect(await logoutsOf(strict)).toBeGreaterThan(0);
    expect((await gameOf(strict)).states).toContainEqual(
      expect.objectContaining({ status: 'waiting', reason: 'heartbeat-timeout' }),
    );
  });
});

describe('frozen pages', () => {
  it.concurrent.each(VARIANTS)(
    'with $kind to a gateway on $runtime stay online, and reconnect by themselves when they are thawed',
    async (variant) => {
      const player = playerOf(variant);
      const [before] = await connectionsOf(player);
      await freeze(player);
      await sleep(HEARTBEAT_TIMEOUT_MS + 5_000);
      // The browser still answers the server's pings.
      expect((await connectionsOf(player))[0]?.['connectionId']).toBe(before?.['connectionId']);
      // The browser still ends the socket as soon as the page runs again.
      expect(await comeBack(player, COME_BACK_MS)).toBe('resumed');
      expect(await push(player, 'note', 2)).toBe('written');
      await eventually(async () => expect((await gameOf(player)).notes.at(-1)).toBe(2));
      expect(await logoutsOf(player)).toBe(0);
    },
    COME_BACK_MS + 60_000,
  );
});

describe('frozen pages that get more than they can hold', () => {
  it.concurrent.each(VARIANTS)(
    'with $kind to a gateway on $runtime reconnect by themselves after 4101 and a timeout, although they are hidden',
    async (variant) => {
      const player = playerOf(variant);
      await freezeUntilClosed(player);
      await eventually(async () => expect(await logoutsOf(player)).toBe(1), { timeoutMs: 30_000 });
      expect(await comeBack(player, COME_BACK_MS)).toBe('connected');
      expect((await gameOf(player)).errors).toEqual([]);
      expect(await push(player, 'note', 3)).toBe('written');
    },
    COME_BACK_MS + 60_000,
  );
});

describe('frozen pages that are shown again', () => {
  it.each(VARIANTS)(
    'with $kind to a gateway on $runtime reconnect within seconds after 4101, and were never offline',
    async (variant) => {
      const player = playerOf(variant);
      const before = await logoutsOf(player);
      await freezeUntilClosed(player);
      await player.tab.activate();
      expect(await comeBack(player, SHOWN_MS)).toBe('resumed');
      expect(await logoutsOf(player)).toBe(before);
      await shown.activate();
    },
  );

  it.each(VARIANTS)(
    'with $kind to a gateway on $runtime reconnect although the service has logged out their user meanwhile',
    async (variant) => {
      const player = playerOf(variant);
      await freeze(player);
      const body = { playerId: player.user };
      expect((await player.gateway.service('POST', '/api/online/logout', body)).status).toBe(200);
      await eventually(async () => expect(await connectionsOf(player)).toEqual([]));
      await player.tab.activate();
      // Chromium does not give the page a close code.
      expect(await comeBack(player, SHOWN_MS)).toBe('connected');
      await shown.activate();
    },
  );
});
