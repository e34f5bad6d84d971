import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deployEach } from '../support/deploy-each.ts';
import { createFakeClock } from '../support/faketime-binaries.ts';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually } from '../support/ports.ts';
import { COMBINATIONS, type Deployment, freshUser, ONE_OF_EACH } from '../support/stores.ts';
import { BUN_AND_NODE, type Cluster, startCluster, wireOf } from '../support/two-nodes.ts';
import { type Client, connect, refusal } from '../support/ws-client.ts';

/** Within this time a revocation takes effect on every node. */
const IN_FORCE_MS = 1_000;

const revoke = (gateway: Gateway, user: number) => gateway.service('POST', `/api/users/${user}/revoke`);

/** A token that was issued this many seconds ago, or in the future. */
const issuedAgo = (gateway: Gateway, user: number, seconds: number) =>
  gateway.token(user, { claims: { iat: Math.floor(Date.now() / 1000) - seconds } });

const v1 = async (gateway: Gateway, token: string): Promise<Client> => {
  const client = await connect(gateway.wsUrl, { token, protocols: ['lingxi.v1'] });
  await client.next('welcome');
  return client;
};

/** The answers of socket, HTTP and ticket to a token. */
async function isRefused(gateway: Gateway, token: string): Promise<void> {
  const socket = await refusal(gateway.wsUrl, { token });
  expect([socket.status, socket.body['code']]).toEqual([401, 'invalid-token']);
  const http = await gateway.call('POST', '/api/tickets', { token });
  expect([http.status, http.body['code']]).toEqual([401, 'invalid-token']);
}

const deployed = deployEach(COMBINATIONS);

