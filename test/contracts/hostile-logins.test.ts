import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { handshake, openUnread } from '../support/raw-socket.ts';
import { type Deployment, deploy, freshUser } from '../support/stores.ts';
import { startWitness, type Witness } from '../support/witness.ts';
import { type ConnectOptions, connect, tryConnect } from '../support/ws-client.ts';

const LOGINS_PER_MINUTE = 6;
/** Number of credentials that may fail from one address in 10 s. */
const MAX_FAILURES = 100;
const ATTEMPTS = 160;
/** A machine that other tests share may take this long. */
const MAX_WAIT_MS = 3_000;

describe.each(['bun', 'node'] as const)('hostile logins on %s', (runtime) => {
  let deployment: Deployment;
  let witness: Witness;
  beforeAll(async () => {
    deployment = await deploy({
      runtime,
      kind: 'embedded',
      env: {
        LINGXI_LEGACY_OPEN_API: 'true',
        // The witness pings as often as the default allows. This file does not test that limit.
        LINGXI_MAX_MESSAGES_PER_SECOND: '1000',
        LINGXI_TRUSTED_PROXIES: '127.0.0.0/8',
        LINGXI_LOGINS_PER_MINUTE: String(LOGINS_PER_MINUTE),
      },
    });
    witness = await startWitness(deployment.gateway);
  });
  afterAll(async () => {
    witness?.stop();
    await deployment?.stop();
  });
  beforeEach(() => witness.forget());
  afterEach(() => witness.noticedNothing(MAX_WAIT_MS));

  let lastNetwork = 0;
  /** Addresses of one IPv6 /64 that no other test uses. Each call returns a new one. */
  const network = () => {
    lastNetwork += 1;
    const prefix = `2001:db8:0:${lastNetwork.toString(16)}`;
    let host = 0;
    return () => {
      host += 1;
      return { 'X-Forwarded-For': `${prefix}::${host.toString(16)}` };
    };
  };
  const upgradeStatus = async (options: ConnectOptions) => {
    const outcome = await tryConnect(deployment.gateway.wsUrl, options);
    if ('status' in outcome) return outcome.status;
    outcome.terminate();
    return 101;
  };
  const forge = (user: number) =>
    deployment.gateway.token(user, { secret: 'another-secret-0123456789abcdef0123456789' });
  const call = (verb: string, user: number, headers: Record<string, string> = {}) =>
    deployment.gateway.call('POST', `/api/online/${verb}`, { body: { playerId: user }, headers });
  const service = (headers: Record<string, string>, key: string) =>
    deployment.gateway.call('GET', '/api/nodes', {
      headers: { ...headers, authorization: `Bearer ${key}` },
    });
  const counted = (statuses: readonly number[]) => {
    const counts: Record<number, number> = {};
    for (const status of statuses) counts[status] = (counts[status] ?? 0) + 1;
    return counts;
  };
  const repeated = async (times: number, attempt: () => Promise<number>) => {
    const statuses: number[] = [];
    for (let count = 0; count < times; count += 1) statuses.push(await attempt());
    return statuses;
  };

  it('two thousand handshakes that are refused at once delay no other client', async () => {
    const port = deployment.gateway.port();
    // These sockets never read, because the witness shares this process.
    const sockets = await Promise.all(Array.from({ length: 2_000 }, () => openUnread(port)));
    witness.forget();
    for (const socket of sockets) socket.write(handshake('/ws', 'no-token'));
    await witness.noticedNothing(MAX_WAIT_MS);
    for (const socket of sockets) socket.destroy();
  });

  it('forged tokens from one IPv6 /64 get 429, and valid ones from there still pass', async () => {
    const from = network();
    const statuses = await repeated(ATTEMPTS, () =>
      upgradeStatus({ token: forge(freshUser()), headers: from() }),
    );
    expect(counted(statuses)).toEqual({ 401: MAX_FAILURES, 429: ATTEMPTS - MAX_FAILURES });
    const refused = await tryConnect(deployment.gateway.wsUrl, { token: 'x.y.z', headers: from() });
    if (!('status' in refused)) throw new Error('the upgrade was granted');
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(10);
    const valid = deployment.gateway.token(freshUser());
    expect(await upgradeStatus({ token: valid, headers: from() })).toBe(101);
    // HTTP has the same count, because the address is the same.
    const forged = await deployment.gateway.call('POST', '/api/online/status', {
      token: forge(1),
      headers: from(),
      body: { userIds: [1] },
    });
    expect(forged.status).toBe(429);
    expect(await upgradeStatus({ token: forge(1), headers: network()() })).toBe(401);
  });

  it('expired tokens that the server signed do not count as forged', async () => {
    const headers = network()();
    const expired = await repeated(ATTEMPTS, () =>
      upgradeStatus({ token: deployment.gateway.token(freshUser(), { expiresInS: -5 }), headers }),
    );
    expect(counted(expired)).toEqual({ 401: ATTEMPTS });
    expect(await upgradeStatus({ token: deployment.gateway.token(freshUser()), headers })).toBe(101);
  });

  it('wrong service keys get 429; the right key and valid tokens from the same address still pass', async () => {
    const from = network();
    const answers = await Promise.all(
      Array.from({ length: ATTEMPTS }, (_, index) => service(from(), `wrong-service-key-${index}`)),
    );
    expect(counted(answers.map(({ status }) => status))).toEqual({
      401: MAX_FAILURES,
      429: ATTEMPTS - MAX_FAILURES,
    });
    const locked = answers.find(({ status }) => status === 429);
    expect(locked?.body['code']).toBe('rate-limited');
    expect(Number(locked?.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    // A route that is open to everybody must not show whether a key is correct.
    const stats = (key: string) =>
      deployment.gateway.call('GET', '/ws/stats', {
        headers: { ...from(), authorization: `Bearer ${key}` },
      });
    expect((await stats('wrong-service-key')).status).toBe(429);
    expect((await stats(deployment.gateway.token(1))).status).toBe(200);
    expect((await service(from(), deployment.gateway.apiKey)).status).toBe(200);
    expect((await service(from(), deployment.gateway.token(1))).status).toBe(403);
    expect((await service(network()(), 'wrong-service-key')).status).toBe(401);
  });

  it('a user may open LINGXI_LOGINS_PER_MINUTE periods a minute, by HTTP and by socket', async () => {
    const user = freshUser();
    for (let count = 0; count < LOGINS_PER_MINUTE; count += 1) {
      expect((await call('login', user)).status).toBe(200);
      expect((await call('logout', user)).status).toBe(200);
    }
    const tooMany = await call('login', user);
    expect([tooMany.status, tooMany.body['code']]).toEqual([429, 'rate-limited']);
    expect(tooMany.headers.get('retry-after')).toBe(String(60 / LOGINS_PER_MINUTE));
    const token = deployment.gateway.token(user);
    const upgrade = await tryConnect(deployment.gateway.wsUrl, { token });
    if (!('status' in upgrade)) throw new Error('the upgrade was granted');
    expect([upgrade.status, upgrade.body['code']]).toEqual([429, 'rate-limited']);
    expect(upgrade.headers['retry-after']).toBe(String(60 / LOGINS_PER_MINUTE));
    expect(await deployment.periods(user)).toHaveLength(LOGINS_PER_MINUTE);
    // The refused logins leave nobody online.
    const player = await deployment.gateway.service('GET', `/api/online/player/${user}`);
    expect(player.body['status']).toBe('offline');
    expect((await call('login', freshUser())).status).toBe(200);
  });

  it('joining a running period does not count', async () => {
    const user = freshUser();
    const token = deployment.gateway.token(user);
    const client = await connect(deployment.gateway.wsUrl, { token });
    for (let count = 0; count < 3 * LOGINS_PER_MINUTE; count += 1) {
      expect((await call('login', user)).status).toBe(200);
      const next = await connect(deployment.gateway.wsUrl, { token });
      next.terminate();
      await next.closed;
    }
    expect(await deployment.periods(user)).toHaveLength(1);
    client.terminate();
  });

  it('the open API creates 100 users at once from one address, then one a second', async () => {
    const from = network();
    const began = performance.now();
    const users = Array.from({ length: 400 }, freshUser);
    const answers = await Promise.all(users.map((user) => call('login', user, from())));
    const tookS = (performance.now() - began) / 1000;
    const counts = counted(answers.map(({ status }) => status));
    expect(counts[200]).toBeGreaterThanOrEqual(100);
    expect(counts[200]).toBeLessThanOrEqual(101 + tookS);
    expect((counts[200] ?? 0) + (counts[429] ?? 0)).toBe(400);
    const refused = users[answers.findIndex(({ status }) => status === 429)] ?? 0;
    const known = users[answers.findIndex(({ status }) => status === 200)] ?? 0;
    expect(await deployment.userTime(refused)).toBeUndefined();
    expect(await deployment.periods(refused)).toEqual([]);
    // Users with a credential, known users and users from other addresses do not count.
    expect((await call('logout', known, from())).status).toBe(200);
    expect((await call('login', known, from())).status).toBe(200);
    const vouched = await Promise.all(
      Array.from({ length: 20 }, () =>
        deployment.gateway.call('POST', '/api/online/login', {
          service: true,
          headers: from(),
          body: { playerId: freshUser() },
        }),
      ),
    );
    expect(counted(vouched.map(({ status }) => status))).toEqual({ 200: 20 });
    expect(await upgradeStatus({ token: deployment.gateway.token(freshUser()), headers: from() })).toBe(101);
    expect((await call('login', refused, network()())).status).toBe(200);
  });
});
