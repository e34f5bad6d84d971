import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually, sleep } from '../support/ports.ts';
import { askRaw, requestText } from '../support/raw-http.ts';
import { freshUser } from '../support/stores.ts';
import { type Client, connect } from '../support/ws-client.ts';

const RUNTIMES = ['bun', 'node'] as const;
/** Players who lose their sockets must return within this time, on a machine that other tests use too. */
const TIMEOUT_MS = 5_000;
/** More users than the game has places. */
const FLOODERS = 550;
const ENV = { LINGXI_HEARTBEAT_TIMEOUT_MS: String(TIMEOUT_MS), LINGXI_PING_INTERVAL_MS: '500' };

async function open(
  gateway: Gateway,
  user: number,
  name = 'Ann',
  protocol: 'seed' | 'lingxi.v1' = 'lingxi.v1',
) {
  const token = gateway.token(user, { name });
  return protocol === 'seed'
    ? connect(gateway.wsUrl, { query: `?token=${token}` })
    : connect(gateway.wsUrl, { protocols: ['lingxi.v1', `bearer.${token}`] });
}

async function joined(client: Client, data: unknown = {}) {
  client.send({ type: 'game:join', data });
  return (await client.next('game:state')).data as Readonly<Record<string, number>> & { away?: Away };
}

describe.concurrent.each(RUNTIMES)('the back end of the demo game on %s', (runtime) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({ runtime, stores: 'embedded', env: ENV });
  });
  afterAll(() => gateway?.stop());

  it('spirit grows for a player who is online, by the clock of the server, and each event contains the growth', async () => {
    const user = freshUser();
    const client = await open(gateway, user);
    const state = await joined(client);
    expect(state).toMatchObject({ spiritRate: 1, level: 1, power: 10, grownUnseen: 0 });
    let before = (await client.next('spirit:grow')).data as Grown;
    for (let count = 0; count < 2; count += 1) {
      const grown = (await client.next('spirit:grow')).data as Grown;
      expect(Object.keys(grown).sort()).toEqual([
        'elapsedSeconds',
        'gainAmount',
        'newSpirit',
        'oldSpirit',
        'spiritRate',
        'timestamp',
        'userId',
      ]);
      expect(grown.userId).toBe(user);
      expect(grown.oldSpirit).toBe(before.newSpirit);
      expect(grown.newSpirit - grown.oldSpirit).toBeCloseTo(grown.gainAmount, 1);
      expect(grown.gainAmount).toBeCloseTo(grown.spiritRate * grown.elapsedSeconds, 1);
      before = grown;
    }
    client.terminate();
  });

  it('a client that does not join gets no messages from the game', async () => {
    const client = await open(gateway, freshUser());
    await client.next('welcome');
    const player = await open(gateway, freshUser());
    await joined(player);
    await player.next('spirit:grow');
    await player.next('spirit:grow');
    expect(client.messages.filter(({ type }) => !['welcome', 'pong'].includes(type))).toEqual([]);
    client.terminate();
    player.terminate();
  });

  it('nothing is credited for time offline: growth stops at the logout that Lingxi settled', async () => {
    const user = freshUser();
    const silent = await open(gateway, user, 'Ann', 'seed');
    await joined(silent);
    await silent.next('spirit:grow');
    // A client without lingxi.v1 that sends nothing is logged out.
    const { code } = await silent.closed;
    expect(code).toBe(4100);
    const last = silent.messages.filter(({ type }) => type === 'spirit:grow').at(-1)?.data as Grown;
    const logoutTime = await eventually(async () => {
      const { body } = await gateway.service('GET', `/api/online/player/${user}`);
      expect(body['status']).toBe('offline');
      return body['logoutTime'] as number;
    });
    await sleep(2_500);
    const returned = performance.now();
    const back = await open(gateway, user);
    const state = await joined(back);
    const backS = (performance.now() - returned) / 1000;
    expect(state.away).toMatchObject({ from: logoutTime, cause: 'timeout' });
    const { from = 0, to = 0 } = state.away ?? {};
    expect(to - from).toBeGreaterThanOrEqual(2_400);
    // The growth since the last event is that until the logout, plus that since the return. The event has whole seconds.
    const untilLogoutS = logoutTime / 1000 - last.timestamp;
    expect((state['spirit'] ?? 0) - last.newSpirit).toBeLessThan(untilLogoutS + backS + 0.3);
    expect((state['spirit'] ?? 0) - last.newSpirit).toBeGreaterThan(untilLogoutS - 1 - 0.3);
    back.terminate();
  });

  it('a player who only loses the socket stays online, and spirit grows meanwhile', async () => {
    const user = freshUser();
    const first = await open(gateway, user);
    await joined(first);
    await first.next('spirit:grow');
    first.terminate();
    // Growth goes to the lost socket until the server notices the loss.
    await eventually(async () => {
      const { body } = await gateway.service('GET', `/api/users/${user}/connections`);
      expect(body['connections']).toEqual([]);
    });
    // Growth comes once a second. The rest of the timeout is for a busy machine.
    await sleep(1_500);
    const second = await open(gateway, user);
    const state = await joined(second);
    expect(state.away).toBe(undefined);
    // A second that ends before the game gets the join sends its growth to the new socket.
    const types = second.messages.map(({ type }) => type);
    const early = second.messages.slice(0, types.indexOf('game:state'));
    const seen = early.filter(({ type }) => type === 'spirit:grow').map(({ data }) => data as Grown);
    const grown = seen.reduce((sum, { gainAmount }) => sum + gainAmount, state['grownUnseen'] ?? Number.NaN);
    expect(grown).toBeGreaterThan(0.5);
    second.terminate();
  });

  it('the three other events of the Go game have their fields, in the language of the page', async () => {
    const user = freshUser();
    const client = await open(gateway, user, '<b>Name</b>');
    await joined(client, { language: 'zh' });
    const board = (await client.next('leaderboard:update')).data as Readonly<Record<string, unknown>>;
    expect(board).toMatchObject({
      type: 'full_refresh',
      category: 'spirit',
      userRank: { rank: expect.any(Number) },
    });
    const own = (board['top10'] as readonly Record<string, unknown>[]).find(({ userId }) => userId === user);
    if (own !== undefined) expect(own['username']).toBe('<b>Name</b>');
    client.send({ type: 'game:dungeon' });
    client.send({ type: 'game:dungeon' });
    client.send({ type: 'game:explore' });
    const kinds = (type: string): readonly unknown[] =>
      client.messages
        .filter((message) => message.type === type)
        .map(({ data }) => {
          const fields = data as Readonly<Record<string, unknown>>;
          expect(fields['message']).toMatch(/[一-鿿]/);
          return fields['eventType'];
        });
    const ends = ['complete', 'failure'];
    await client.next(({ data }) => ends.includes((data as { eventType?: string }).eventType ?? ''), 20_000);
    const [fight, walk] = [kinds('dungeon:event'), kinds('exploration:event')];
    expect(fight.filter((kind) => kind === 'start')).toHaveLength(1);
    expect(fight).toContain('combat_round');
    expect(['defeat', 'treasure']).toContain(fight.at(-1));
    expect(walk.slice(0, 2)).toEqual(['start', 'progress']);
    expect(walk).toContain('discovery');
    client.terminate();
  });

  it.each([null, 7, 'x', [], { language: {} }, { language: '<b>' }, { __proto__: { language: 'zh' } }])(
    'accepts any data of game:join: %j',
    async (data) => {
      const client = await open(gateway, freshUser());
      expect(await joined(client, data)).toMatchObject({ level: 1 });
      client.terminate();
    },
  );
});

