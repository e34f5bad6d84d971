import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { eventually, sleep } from '../support/ports.ts';
import { type Deployment, deploy, freshUser, KNOWN_USERS, ONE_OF_EACH } from '../support/stores.ts';
import { signToken } from '../support/tokens.ts';
import { refusal } from '../support/ws-client.ts';

const RUNTIMES = ['bun', 'node'] as const;

/** As short as on the Go server that Lingxi replaces. */
const WEAK_SECRET = 'secret';
const CHINESE = /[\u4e00-\u9fff]/;

describe.concurrent.each(RUNTIMES)('programs of the Go server, profile seed, on %s', (runtime) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy({
      runtime,
      kind: 'redis+postgres',
      env: { LINGXI_PROFILE: 'seed', JWT_SECRET: WEAK_SECRET },
    });
  });
  afterAll(() => deployment?.stop());

  const token = (user: number) => signToken(WEAK_SECRET, user, { claim: 'id' });
  const online = (verb: string, body: object, headers: Record<string, string> = {}) =>
    deployment.gateway.call('POST', `/api/online/${verb}`, { body, headers });
  const player = (user: number) => deployment.gateway.call('GET', `/api/online/player/${user}`);
  const inSet = async (user: number) =>
    (await deployment.stores.redis?.cli('SISMEMBER', 'server:online:players', String(user))) === '1';

  /** The page of the Go game in ten lines: first the socket, then the HTTP login, then a ping each second. */
  const openPage = async (user: number) => {
    const socket = new WebSocket(`${deployment.gateway.wsUrl}?userId=${user}&token=${token(user)}`);
    const types: string[] = [];
    socket.on('message', (text) => types.push((JSON.parse(String(text)) as { type: string }).type));
    const closed = new Promise<number>((resolve) => socket.once('close', resolve));
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    await online('login', { playerId: String(user), ip: '' });
    const timer = setInterval(
      () => socket.send(JSON.stringify({ type: 'ping', timestamp: Date.now() })),
      1_000,
    );
    socket.once('close', () => clearInterval(timer));
    return { socket, types, closed };
  };

  it.sequential('prints every setting of the profile with its risk at start', () => {
    const printed = deployment.gateway.printed();
    for (const name of [
      'LINGXI_LEGACY_OPEN_API',
      'LINGXI_QUERY_TOKEN',
      'LINGXI_SESSION_POLICY',
      'LINGXI_UNKNOWN_USERS',
      'LINGXI_LAST_SEEN_TTL_S',
      'LINGXI_LANGUAGE',
      'JWT_SECRET',
    ]) {
      expect(printed).toContain(name);
    }
  });

  describe.concurrent('a player', () => {
    it('opens the page, plays, and gets no unknown message type', async () => {
      const user = freshUser();
      const page = await openPage(user);
      await sleep(1_500);
      expect(page.types).toEqual([]);
      const answer = await player(user);
      expect(answer.body).toMatchObject({ playerId: String(user), status: 'online', connections: 1 });
      expect(await inSet(user)).toBe(true);
      expect(await deployment.periods(user)).toHaveLength(1);
      page.socket.terminate();
    });

    it('reloads the page: the logout of the old page arrives after the new socket', async () => {
      const user = freshUser();
      const first = await openPage(user);
      first.socket.close();
      const second = await openPage(user);
      const late = await online('logout', { playerId: user });
      expect(late.status).toBe(200);
      // The page of the Go server reconnects by itself after any close code, 3 s later.
      await second.closed;
      const third = await openPage(user);
      expect((await player(user)).body).toMatchObject({ status: 'online' });
      expect(await inSet(user)).toBe(true);
      third.socket.terminate();
    });

    it('has two tabs open, and neither tab closes the other', async () => {
      const user = freshUser();
      const pages = [await openPage(user), await openPage(user)];
      await sleep(1_500);
      const open = pages.map((page) => page.socket.readyState === page.socket.OPEN);
      expect(open).toEqual([true, true]);
      for (const page of pages) page.socket.terminate();
    });

    it('logs in by HTTP, waits exactly 10 s, then connects', async () => {
      const user = freshUser();
      const login = await online('login', { playerId: user, ip: '' });
      await sleep(10_000);
      const page = await openPage(user);
      expect((await player(user)).body).toMatchObject({
        status: 'online',
        loginTime: login.body['loginTime'],
      });
      page.socket.terminate();
    });

    it('logs out twice and gets the recorded time with 200', async () => {
      const user = freshUser();
      await online('login', { playerId: user });
      const first = await online('logout', { playerId: user });
      await eventually(async () => expect((await deployment.periods(user))[0]?.settledAt).not.toBeNull());
      const second = await online('logout', { playerId: String(user) });
      expect(second.status).toBe(200);
      expect(second.body['logoutTime']).toBe(first.body['logoutTime']);
    });

    it('is refused in Chinese with 400 if the game does not know the user', async () => {
      const answer = await online('login', { playerId: KNOWN_USERS + 1 });
      expect(answer.status).toBe(400);
      expect(String(answer.body['error'])).toMatch(CHINESE);
    });
  });

  it.sequential('needs no credential on the five endpoints and ignores a stale one', async () => {
    const user = freshUser();
    const stale = { authorization: `Bearer ${signToken(WEAK_SECRET, user, { expiresInS: -60 })}` };
    expect((await online('login', { playerId: user }, stale)).status).toBe(200);
    expect((await online('heartbeat', { playerId: user }, stale)).status).toBe(200);
    const { gateway } = deployment;
    expect((await gateway.call('GET', '/api/online/players', { headers: stale })).status).toBe(200);
    expect((await gateway.call('GET', `/api/online/player/${user}`, { headers: stale })).status).toBe(200);
    expect((await online('logout', { playerId: user }, stale)).status).toBe(200);
    const push = { to: { userId: user }, type: 'n', data: 1 };
    expect((await gateway.call('POST', '/api/messages', { body: push })).status).toBe(401);
  });

  it.sequential('the open API accepts the ip of a body if it is not empty', async () => {
    const user = freshUser();
    await online('login', { playerId: user, ip: '198.51.100.9' });
    expect((await player(user)).body['ip']).toBe('198.51.100.9');
    await online('logout', { playerId: user });
  });

  it.sequential('the server keeps no record of an offline user', async () => {
    const user = freshUser();
    await online('login', { playerId: user });
    await online('logout', { playerId: user });
    await eventually(async () => {
      expect(await deployment.stores.redis?.cli('EXISTS', `player:online:${user}`)).toBe('0');
    });
    expect(await inSet(user)).toBe(false);
  });

  it.sequential('a growth job credits no user for time before the login', async () => {
    const user = freshUser();
    await deployment.stores.postgres?.query(
      "UPDATE users SET last_spirit_gain_time = now() - interval '1 year' WHERE id = $1",
      [user],
    );
    let most = 0;
    let done = false;
    // The growth job of the Go game: SMEMBERS, then EXISTS, then SQL, but without its pause of a second.
    const job = (async () => {
      while (!done) {
        if (!(await inSet(user))) continue;
        if ((await deployment.stores.redis?.cli('EXISTS', `player:online:${user}`)) !== '1') continue;
        most = Math.max(most, Date.now() - ((await deployment.userTime(user)) ?? 0));
      }
    })();
    const page = await openPage(user);
    await sleep(700);
    await eventually(() => expect(most).toBeGreaterThan(0));
    done = true;
    await job;
    // Without the reset it would be a year.
    expect(most).toBeLessThan(60_000);
    page.socket.terminate();
  });
});

