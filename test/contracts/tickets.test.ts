import { beforeAll, describe, expect, it } from 'vitest';
import { deployEach } from '../support/deploy-each.ts';
import { eventually } from '../support/ports.ts';
import { type Deployment, deploy, freshUser, ONE_OF_EACH } from '../support/stores.ts';
import { BUN_AND_NODE, startCluster } from '../support/two-nodes.ts';
import { connect, refusal } from '../support/ws-client.ts';

const TICKET_TTL_MS = 30_000;
/** Number of tickets that a user may request at once. */
const BURST = 30;
/** Number of forged credentials that one address may send in 10 s. */
const MAX_FAILURES = 100;

const deployed = deployEach(ONE_OF_EACH, { LINGXI_QUERY_TOKEN: 'false' });

describe.concurrent.each(ONE_OF_EACH)('tickets on $runtime over $kind', ({ runtime, kind }) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = deployed({ runtime, kind });
    const { gateway } = deployment;
    const user = freshUser();
    await eventually(async () => {
      const login = await gateway.call('POST', '/api/online/login', {
        token: gateway.token(user),
        body: { playerId: user },
      });
      expect(login.status).toBe(200);
    });
  });

  const issue = async (token: string): Promise<string> => {
    const { status, body } = await deployment.gateway.call('POST', '/api/tickets', { token });
    expect(status).toBe(200);
    return String(body['ticket']);
  };
  const dial = async (query: string) => {
    const { status, body } = await refusal(deployment.gateway.wsUrl, { query });
    return [status, body['code']];
  };

  it.sequential('[CR2] a ticket opens one socket as the user of the token', async () => {
    const { gateway } = deployment;
    const user = freshUser();
    const token = gateway.token(user, { name: 'Ann' });
    const before = Date.now();
    const { status, body, headers } = await gateway.call('POST', '/api/tickets', { token });
    expect([status, headers.get('cache-control')]).toEqual([200, 'no-store']);
    expect(Number(body['expiresAt']) - before).toBeGreaterThan(TICKET_TTL_MS - 5);
    expect(Number(body['expiresAt']) - before).toBeLessThan(TICKET_TTL_MS + 5_000);
    const ticket = String(body['ticket']);
    expect(ticket).toMatch(/^[\w-]{43}$/);
    const client = await connect(gateway.wsUrl, {
      query: `?ticket=${ticket}&userId=${user}`,
      protocols: ['lingxi.v1'],
    });
    expect((await client.next('welcome')).userId).toBe(user);
    const player = await gateway.service('GET', `/api/online/player/${user}`);
    expect(player.body['username']).toBe('Ann');
    expect(await dial(`?ticket=${ticket}`)).toEqual([401, 'invalid-token']);
    client.terminate();
  });

  it.sequential('[CR2] of two upgrades at once with one ticket, one is accepted', async () => {
    const ticket = await issue(deployment.gateway.token(freshUser()));
    const dials = Array.from({ length: 6 }, () =>
      connect(deployment.gateway.wsUrl, { query: `?ticket=${ticket}` }),
    );
    const outcomes = await Promise.allSettled(dials);
    const accepted = outcomes.filter((outcome) => outcome.status === 'fulfilled');
    expect(accepted).toHaveLength(1);
    for (const { value } of accepted) value.terminate();
  });

  it.sequential.each(['x', 'A'.repeat(43), 'A'.repeat(5000), '..%2f..', '%00'])(
    'an invented ticket gets 401: %s',
    async (ticket) => {
      expect(await dial(`?ticket=${ticket}`)).toEqual([401, 'invalid-token']);
    },
  );

  it.sequential('an empty ticket does not count, and an Authorization header has priority over a ticket', async () => {
    const { gateway } = deployment;
    expect(await dial('?ticket=')).toEqual([400, 'missing-credentials']);
    const [user, other] = [freshUser(), freshUser()];
    const ticket = await issue(gateway.token(user));
    const client = await connect(gateway.wsUrl, {
      token: gateway.token(other),
      query: `?ticket=${ticket}`,
      protocols: ['lingxi.v1'],
    });
    expect((await client.next('welcome')).userId).toBe(other);
    client.terminate();
    // The ticket was not used.
    (await connect(gateway.wsUrl, { query: `?ticket=${ticket}` })).terminate();
  });

  it.sequential('[CR2] a ticket is valid only for its own user', async () => {
    const ticket = await issue(deployment.gateway.token(freshUser()));
    expect(await dial(`?ticket=${ticket}&userId=987654`)).toEqual([403, 'user-mismatch']);
  });

  it.sequential('[CR1] the connection of a ticket ends with the exp of the token, and a ticket never lasts longer than it', async () => {
    const { gateway } = deployment;
    const exp = Math.ceil(Date.now() / 1000) + 4;
    const token = gateway.token(freshUser(), { claims: { exp } });
    const { body } = await gateway.call('POST', '/api/tickets', { token });
    expect(body['expiresAt']).toBe(exp * 1000);
    const late = await issue(token);
    const client = await connect(gateway.wsUrl, { query: `?ticket=${String(body['ticket'])}` });
    const closed = await client.closed;
    expect([closed.code, closed.reason]).toEqual([4003, 'token-expired']);
    expect(Date.now()).toBeGreaterThanOrEqual(exp * 1000);
    expect(performance.timeOrigin + closed.at).toBeLessThan(exp * 1000 + 3_000);
    expect(await dial(`?ticket=${late}`)).toEqual([401, 'invalid-token']);
  });

  it.sequential('the service key gets no ticket, and neither does a caller without a token; beyond the rate of a user it is 429', async () => {
    const { gateway } = deployment;
    const service = await gateway.service('POST', '/api/tickets');
    expect([service.status, service.body['code']]).toEqual([403, 'forbidden']);
    expect((await gateway.call('POST', '/api/tickets')).status).toBe(401);
    const token = gateway.token(freshUser());
    const answers = await Promise.all(
      Array.from({ length: BURST + 20 }, () => gateway.call('POST', '/api/tickets', { token })),
    );
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThan(10);
    expect(refused[0]?.headers.get('retry-after')).toBe('1');
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(BURST);
  });

  it.sequential('no ticket is printed, and the store has only its hash', async () => {
    const { gateway, stores } = deployment;
    const ticket = await issue(gateway.token(freshUser()));
    if (stores.redis !== undefined) {
      const keys = await stores.redis.cli('KEYS', '*lingxi:ticket:*');
      expect(keys).toContain('lingxi:ticket:');
      expect(keys).not.toContain(ticket);
    }
    (await connect(gateway.wsUrl, { query: `?ticket=${ticket}` })).terminate();
    await dial(`?ticket=${ticket}`);
    expect(gateway.printed()).not.toContain(ticket);
  });
});

