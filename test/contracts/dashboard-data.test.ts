import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deployEach } from '../support/deploy-each.ts';
import { type Gateway } from '../support/gateway-process.ts';
import { type LiveStream, openLive } from '../support/live-stream.ts';
import { eventually, sleep } from '../support/ports.ts';
import { type PresenceView, viewPresence } from '../support/presence-view.ts';
import { type Deployment, deploy, freshUser, ONE_OF_EACH } from '../support/stores.ts';
import { connect } from '../support/ws-client.ts';

const VIEW_KEY = 'test-view-key-0123456789abcdef0123456789';
/** Less than the half second between two events. */
const AT_ONCE_MS = 450;
const OLD_VIEW_KEY = 'old-test-view-key-0123456789abcdef012345';

/** Requests that a view key must not make, each with a body that the service key could send. */
const CHANGES: readonly (readonly [method: string, path: string, body?: unknown])[] = [
  ['POST', '/api/messages', { to: { userId: 1 }, type: 'news', data: {} }],
  ['POST', '/api/online/login', { playerId: '1' }],
  ['POST', '/api/online/heartbeat', { playerId: '1' }],
  ['POST', '/api/online/logout', { playerId: '1' }],
  ['POST', '/api/users/1/disconnect', {}],
  ['POST', '/api/users/1/revoke'],
  ['POST', '/api/groups/team', { add: [1] }],
  ['POST', '/api/tickets'],
  ['POST', '/api/drain'],
  ['DELETE', '/api/drain'],
];

const READS: readonly (readonly [method: string, path: string, body?: unknown])[] = [
  ['GET', '/api/online/players'],
  ['GET', '/api/nodes'],
  ['GET', '/api/users/1/connections'],
  ['GET', '/api/users/1/timeline'],
  ['GET', '/api/online/events'],
  ['GET', '/api/groups/team'],
  ['GET', '/metrics'],
  ['GET', '/api/dashboard/users'],
  ['GET', '/api/dashboard/users/1'],
  ['GET', '/api/dashboard/config'],
  ['POST', '/api/online/status', { userIds: [1] }],
];

const deployed = deployEach(ONE_OF_EACH, {
  LINGXI_VIEW_KEY: `${VIEW_KEY},${OLD_VIEW_KEY}`,
  LINGXI_UNKNOWN_USERS: 'ignore',
  LINGXI_LOGINS_PER_MINUTE: '0',
  LINGXI_NODE_NAME: 'board',
});