describe.concurrent.each(RUNTIMES)('POST /dev/kill and a game whose node is killed, on %s', (runtime) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({ runtime, stores: 'embedded', env: ENV });
  });
  afterAll(() => gateway?.stop());

  const ask = (headers: Record<string, string>, method = 'POST') =>
    askRaw(
      gateway.port(),
      requestText(method, '/dev/kill', { headers: { Host: `localhost:${gateway.port()}`, ...headers } }),
    );

  it.each<[string, Record<string, string>]>([
    ['X-Forwarded-For', { 'X-Forwarded-For': '127.0.0.1' }],
    ['Forwarded', { Forwarded: 'for=127.0.0.1' }],
    ['Via', { Via: '1.1 proxy' }],
    ['CF-Ray', { 'CF-Ray': '1' }],
    ['a foreign Origin', { Origin: 'https://evil.example' }],
    ['a local file', { Origin: 'null' }],
    ['a page of another port', { Origin: 'http://localhost:5173' }],
    ['another site', { 'Sec-Fetch-Site': 'cross-site' }],
    ['another port without an Origin', { 'Sec-Fetch-Site': 'same-site' }],
    ['a name that was rebound', { Host: 'evil.example' }],
    ['a name that was rebound, and its page', { Host: 'evil.example', Origin: 'http://evil.example' }],
  ])('refuses %s, and the node lives on', async (_name, headers) => {
    expect((await ask(headers)).status).toBe(404);
    await sleep(200);
    expect((await gateway.call('GET', '/healthz')).status).toBe(200);
  });

  it.sequential('does not accept GET, so that no link and no picture kills a node', async () => {
    expect((await ask({}, 'GET')).status).toBe(405);
  });

  it.sequential('does not exist in production', async () => {
    const production = await startGateway({ runtime, stores: 'embedded', env: { NODE_ENV: 'production' } });
    try {
      expect((await production.call('POST', '/dev/kill')).status).toBe(404);
      expect((await production.call('GET', `/dev/timeline/1`, { token: production.token(1) })).status).toBe(
        404,
      );
      expect(existsSync(join(production.dataDir, 'data', 'demo-game.json'))).toBe(false);
    } finally {
      await production.stop();
    }
  });

  it.sequential('a dead node takes nothing from its players: the period continues, and so does the growth', async () => {
    const user = freshUser();
    const client = await open(gateway, user);
    await joined(client);
    const grown = (await client.next('spirit:grow')).data as Grown;
    await eventually(() => expect(savedOf(gateway, user)).toBeDefined(), { timeoutMs: 8_000 });
    await gateway.restart();
    const back = await open(gateway, user);
    const state = await joined(back);
    expect(state['spirit']).toBeGreaterThanOrEqual(grown.newSpirit);
    expect(state.away).toBe(undefined);
    back.terminate();
  });

  it.sequential('a file of another form does not prevent the start of the server', async () => {
    const path = join(gateway.dataDir, 'data', 'demo-game.json');
    for (const text of ['', '{', '{}', '[null, 1, {"userId": "x"}]']) {
      await gateway.kill();
      writeFileSync(path, text);
      await gateway.restart();
      const client = await open(gateway, freshUser());
      await joined(client);
      client.terminate();
    }
  }, 90_000);

  it.sequential('answers, prints how to start again, and ends the process as kill -9 does', async () => {
    const page = await ask({ Origin: `http://localhost:${gateway.port()}`, 'Sec-Fetch-Site': 'same-origin' });
    expect([page.status, JSON.parse(page.body)]).toMatchObject([200, { killed: true }]);
    expect((await gateway.exited()).signal).toBe('SIGKILL');
    expect(gateway.printed()).toContain('Start it again as you started it (npm start)');
    expect(gateway.logs().some(({ event }) => event === 'stopped')).toBe(false);
  });
});

