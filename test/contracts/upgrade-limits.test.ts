import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Deployment, deploy, freshUser, KNOWN_USERS } from '../support/stores.ts';
import { signToken } from '../support/tokens.ts';
import { type Client, type ConnectOptions, connect, refusal } from '../support/ws-client.ts';

const NEW_SECRET = 'rotating-new-secret-0123456789abcdef';
const OLD_SECRET = 'rotating-old-secret-0123456789abcdef';
const CHINESE = /[\u4e00-\u9fff]/;

describe.each(['bun', 'node'] as const)('upgrade limits in production on %s', (runtime) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy({
      runtime,
      kind: 'redis+postgres',
      env: {
        NODE_ENV: 'production',
        JWT_SECRET: `${NEW_SECRET},${OLD_SECRET}`,
        LINGXI_LANGUAGE: 'zh',
        LINGXI_MAX_CONNECTIONS: '4',
        LINGXI_MAX_CONNECTIONS_PER_IP: '3',
        LINGXI_TRUSTED_PROXIES: '127.0.0.0/8',
        LINGXI_LOGINS_PER_MINUTE: '3',
      },
    });
  });
  afterAll(() => deployment?.stop());

  const token = (user: number, secret = NEW_SECRET) => signToken(secret, user);
  const open = (options: ConnectOptions = {}) =>
    connect(deployment.gateway.wsUrl, { token: token(freshUser()), ...options });
  const refused = async (options: ConnectOptions, status: number, code: string) => {
    const answer = await refusal(deployment.gateway.wsUrl, options);
    expect({ status: answer.status, code: answer.body['code'] }).toEqual({ status, code });
    return answer;
  };
  const end = async (...clients: readonly Client[]) => {
    for (const client of clients) client.close();
    await Promise.all(clients.map((client) => client.closed));
  };

  it('logs version, runtime, node and stores at start, and no password', async () => {
    const { gateway, stores } = deployment;
    const started = await gateway.waitForLog('started');
    expect(started['version']).toMatch(/^\d+\.\d+\.\d+/);
    expect(started['runtime']).toMatch(runtime === 'bun' ? /^Bun \d/ : /^Node \d/);
    expect(started['node']).toMatch(/^[\w.-]+:[a-z0-9]+$/);
    const place = (address: string | undefined) => {
      const { protocol, host, pathname } = new URL(address ?? '');
      return `${protocol}//${host}${pathname}`;
    };
    expect(started['presence']).toBe(place(stores.redis?.url));
    expect(started['settlement']).toBe(place(stores.postgres?.url));
    const nodes = await gateway.service('GET', '/api/nodes');
    expect(nodes.body['nodes']).toMatchObject([{ node: started['node'] }]);
  });

  it('accepts tokens of both secrets while they rotate', async () => {
    const user = freshUser();
    await end(await open({ token: token(user) }));
    await end(await open({ token: token(user, OLD_SECRET) }));
  });

  it('ignores a token in the query in production', async () => {
    await refused({ query: `?token=${token(freshUser())}` }, 400, 'missing-credentials');
  });

  it('accepts its own origin and no other in production', async () => {
    const own = `http://127.0.0.1:${deployment.gateway.port()}`;
    await end(await open({ headers: { Origin: own } }));
    await refused(
      { token: token(freshUser()), headers: { Origin: 'https://evil.example' } },
      403,
      'origin-not-allowed',
    );
  });

  it('answers in LINGXI_LANGUAGE if the client prefers neither language', async () => {
    expect(String((await refused({}, 400, 'missing-credentials')).body['error'])).toMatch(CHINESE);
    const english = await refused({ headers: { 'Accept-Language': 'en' } }, 400, 'missing-credentials');
    expect(String(english.body['error'])).not.toMatch(CHINESE);
  });

  it('refuses a user without a row in the users table with 404, after the check for a mismatch', async () => {
    const stranger = KNOWN_USERS + 7;
    await refused({ token: token(stranger) }, 404, 'unknown-user');
    await refused({ token: token(stranger), query: '?userId=1' }, 403, 'user-mismatch');
    expect(await deployment.periods(stranger)).toEqual([]);
    expect(await deployment.stores.redis?.cli('EXISTS', `player:online:${stranger}`)).toBe('0');
  });

  it('refuses one address beyond its limit with 429, and every client beyond the limit of the node with 503', async () => {
    const clients = [await open(), await open(), await open()];
    const tooMany = await refused({ token: token(freshUser()) }, 429, 'rate-limited');
    expect(Number(tooMany.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    const elsewhere = { 'X-Forwarded-For': '203.0.113.9' };
    clients.push(await open({ headers: elsewhere }));
    const full = await refused({ token: token(freshUser()), headers: elsewhere }, 503, 'overloaded');
    expect(Number(full.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    // The limit is checked before the credentials.
    await refused({ headers: elsewhere }, 503, 'overloaded');
    await end(...clients);
    await end(await open());
  });

  it('refuses a user who opened too many periods with 429, and withdraws the opening', async () => {
    const { gateway, stores } = deployment;
    const user = freshUser();
    for (let count = 0; count < 3; count += 1) {
      await end(await open({ token: token(user) }));
      expect((await gateway.service('POST', '/api/online/logout', { playerId: user })).status).toBe(200);
    }
    const answer = await refused({ token: token(user) }, 429, 'rate-limited');
    expect(answer.headers['retry-after']).toBe('20');
    expect(await deployment.periods(user)).toHaveLength(3);
    expect(await stores.redis?.cli('SISMEMBER', 'server:online:players', String(user))).toBe('0');
    expect(await stores.redis?.cli('HGET', `player:online:${user}`, 'status')).toBe('offline');
  });

  it('shows the address from a trusted proxy', async () => {
    const user = freshUser();
    const client = await open({ token: token(user), headers: { 'X-Forwarded-For': '203.0.113.9' } });
    const player = await deployment.gateway.service('GET', `/api/online/player/${user}`);
    expect(player.body['ip']).toBe('203.0.113.9');
    await end(client);
  });
});
