import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway } from '../support/gateway-process.ts';
import { eventually, sleep } from '../support/ports.ts';
import { type PresenceView, viewPresence, welcomeOf } from '../support/presence-view.ts';
import { type Deployment, deploy, freshUser } from '../support/stores.ts';
import { type Cluster, startCluster } from '../support/two-nodes.ts';
import { refusal } from '../support/ws-client.ts';

const RUNTIMES = ['bun', 'node'] as const;
const TIMEOUT_MS = 3_000;
const RETRY_MS = 300;
/** A user without a proof of life is logged out within this time. */
const TRIES = Math.ceil((2 * TIMEOUT_MS) / RETRY_MS);
const ENV = {
  LINGXI_HEARTBEAT_TIMEOUT_MS: String(TIMEOUT_MS),
  LINGXI_HTTP_TIMEOUT_MS: String(TIMEOUT_MS),
  LINGXI_PING_INTERVAL_MS: '450',
  LINGXI_DRAIN_TIMEOUT_MS: '300',
};

/** Tries to connect as the user for two timeouts. Each attempt is refused with `code`. */
async function tryInVain(gateway: Gateway, user: number, code: string): Promise<void> {
  for (let attempt = 1; attempt <= TRIES; attempt += 1) {
    const answer = await refusal(gateway.wsUrl, { token: gateway.token(user) });
    expect(answer.body['code']).toBe(code);
    await sleep(RETRY_MS);
  }
}

/** The user was never offline: the connection that is accepted at last continues the period. */
async function expectBack(view: PresenceView, user: number, period: number): Promise<void> {
  const again = await view.v1(user);
  expect(await welcomeOf(again)).toMatchObject({ period, resumed: true });
  again.terminate();
}

describe.concurrent.each(RUNTIMES)('a user whose upgrade one of two nodes refuses, on %s', (runtime) => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: [{ runtime }, { runtime }], env: ENV });
  });
  afterAll(() => cluster?.stop());

  it.sequential('[DR4] is not logged out by a node that drains, whichever node has the hold', async () => {
    const [other, draining] = [cluster.node(0), cluster.node(1)];
    const [here, there] = [freshUser(), freshUser()];
    const [periodHere, periodThere] = await Promise.all(
      [draining.view.v1(here), other.view.v1(there)].map(
        async (client) => (await welcomeOf(await client)).period,
      ),
    );
    const silent = freshUser();
    await draining.view.v1(silent);
    expect((await draining.gateway.service('POST', '/api/drain')).status).toBe(200);
    expect(await other.gateway.waitForLog('connected')).toMatchObject({ userId: there });
    await eventually(async () => {
      const { connections } = (await draining.gateway.service('GET', '/ws/stats')).body;
      expect(connections).toBe(0);
    });
    await Promise.all([
      tryInVain(draining.gateway, here, 'draining'),
      tryInVain(draining.gateway, there, 'draining'),
    ]);
    // A user who does not try is logged out. So only the attempts kept the others online.
    await eventually(async () => expect(await other.view.status(silent)).toBe('offline'));
    await expectBack(other.view, here, periodHere ?? 0);
    await expectBack(other.view, there, periodThere ?? 0);
    expect((await draining.gateway.service('DELETE', '/api/drain')).status).toBe(200);
  });

  it.sequential('[DR4] does not come online by the refusal', async () => {
    const { gateway, view } = cluster.node(0);
    const stranger = freshUser();
    expect((await gateway.service('POST', '/api/drain')).status).toBe(200);
    await refusal(gateway.wsUrl, { token: gateway.token(stranger) });
    expect((await gateway.service('DELETE', '/api/drain')).status).toBe(200);
    expect((await gateway.service('GET', `/api/online/player/${stranger}`)).status).toBe(404);
    await expectBackNot(view, stranger);
  });
});

describe.concurrent.each(RUNTIMES)('a user whose upgrade a single node refuses, on %s', (runtime) => {
  let small: Deployment;
  beforeAll(async () => {
    small = await deploy({ runtime, kind: 'embedded', env: { ...ENV, LINGXI_MAX_CONNECTIONS: '1' } });
  });
  afterAll(() => small?.stop());

  it('[DR4] is not logged out by a full node', async () => {
    const view = viewPresence(small);
    const [first, second] = [freshUser(), freshUser()];
    const gone = await view.v1(first);
    const { period } = await welcomeOf(gone);
    gone.terminate();
    const taker = await eventually(() => view.v1(second));
    await tryInVain(small.gateway, first, 'overloaded');
    taker.terminate();
    await taker.closed;
    const again = await eventually(() => view.v1(first));
    expect(await welcomeOf(again)).toMatchObject({ period, resumed: true });
    again.terminate();
  });
});

async function expectBackNot(view: PresenceView, user: number): Promise<void> {
  const client = await view.v1(user);
  expect(await welcomeOf(client)).toMatchObject({ resumed: false });
  client.terminate();
}