describe.concurrent('GET /dev/timeline/:id', () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({ runtime: 'bun', stores: 'embedded', env: ENV });
  });
  afterAll(() => gateway?.stop());

  it("shows a user's own timeline, to a token of that user on this machine", async () => {
    const user = freshUser();
    const own = gateway.token(user);
    const ask = (token: string | undefined, headers: Record<string, string> = {}) =>
      gateway.call('GET', `/dev/timeline/${user}`, { ...(token === undefined ? {} : { token }), headers });
    await gateway.call('POST', '/api/online/login', { token: own, body: { playerId: user } });
    const answer = await ask(own);
    expect(answer.body).toMatchObject({ entries: [{ event: 'online' }], settlementsPending: 0 });
    expect((await ask(undefined)).status).toBe(401);
    expect((await ask(gateway.token(freshUser()))).status).toBe(403);
    expect((await ask(own, { 'x-forwarded-for': '127.0.0.1' })).status).toBe(404);
  });
});

// It times pongs, so it runs alone.
describe.each(RUNTIMES)('a game on %s with more users than places', (runtime) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({ runtime, stores: 'embedded', env: ENV });
  });
  afterAll(() => gateway?.stop());

  it('a flood of joins gets one welcome per player and second, and delays no player', {
    timeout: 60_000,
  }, async () => {
    const witness = await open(gateway, freshUser());
    const crowd: Client[] = [];
    // In parts: a busy machine refuses a storm of logins.
    while (crowd.length < FLOODERS)
      crowd.push(...(await Promise.all(Array.from({ length: 50 }, () => open(gateway, freshUser())))));
    const began = performance.now();
    const flood = setInterval(() => {
      for (const client of crowd) client.send({ type: 'game:join', data: {} });
    }, 50);
    const waits: number[] = [];
    try {
      while (performance.now() - began < 4_000) {
        const sent = witness.ping();
        await witness.next('pong');
        waits.push(performance.now() - sent);
        await sleep(20);
      }
    } finally {
      clearInterval(flood);
    }
    const seconds = (performance.now() - began) / 1000;
    const answers = crowd.map(
      ({ messages }) =>
        messages.filter(({ type }) => type === 'game:state' || type === 'game:refused').length,
    );
    expect(Math.max(...answers)).toBeLessThanOrEqual(Math.ceil(seconds) + 1);
    expect(Math.min(...answers)).toBeGreaterThan(0);
    expect(Math.max(...waits)).toBeLessThan(4_000);
    for (const client of [witness, ...crowd]) client.terminate();
  });
});

interface Away {
  readonly from: number;
  readonly to: number;
  readonly cause: string;
}

interface Grown {
  readonly userId: number;
  readonly timestamp: number;
  readonly oldSpirit: number;
  readonly newSpirit: number;
  readonly gainAmount: number;
  readonly spiritRate: number;
  readonly elapsedSeconds: number;
}

function savedOf(gateway: Gateway, user: number): unknown {
  const text = readFileSync(join(gateway.dataDir, 'data', 'demo-game.json'), 'utf8');
  return (JSON.parse(text) as readonly { userId: number }[]).find(({ userId }) => userId === user);
}