describe('tickets on two nodes', () => {
  it.concurrent('[CR2] of many upgrades at once on two nodes with one ticket, one is accepted', async () => {
    const env = { LINGXI_SESSION_POLICY: 'multi' };
    const cluster = await startCluster({ nodes: BUN_AND_NODE, timeoutMs: 10_000, env });
    try {
      const gateways = cluster.nodes.map(({ gateway }) => gateway);
      for (let round = 0; round < 10; round += 1) {
        const [first] = gateways;
        const { body } = await eventually(async () => {
          const answer = await first?.call('POST', '/api/tickets', { token: first.token(freshUser()) });
          expect(answer?.status).toBe(200);
          return answer ?? expect.fail();
        });
        const query = `?ticket=${String(body['ticket'])}`;
        const dials = [...gateways, ...gateways, ...gateways].map(({ wsUrl }) => connect(wsUrl, { query }));
        const accepted = (await Promise.allSettled(dials)).filter(({ status }) => status === 'fulfilled');
        expect(accepted).toHaveLength(1);
      }
    } finally {
      await cluster.stop();
    }
  }, 60_000);

  it.concurrent('[CR2] a ticket is valid on any node; without Redis the answer is 503, not 401', async () => {
    const cluster = await startCluster({ nodes: BUN_AND_NODE, timeoutMs: 10_000 });
    try {
      const [a, b] = [cluster.node(0).gateway, cluster.node(1).gateway];
      for (const [here, there] of [
        [a, b],
        [b, a],
      ] as const) {
        const token = here.token(freshUser());
        const { body } = await here.call('POST', '/api/tickets', { token });
        const query = `?ticket=${String(body['ticket'])}`;
        (await connect(there.wsUrl, { query })).terminate();
        const again = await refusal(here.wsUrl, { query });
        expect([again.status, again.body['code']]).toEqual([401, 'invalid-token']);
      }
      const { body } = await a.call('POST', '/api/tickets', { token: a.token(freshUser()) });
      cluster.redis.freeze();
      const issued = await a.call('POST', '/api/tickets', { token: a.token(freshUser()) });
      expect([issued.status, issued.body['code']]).toEqual([503, 'presence-unavailable']);
      const dialled = await refusal(b.wsUrl, { query: `?ticket=${String(body['ticket'])}` });
      expect([dialled.status, dialled.body['code']]).toEqual([503, 'presence-unavailable']);
    } finally {
      await cluster.stop();
    }
  }, 60_000);
});

describe.concurrent.each(ONE_OF_EACH)('refused tickets on $runtime over $kind', ({ runtime, kind }) => {
  it('[DR4] a ticket that was refused with session-exists opens a socket later; used ones never count as forged', async () => {
    const { gateway, stop } = await deploy({ runtime, kind, env: { LINGXI_SESSION_POLICY: 'reject' } });
    try {
      const token = gateway.token(freshUser());
      const older = await eventually(() => connect(gateway.wsUrl, { token }));
      const { body } = await gateway.call('POST', '/api/tickets', { token });
      const query = `?ticket=${String(body['ticket'])}`;
      const dial = async () => {
        const answer = await refusal(gateway.wsUrl, { query });
        return [answer.status, answer.body['code']];
      };
      for (let attempt = 0; attempt < 3; attempt += 1) expect(await dial()).toEqual([409, 'session-exists']);
      older.terminate();
      (await eventually(() => connect(gateway.wsUrl, { query }))).terminate();
      for (let attempt = 0; attempt < MAX_FAILURES + 5; attempt += 1)
        expect(await dial()).toEqual([401, 'invalid-token']);
      const forged = await refusal(gateway.wsUrl, { token: `${token}x` });
      expect(forged.status).toBe(401);
    } finally {
      await stop();
    }
  }, 60_000);
});