describe.concurrent.each(COMBINATIONS)('revocations on $runtime over $kind', ({ runtime, kind }) => {
  const place = COMBINATIONS.findIndex((one) => one.runtime === runtime && one.kind === kind);
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = deployed({ runtime, kind });
    const { gateway } = deployment;
    await eventually(async () => (await v1(gateway, gateway.token(freshUser()))).terminate());
  });

  it.sequential('[CR3] the connections close with 4003, the token is refused by socket and HTTP, a newer one is accepted', async () => {
    const { gateway } = deployment;
    const user = freshUser();
    const token = issuedAgo(gateway, user, 5);
    const client = await v1(gateway, token);
    const other = freshUser();
    const bystander = await v1(gateway, issuedAgo(gateway, other, 5));
    const before = Date.now();
    const { status, body } = await revoke(gateway, user);
    expect([status, body]).toEqual([200, { userId: user, revokedAt: expect.any(Number), connections: 1 }]);
    expect(Number(body['revokedAt'])).toBeGreaterThanOrEqual(before);
    expect(Number(body['revokedAt'])).toBeLessThanOrEqual(Date.now());
    const closed = await client.closed;
    expect([closed.code, closed.reason]).toEqual([4003, 'token-revoked']);
    expect(client.messages.some(({ type }) => type === 'goodbye')).toBe(false);
    await isRefused(gateway, token);
    (await v1(gateway, issuedAgo(gateway, user, -1))).terminate();
    bystander.ping();
    await bystander.next('pong');
    bystander.terminate();
    const audit = await gateway.waitForLog('audit', (line) => line['userId'] === user);
    expect(audit).toMatchObject({ action: 'revoke', userId: user, outcome: 'revoked' });
  });

  it.sequential('[CR3] a token of the same second, and one without iat, count as issued before the revocation', async () => {
    const { gateway } = deployment;
    const user = freshUser();
    const { body } = await revoke(gateway, user);
    const at = Number(body['revokedAt']);
    const withIat = (iat: unknown) => gateway.token(user, { claims: { iat } });
    await isRefused(gateway, withIat(Math.floor(at / 1000)));
    await isRefused(gateway, withIat(undefined));
    await isRefused(gateway, withIat(at / 1000));
    (await v1(gateway, withIat((at + 1) / 1000))).terminate();
    (await v1(gateway, withIat(Math.floor(at / 1000) + 1))).terminate();
  });

  it.sequential('[CR1] a token that expires while the process stands still ends its connection as soon as it runs again', async () => {
    const { gateway } = deployment;
    const exp = Math.ceil(Date.now() / 1000) + 4;
    const client = await v1(gateway, gateway.token(freshUser(), { claims: { exp } }));
    gateway.signalAll('SIGSTOP');
    // Not all at once, so that each process gets the processor when it runs again.
    const until = exp * 1000 + 500 + 400 * place;
    await new Promise((resolve) => setTimeout(resolve, until - Date.now()));
    const began = performance.now();
    gateway.signalAll('SIGCONT');
    const closed = await client.closed;
    expect([closed.code, closed.reason]).toEqual([4003, 'token-expired']);
    // Observed time went on for at most 1 s, so by that time the token would be valid for about 3 s more.
    expect(closed.at - began).toBeLessThan(2_000);
  });

  it.sequential('without a revocation a token needs no iat', async () => {
    const { gateway } = deployment;
    const token = gateway.token(freshUser(), { claims: { iat: undefined } });
    // The node of the test before stood still, and may have to restore its holds first.
    await eventually(async () => (await v1(gateway, token)).terminate());
  });

  it.sequential('the tokens of an offline or unknown user can be revoked; a malformed id gets 400', async () => {
    const { gateway } = deployment;
    const user = freshUser();
    const { status, body } = await revoke(gateway, user);
    expect([status, body['connections']]).toEqual([200, 0]);
    await isRefused(gateway, issuedAgo(gateway, user, 1));
    const wrong = await gateway.service('POST', '/api/users/01/revoke');
    expect([wrong.status, wrong.body['code']]).toEqual([400, 'invalid-user-id']);
    const byUser = await gateway.call('POST', `/api/users/${user}/revoke`, {
      token: gateway.token(freshUser()),
    });
    expect([byUser.status, byUser.body['code']]).toEqual([403, 'forbidden']);
  });

  it.sequential('[CR3] a renewal with a revoked token is refused, and keeps no revoked connection open', async () => {
    const { gateway } = deployment;
    const user = freshUser();
    await revoke(gateway, user);
    const client = await v1(gateway, issuedAgo(gateway, user, -1));
    client.send({ type: 'token', data: { token: issuedAgo(gateway, user, 3) } });
    expect((await client.next('error')).data).toMatchObject({ about: 'token', code: 'invalid-token' });
    client.send({ type: 'token', data: { token: gateway.token(user, { expiresInS: -1 }) } });
    expect((await client.next('error')).data).toMatchObject({ about: 'token', code: 'invalid-token' });
    client.send({ type: 'token', data: { token: gateway.token(freshUser()) } });
    expect((await client.next('error')).data).toMatchObject({ about: 'token', code: 'invalid-token' });
    client.ping();
    await client.next('pong');
    // A newer token that the client sent before the revocation is older than the revocation.
    const another = freshUser();
    const renewing = await v1(gateway, issuedAgo(gateway, another, 9));
    renewing.send({ type: 'token', data: { token: issuedAgo(gateway, another, 2) } });
    await renewing.next('token');
    await revoke(gateway, another);
    expect((await renewing.closed).code).toBe(4003);
    client.terminate();
  });

  it.sequential('a revocation of an earlier time does not close a connection that was renewed with a later token', async () => {
    const { gateway } = deployment;
    const user = freshUser();
    const client = await v1(gateway, issuedAgo(gateway, user, 9));
    client.send({ type: 'token', data: { token: issuedAgo(gateway, user, -3) } });
    await client.next('token');
    await revoke(gateway, user);
    client.ping();
    await client.next('pong');
    client.terminate();
  });

  it.sequential('a ticket of a revoked token is void', async () => {
    const { gateway } = deployment;
    const user = freshUser();
    const { body } = await gateway.call('POST', '/api/tickets', { token: issuedAgo(gateway, user, 1) });
    await revoke(gateway, user);
    const answer = await refusal(gateway.wsUrl, { query: `?ticket=${String(body['ticket'])}` });
    expect([answer.status, answer.body['code']]).toEqual([401, 'invalid-token']);
  });

  it.sequential('[CR3] it is in effect after kill -9 and a restart, before the first connection', async () => {
    const { gateway } = deployment;
    const user = freshUser();
    const token = issuedAgo(gateway, user, 1);
    await revoke(gateway, user);
    await gateway.restart();
    await isRefused(gateway, token);
    await eventually(async () => (await v1(gateway, issuedAgo(gateway, user, -1))).terminate(), {
      timeoutMs: 15_000,
    });
  });
});