describe.concurrent.each(ONE_OF_EACH)('LINGXI_PROFILE=seed on $runtime over $kind', ({ runtime, kind }) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy({ runtime, kind, env: { LINGXI_PROFILE: 'seed', JWT_SECRET: WEAK_SECRET } });
  });
  afterAll(() => deployment?.stop());

  const address = (user: number): string => {
    const token = signToken(WEAK_SECRET, user, { claim: 'id' });
    return `${deployment.gateway.wsUrl}?userId=${user}&token=${token}`;
  };
  const ask = (verb: string, body: object) =>
    deployment.gateway.call('POST', `/api/online/${verb}`, { body });
  const player = (user: number) => deployment.gateway.call('GET', `/api/online/player/${user}`);

  /** The page of the Go server. It reconnects after any close code, after 3 s times the attempt; in this test sooner. */
  const openPage = (user: number) => {
    const page = { opened: 0, refused: 0, present: undefined as WebSocket | undefined, isOver: false };
    const dial = (): void => {
      if (page.isOver) return;
      const socket = new WebSocket(address(user));
      page.present = socket;
      socket.once('open', () => {
        page.opened += 1;
        void ask('login', { playerId: String(user), ip: '' });
      });
      socket.on('error', () => undefined);
      socket.once('unexpected-response', (_request, response) => {
        if (response.statusCode === 403) page.refused += 1;
        response.resume();
        socket.emit('close');
      });
      socket.once('close', () => setTimeout(dial, 100));
    };
    dial();
    return {
      page,
      close: () => {
        page.isOver = true;
        page.present?.terminate();
      },
    };
  };

  it.sequential('accepts the page on every store', async () => {
    const user = freshUser();
    const { page, close } = openPage(user);
    await eventually(() => expect(page.opened).toBe(1));
    expect((await ask('login', { playerId: user })).status).toBe(200);
    expect((await player(user)).body).toMatchObject({ status: 'online', connections: 1 });
    close();
  });

  it.sequential('shows nothing about an offline user, before and after the logout is settled', async () => {
    const user = freshUser();
    await ask('login', { playerId: user });
    const logout = await ask('logout', { playerId: user });
    const shown = async () => {
      const { status, body } = await player(user);
      return [status, body['code']];
    };
    expect(await shown()).toEqual([404, 'unknown-user']);
    await eventually(async () => expect((await deployment.periods(user))[0]?.settledAt).not.toBeNull());
    expect(await shown()).toEqual([404, 'unknown-user']);
    // Only the answer to the page's second logout has the recorded time.
    expect((await ask('logout', { playerId: user })).body['logoutTime']).toBe(logout.body['logoutTime']);
  });

  it.sequential('a page reconnects by itself after a logout, unless the logout blocks it for a while', async () => {
    const user = freshUser();
    const { page, close } = openPage(user);
    const logout = (body: object) =>
      deployment.gateway.service('POST', '/api/online/logout', { playerId: String(user), ...body });
    await eventually(async () => expect((await player(user)).status).toBe(200));
    expect((await logout({})).status).toBe(200);
    await eventually(() => expect(page.opened).toBe(2));
    await eventually(async () => expect((await player(user)).status).toBe(200));
    expect((await logout({ blockMs: 300_000 })).status).toBe(200);
    await eventually(() => expect(page.refused).toBeGreaterThan(1));
    expect((await ask('login', { playerId: user })).status).toBe(403);
    expect([page.opened, (await player(user)).status]).toEqual([2, 404]);
    const { body } = await deployment.gateway.call('GET', '/api/online/players');
    expect((body['players'] as { playerId: string }[]).map(({ playerId }) => playerId)).not.toContain(
      String(user),
    );
    await logout({ blockMs: 0 });
    await eventually(() => expect(page.opened).toBe(3));
    close();
  });

  it.sequential('the step "log everybody out" of MIGRATING works while pages are open', async () => {
    const guide = readFileSync(new URL('../../docs/MIGRATING.md', import.meta.url), 'utf8');
    const [, step = ''] = /^```sh\nB=http:\/\/localhost:3000; (KEY=[^]*?)^```$/m.exec(guide) ?? [];
    const { gateway } = deployment;
    const users = Array.from({ length: 5 }, freshUser);
    const pages = users.map(openPage);
    const online = async () => {
      const { body } = await gateway.service('GET', '/api/online/players');
      return (body['players'] as { playerId: string }[]).map(({ playerId }) => playerId);
    };
    // Users of earlier tests may be online too.
    await eventually(async () => expect(await online()).toEqual(expect.arrayContaining(users.map(String))));
    const env = { ...process.env, B: gateway.url, LINGXI_API_KEY: gateway.apiKey };
    await promisify(execFile)('sh', ['-c', step], { env, timeout: 20_000 });
    // A page that has been refused has no earlier socket that still opens.
    await eventually(() => {
      for (const { page } of pages) expect(page.refused).toBeGreaterThan(0);
    });
    const opened = pages.map(({ page }) => page.opened);
    await eventually(
      () => {
        for (const { page } of pages) expect(page.refused).toBeGreaterThan(3);
      },
      { timeoutMs: 20_000 },
    );
    expect(await online()).toEqual([]);
    expect(pages.map(({ page }) => page.opened)).toEqual(opened);
    await eventually(async () => {
      for (const user of users) expect((await deployment.periods(user)).at(-1)?.settledAt).not.toBeNull();
    });
    for (const { close } of pages) close();
  });

  it.sequential('only the service can block, even with the open API', async () => {
    const answer = await ask('logout', { playerId: freshUser(), blockMs: 1000 });
    expect([answer.status, answer.body['code']]).toEqual([403, 'forbidden']);
  });

  it.sequential('the refusal of a client without a token names ?token=', async () => {
    const { gateway } = deployment;
    const { status, body } = await refusal(gateway.wsUrl, { query: '?userId=1' });
    expect([status, body['code']]).toEqual([400, 'missing-credentials']);
    expect(String(body['error'])).toContain('?token=');
    expect(String(body['error'])).toMatch(CHINESE);
  });
});
