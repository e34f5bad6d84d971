import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { eventually, sleep } from '../support/ports.ts';
import { type Deployment, deploy, freshUser, KNOWN_USERS } from '../support/stores.ts';
import { signToken } from '../support/tokens.ts';

/** As short as the seed's own servers have it. */
const WEAK_SECRET = 'secret';
const CHINESE = /[\u4e00-\u9fff]/;

describe.each(['bun', 'node'] as const)("the seed's programs under LINGXI_PROFILE=seed on %s", (runtime) => {
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

  /** The page of the seed, in ten lines: socket first, HTTP login just after, a ping each second. */
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

  it('says every setting of the profile with its risk at start', () => {
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
    it('opens the page, plays, and sees no message type that it does not know', async () => {
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
      // The seed's page comes back by itself whatever the close code, 3 s later.
      await second.closed;
      const third = await openPage(user);
      expect((await player(user)).body).toMatchObject({ status: 'online' });
      expect(await inSet(user)).toBe(true);
      third.socket.terminate();
    });

    it('has two tabs open and neither throws the other out', async () => {
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

    it('is refused in Chinese, with 400, where the game does not know it', async () => {
      const answer = await online('login', { playerId: KNOWN_USERS + 1 });
      expect(answer.status).toBe(400);
      expect(String(answer.body['error'])).toMatch(CHINESE);
    });
  });

  it('needs no credential on the five endpoints and ignores a stale one', async () => {
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

  it('takes the ip of a body from the open API when it is not empty', async () => {
    const user = freshUser();
    await online('login', { playerId: user, ip: '198.51.100.9' });
    expect((await player(user)).body['ip']).toBe('198.51.100.9');
    await online('logout', { playerId: user });
  });

  it('keeps no record of a user who is offline', async () => {
    const user = freshUser();
    await online('login', { playerId: user });
    await online('logout', { playerId: user });
    await eventually(async () => {
      expect(await deployment.stores.redis?.cli('EXISTS', `player:online:${user}`)).toBe('0');
    });
    expect(await inSet(user)).toBe(false);
  });

  it('lets a growth job credit nobody for time before the login', async () => {
    const user = freshUser();
    await deployment.stores.postgres?.query(
      "UPDATE users SET last_spirit_gain_time = now() - interval '1 year' WHERE id = $1",
      [user],
    );
    let most = 0;
    let done = false;
    // The job of the seed: SMEMBERS, then EXISTS, then SQL; here without its pause of a second.
    const job = (async () => {
      while (!done) {
        if (!(await inSet(user))) continue;
        if ((await deployment.stores.redis?.cli('EXISTS', `player:online:${user}`)) !== '1') continue;
        most = Math.max(most, Date.now() - ((await deployment.userTime(user)) ?? 0));
      }
    })();
    const page = await openPage(user);
    await sleep(700);
    done = true;
    await job;
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThan(5_000);
    page.socket.terminate();
  });
});