describe.concurrent.each(ONE_OF_EACH)('data of the dashboard: $runtime, $kind', ({ runtime, kind }) => {
  let deployment: Deployment;
  let gateway: Gateway;
  let view: PresenceView;
  const streams: LiveStream[] = [];
  beforeAll(async () => {
    deployment = deployed({ runtime, kind });
    gateway = deployment.gateway;
    view = viewPresence(deployment);
    await view.login(freshUser());
  });
  afterAll(() => {
    for (const stream of streams) stream.stop();
  });

  const asViewer = (method: string, path: string, body?: unknown, key = VIEW_KEY) =>
    gateway.call(method, path, { headers: { authorization: `Bearer ${key}` }, body });
  const live = async (key = VIEW_KEY): Promise<LiveStream> => {
    const stream = await openLive(gateway.url, key);
    streams.push(stream);
    return stream;
  };
  const users = async (query: string) => {
    const { status, body } = await asViewer('GET', `/api/dashboard/users?${query}`);
    return { status, ...body } as unknown as {
      readonly status: number;
      readonly total: number;
      readonly matched: number;
      readonly users: readonly Readonly<Record<string, unknown>>[];
      readonly partial?: string;
    };
  };

  it.sequential.each(READS.map((asked) => ({ asked })))(
    '[DB1] the view key may $asked.0 $asked.1, even the older one of two',
    async ({ asked }) => {
      const [method, path, body] = asked;
      for (const key of [VIEW_KEY, OLD_VIEW_KEY]) {
        expect((await asViewer(method, path, body, key)).status).toBe(200);
      }
      expect((await asViewer(method, path, body, `${VIEW_KEY}x`)).status).toBe(
        path === '/metrics' ? 200 : 401,
      );
    },
  );

  it.sequential.each(CHANGES.map((asked) => ({ asked })))(
    '[DB1] the view key may not $asked.0 $asked.1, and the answer says that it is read-only',
    async ({ asked }) => {
      const answer = await asViewer(...asked);
      expect([answer.status, answer.body['code']]).toEqual([403, 'forbidden']);
      expect(answer.body['error']).toContain('read-only');
    },
  );

  it.sequential('the view key gets the service part of the statistics, and an anonymous caller does not', async () => {
    expect((await asViewer('GET', '/ws/stats')).body).toHaveProperty('logins');
    expect((await gateway.call('GET', '/ws/stats')).body).not.toHaveProperty('logins');
  });

  it.sequential('a user token gets 403 from the data of the dashboard, and an anonymous caller gets 401', async () => {
    for (const path of ['live', 'users', 'users/1', 'config']) {
      const address = `/api/dashboard/${path}`;
      const asUser = await gateway.call('GET', address, { token: gateway.token(freshUser()) });
      expect([asUser.status, asUser.body['code']]).toEqual([403, 'forbidden']);
      expect((await gateway.call('GET', address)).status).toBe(401);
    }
  });

  it.sequential('[DB2] the live stream begins at once, sends an event every half second, and must not be buffered', async () => {
    let opened = performance.now();
    let stream = await live(gateway.apiKey);
    let first = await stream.next();
    // A busy machine may be slow once. A stream that begins with the next half second is always late.
    for (let tries = 1; tries < 5 && performance.now() - opened >= AT_ONCE_MS; tries += 1) {
      stream.stop();
      await sleep(1_000);
      opened = performance.now();
      stream = await live(gateway.apiKey);
      first = await stream.next();
    }
    expect(performance.now() - opened).toBeLessThan(AT_ONCE_MS);
    expect(stream.headers.get('content-type')).toContain('text/event-stream');
    expect(stream.headers.get('x-accel-buffering')).toBe('no');
    expect(stream.headers.get('cache-control')).toBe('no-store');
    expect(first).toMatchObject({
      version: expect.any(String),
      runtime: expect.stringContaining(runtime),
      presenceAvailable: true,
      settlement: { available: true, setAside: 0 },
      queues: { dispatchCapacity: 256, sendCapacity: expect.any(Number), pushStream: 0 },
      nodes: [{ name: 'board', state: 'live', answered: true, draining: false }],
    });
    for (let event = 0; event < 10; event += 1) await stream.next();
    expect(performance.now() - opened).toBeGreaterThan(4_500);
    expect(stream.comments()).toBeGreaterThanOrEqual(2);
    stream.stop();
  }, 40_000);

  it.sequential('the totals follow logins, heartbeats, messages and logouts', async () => {
    const stream = await live();
    const before = await stream.next();
    const user = freshUser();
    const client = await view.v1(user);
    await gateway.service('POST', '/api/messages', { to: { userId: user }, type: 'news', data: {} });
    await gateway.service('POST', '/api/messages', { to: { userId: 999_999 }, type: 'news', data: {} });
    await view.logout(user);
    await client.closed;
    const after = await stream.until(
      ({ totals }) => totals.logouts['logout'] === before.totals.logouts['logout'] + 1,
    );
    expect(after.totals.logins).toBe(before.totals.logins + 1);
    expect(after.totals.messages['written']).toBe((before.totals.messages['written'] ?? 0) + 1);
    expect(after.totals.messages['offline']).toBe((before.totals.messages['offline'] ?? 0) + 1);
    expect(after.basis).toBe(before.basis);
    stream.stop();
  });

  it.sequential('answers 503 to the 51st live stream, and accepts another when one has ended', async () => {
    const open: LiveStream[] = [];
    // The server may still hold the place of the test before.
    for (let index = 0; index < 50; index += 1) open.push(await eventually(() => live()));
    await expect(openLive(gateway.url, VIEW_KEY)).rejects.toThrow('503');
    for (const stream of open) stream.stop();
    await eventually(async () => (await live()).stop());
  });

  it.sequential('a HEAD request opens no stream', async () => {
    for (let index = 0; index < 51; index += 1) {
      const answer = await gateway.call('HEAD', '/api/dashboard/live', { service: true });
      expect(answer.status).toBe(200);
    }
    (await live()).stop();
  });

  it.sequential('shows a user in each state, with address, node and times, and the page of the user has the same state', async () => {
    const [active, background, lingering, http] = [freshUser(), freshUser(), freshUser(), freshUser()];
    const clients = await Promise.all([active, background, lingering].map((user) => view.v1(user)));
    clients[1]?.send({ type: 'state', data: { value: 'background' } });
    clients[2]?.terminate();
    await view.login(http);
    await eventually(async () => {
      const states = [];
      for (const user of [active, background, lingering, http]) {
        const found = (await users(`search=${user}&sort=user&order=asc`)).users.find(
          ({ userId }) => userId === user,
        );
        states.push(found?.['state']);
        const page = await gateway.service('GET', `/api/dashboard/users/${user}`);
        expect(page.body['state']).toBe(found?.['state']);
        expect(found).toMatchObject({
          node: expect.stringMatching(/^board:/),
          nodes: [expect.stringMatching(/^board:/)],
          ip: '127.0.0.1',
          since: expect.any(Number),
        });
        expect(Math.abs(Date.now() - Number(found?.['lastHeartbeat']))).toBeLessThan(10_000);
      }
      expect(states).toEqual(['active', 'background', 'lingering', 'http']);
    });
    const found = await users('search=state:background');
    expect(found.users.map(({ userId }) => userId)).toContain(background);
    expect(found.users.every(({ state }) => state === 'background')).toBe(true);
    for (const client of clients) client.terminate();
  });

  it.sequential('finds users by id, name, node and address, and sorts by each column in both directions', async () => {
    // The gateway removes control and direction characters from a name. Markup stays, like any other text.
    const names = [
      { name: '<script>alert(1)</script>', word: '<script>', shown: '<script>alert(1)</script>' },
      { name: 'Ünïcode\u202edrow', word: 'ÜNÏ', shown: expect.stringMatching(/^Ünïcode[^\u202e]*drow$/) },
      {
        name: 'tab\tand\u0007bell',
        word: 'bell',
        shown: expect.stringMatching(/^tab[^\t]*and[^\u0007]*bell$/),
      },
      { name: '云游 Dao', word: '云游', shown: '云游 Dao' },
    ];
    const members = names.map((named) => ({ ...named, user: 70_000 + freshUser() }));
    const clients = [];
    for (const { user, name } of members)
      clients.push(await connect(gateway.wsUrl, { token: gateway.token(user, { claims: { name } }) }));
    for (const { user, word, shown } of members) {
      const found = await users(`search=${encodeURIComponent(word)}`);
      expect(found.users.map(({ userId, username }) => [userId, username])).toEqual([[user, shown]]);
    }
    expect((await users('search=SCRIPT')).matched).toBe(1);
    expect((await users('search=700%20dao')).matched).toBe(1);
    expect((await users('search=node:board%20ip:127.0.0.%20700')).matched).toBe(names.length);
    expect((await users('search=node:elsewhere')).matched).toBe(0);
    for (const [sort, field] of [
      ['since', 'since'],
      ['heartbeat', 'lastHeartbeat'],
      ['user', 'userId'],
      ['name', 'username'],
      ['node', 'node'],
    ] as const) {
      for (const order of ['asc', 'desc'] as const) {
        const shown = (await users(`sort=${sort}&order=${order}&search=700`)).users.map(
          (user) => user[field],
        );
        const keys = shown.map((value) => (typeof value === 'string' ? value.toLowerCase() : Number(value)));
        const sorted = [...keys].sort((left, right) => (left < right ? -1 : left > right ? 1 : 0));
        expect(keys).toHaveLength(names.length);
        expect(keys).toEqual(order === 'asc' ? sorted : sorted.reverse());
      }
    }
    const pages = [];
    for (let offset = 0; offset < names.length; offset += 1)
      pages.push(...(await users(`sort=user&order=asc&search=700&limit=1&offset=${offset}`)).users);
    expect(pages.map(({ userId }) => userId)).toEqual(members.map(({ user }) => user));
    expect((await users('search=700&offset=900000')).users).toEqual([]);
    for (const client of clients) client.terminate();
  });

  it.sequential.each([
    'limit=0',
    'limit=201',
    'limit=-1',
    'limit=1e2',
    'offset=-1',
    'offset=1.5',
    'offset=99999999',
    'sort=password',
    'order=up',
    `search=${'x'.repeat(201)}`,
  ])('answers 400 to %s', async (query) => {
    const { status, body } = await asViewer('GET', `/api/dashboard/users?${query}`);
    expect([status, body['code']]).toEqual([400, 'invalid-body']);
  });

  it.sequential('shows everything about a user: player, connections, groups; and nothing about an unknown user', async () => {
    const user = freshUser();
    const client = await connect(gateway.wsUrl, {
      token: gateway.token(user, { claims: { groups: ['by-token'] } }),
      protocols: ['lingxi.v1'],
    });
    await gateway.service('POST', '/api/groups/by-service', { add: [user] });
    const { body } = await asViewer('GET', `/api/dashboard/users/${user}`);
    expect(body).toMatchObject({
      player: { playerId: String(user), status: 'online', connections: 1 },
      connections: [{ protocol: 'lingxi.v1', address: '127.0.0.1', node: expect.stringMatching(/^board:/) }],
      groups: ['by-service', 'by-token'],
    });
    client.terminate();
    const stranger = await asViewer('GET', '/api/dashboard/users/123456789');
    expect([stranger.status, stranger.body]).toEqual([200, { player: null, connections: [], groups: [] }]);
    expect((await asViewer('GET', '/api/dashboard/users/x')).status).toBe(400);
  });

  it.sequential('[DB4] shows the present configuration without any secret or part of a secret', async () => {
    const { text, body } = await asViewer('GET', '/api/dashboard/config');
    const keys = body['keys'] as readonly Readonly<Record<string, unknown>>[];
    const key = (name: string) => keys.find((shown) => shown['name'] === name);
    expect(body['access']).toBe('view');
    expect(key('LINGXI_NODE_NAME')).toMatchObject({
      value: 'board',
      source: 'environment',
      isDefault: false,
    });
    expect(key('LINGXI_HEARTBEAT_TIMEOUT_MS')).toMatchObject({
      isDefault: true,
      source: 'default',
      value: '10000',
    });
    expect(key('LINGXI_API_KEY')).toMatchObject({
      value: `set, ${gateway.apiKey.length} characters`,
      secret: true,
      section: 'Server and credentials',
    });
    expect(key('LINGXI_VIEW_KEY')?.['value']).toBe(
      'set, 41 characters; set, 41 characters'.replaceAll('41', '40'),
    );
    for (const secret of [gateway.apiKey, gateway.jwtSecret, VIEW_KEY, OLD_VIEW_KEY])
      for (let at = 0; at + 8 <= secret.length; at += 4)
        expect(text).not.toContain(secret.slice(at, at + 12));
    const { settings } = deployment.stores;
    if (settings !== 'embedded') {
      const password = new URL(settings.databaseUrl).password;
      if (password !== '') expect(text).not.toContain(password);
      expect(key('REDIS_URL')?.['value']).toMatch(/^redis:\/\//);
    }
  });

  it.sequential('[DB4] the log never contains a view key', () => {
    expect(gateway.printed()).not.toContain(VIEW_KEY);
  });
});

// It times the stop, so it runs alone.
it.each(['bun', 'node'] as const)(
  'a stop by %s ends the open live streams, and does not wait for them',
  async (runtime) => {
    const own = await deploy({
      runtime,
      kind: 'embedded',
      env: { LINGXI_VIEW_KEY: VIEW_KEY, LINGXI_DRAIN_TIMEOUT_MS: '20000' },
    });
    const stream = await openLive(own.gateway.url, VIEW_KEY);
    await stream.next();
    const began = performance.now();
    await own.gateway.terminate();
    await stream.ended;
    // Far less than the drain timeout.
    expect(performance.now() - began).toBeLessThan(8_000);
    await own.stop();
  },
  60_000,
);