describe.concurrent('revocations on two nodes', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    const nodes = BUN_AND_NODE.map((node) => ({ ...node, wires: ['redis'] as const }));
    cluster = await startCluster({ nodes, timeoutMs: 10_000, env: { LINGXI_SESSION_POLICY: 'multi' } });
  }, 60_000);
  afterAll(() => cluster?.stop());

  it.sequential('[CR3] one call on either node closes the connections on both within 1 s', async () => {
    for (const asked of [0, 1]) {
      const user = freshUser();
      const token = issuedAgo(cluster.node(0).gateway, user, 2);
      const clients = await Promise.all(
        cluster.nodes.map(({ gateway }) => eventually(() => v1(gateway, token))),
      );
      await eventually(async () => {
        const { body } = await cluster.node(0).gateway.service('GET', `/api/online/player/${user}`);
        expect(body['connections']).toBe(2);
      });
      const { body } = await revoke(cluster.node(asked).gateway, user);
      expect(body['connections']).toBe(2);
      for (const client of clients) {
        const closed = await client.closed;
        expect([closed.code, closed.reason]).toEqual([4003, 'token-revoked']);
      }
      for (const { gateway } of cluster.nodes) {
        // By the clock of the node: this process may stand still before it reads the close.
        const { time } = await gateway.waitForLog('disconnected', (line) => line['userId'] === user);
        expect(Date.parse(String(time)) - Number(body['revokedAt'])).toBeLessThan(IN_FORCE_MS);
      }
      for (const { gateway } of cluster.nodes) await isRefused(gateway, token);
    }
  });

  it.sequential('a node that is cut off from Redis closes its connections within 1 s of its return', async () => {
    const [asked, cut] = [cluster.node(0), cluster.node(1)];
    const user = freshUser();
    const token = issuedAgo(asked.gateway, user, 2);
    const client = await v1(cut.gateway, token);
    const stop = client.keepAlive();
    const wire = wireOf(cut, 'redis');
    wire.hang();
    expect((await revoke(asked.gateway, user)).status).toBe(200);
    // The node has missed the revocation, and still serves its connections.
    await cut.gateway.waitForLog('revocation');
    client.ping();
    await client.next('pong');
    wire.heal();
    const closed = await client.closed;
    expect(closed.code).toBe(4003);
    stop();
  }, 30_000);

  it.sequential('while Redis does not answer, the call gets 503; it takes effect on its node, and everywhere after Redis returns', async () => {
    const [here, there] = [cluster.node(0).gateway, cluster.node(1).gateway];
    const user = freshUser();
    const token = issuedAgo(here, user, 2);
    // The previous test cut this node off. It accepts users again once it has restored its holds.
    const clients = [await v1(here, token), await eventually(() => v1(there, token))];
    const exp = Math.ceil(Date.now() / 1000) + 4;
    const expiring = await v1(there, there.token(freshUser(), { claims: { exp } }));
    const stops = [...clients, expiring].map((client) => client.keepAlive());
    cluster.redis.freeze();
    const answer = await revoke(here, user);
    expect([answer.status, answer.body['code']]).toEqual([503, 'revocation-unavailable']);
    expect((await clients[0]?.closed)?.code).toBe(4003);
    // While Redis stands still, the time of heartbeats does too, but not the time of tokens.
    const ended = await expiring.closed;
    expect([ended.code, ended.reason]).toEqual([4003, 'token-expired']);
    expect(Date.now() - exp * 1000).toBeGreaterThanOrEqual(0);
    expect(performance.timeOrigin + ended.at - exp * 1000).toBeLessThan(3_000);
    cluster.redis.thaw();
    expect((await clients[1]?.closed)?.code).toBe(4003);
    for (const stop of stops) stop();
  }, 30_000);

  it.sequential('[CR3] it survives FLUSHALL, also for a node that starts later and after a restart of all nodes', async () => {
    const user = freshUser();
    const here = cluster.node(0).gateway;
    const token = issuedAgo(here, user, 1);
    await revoke(here, user);
    await eventually(async () => {
      for (const { gateway } of cluster.nodes) await isRefused(gateway, token);
    });
    await cluster.redis.cli('FLUSHALL');
    await eventually(async () =>
      expect(await cluster.redis.cli('ZSCORE', 'lingxi:revoked', String(user))).not.toBe(''),
    );
    for (const { gateway } of cluster.nodes) await gateway.kill();
    for (const { gateway } of cluster.nodes) {
      await gateway.restart();
      await isRefused(gateway, token);
    }
  }, 60_000);

  it.sequential('the writes of another program to the keys revoke no token and undo no revocation', async () => {
    const { redis } = cluster;
    const user = freshUser();
    const { gateway } = cluster.node(0);
    const token = issuedAgo(gateway, user, 1);
    await revoke(gateway, user);
    await redis.cli('ZADD', 'lingxi:revoked', '5', 'x', '1e300', '77', '-3', '-1', 'inf', '0', '-inf', '78');
    await redis.cli('ZADD', 'lingxi:revoked', '1e300', '77', '7', 'x');
    await redis.cli('XADD', 'lingxi:revocations', '*', 'a', 'b');
    await redis.cli('XADD', 'lingxi:revocations', '*', 'user', '77', 'at', '1e300');
    await redis.cli('SET', 'lingxi:revocations', 'x');
    await redis.cli('SET', 'lingxi:revoked', 'x');
    await eventually(
      async () => expect(await redis.cli('ZSCORE', 'lingxi:revoked', String(user))).toMatch(/^\d+$/),
      { timeoutMs: 5_000 },
    );
    await isRefused(gateway, token);
    for (const other of [77, 78])
      await eventually(async () => (await v1(gateway, issuedAgo(gateway, other, 1))).terminate());
    const next = freshUser();
    const older = issuedAgo(gateway, next, 1);
    await eventually(async () => expect((await revoke(cluster.node(1).gateway, next)).status).toBe(200));
    await eventually(() => isRefused(gateway, older));
  }, 30_000);
});

// Each suite of this one starts servers again and again, so it runs after the tests that measure time.
describe('revocations and further starts', () => {
  describe.concurrent.each(ONE_OF_EACH)('revocations, wrong clock: $runtime, $kind', ({ runtime, kind }) => {
    it('[CR3] they apply on a node that starts with a clock behind or ahead, and after the clock is corrected', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'lingxi-clock-'));
      const clock = await createFakeClock(join(folder, 'clock'));
      const { gateway } = deployed({ runtime, kind });
      try {
        const user = freshUser();
        // Valid forever by any of the clocks.
        const claims = { iat: Math.floor(Date.now() / 1000) - 1, exp: undefined };
        const token = gateway.token(user, { claims });
        const other = gateway.token(freshUser(), { claims });
        await eventually(async () => expect((await revoke(gateway, user)).status).toBe(200));
        for (const aheadS of [-2 * 3_600, 91 * 86_400]) {
          clock.set(aheadS);
          await gateway.restart(clock.env);
          // The other token is valid. So the node has read the revocations, and it is its clock that is wrong.
          const { body } = await eventually(async () => {
            const answer = await gateway.call('POST', '/api/tickets', { token: other });
            expect(answer.status).toBe(200);
            return answer;
          });
          expect(Math.abs(Number(body['expiresAt']) / 1000 - Date.now() / 1000 - aheadS)).toBeLessThan(60);
          await isRefused(gateway, token);
          clock.set(0);
          await isRefused(gateway, token);
          await gateway.restart();
          await isRefused(gateway, token);
        }
      } finally {
        clock.remove();
        rmSync(folder, { recursive: true, force: true });
      }
    }, 90_000);
  });

  describe.concurrent.each(['bun', 'node'] as const)('the file of revocations on %s', (runtime) => {
    it('is private; if it is damaged, one sentence refuses the start', async () => {
      const gateway = await startGateway({ runtime, stores: 'embedded' });
      try {
        const users = Array.from({ length: 50 }, freshUser);
        const answers = await Promise.all(users.map((user) => revoke(gateway, user)));
        expect(answers.every(({ status }) => status === 200)).toBe(true);
        const path = join(gateway.dataDir, 'data', 'revocations.json');
        expect(statSync(path).mode & 0o777).toBe(0o600);
        const { revoked } = JSON.parse(readFileSync(path, 'utf8')) as { revoked: [number, number][] };
        expect(new Set(revoked.map(([user]) => user))).toEqual(new Set(users));
        for (const damaged of ['{"revoked":[[1', '{}', '{"revoked":[["x",1]]}']) {
          writeFileSync(path, damaged);
          const failure = await gateway.restart().then(
            () => '',
            (error: unknown) => String(error),
          );
          expect(failure).toContain('revocations.json cannot be read');
        }
      } finally {
        await gateway.stop();
      }
    }, 60_000);
  });
});
