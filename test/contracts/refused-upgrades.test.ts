import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway } from '../support/gateway-process.ts';
import { eventually, sleep } from '../support/ports.ts';
import { type PresenceView, viewPresence, welcomeOf } from '../support/presence-view.ts';
import { type Deployment, deploy, freshUser } from '../support/stores.ts';
import { type Cluster, startCluster } from '../support/two-nodes.ts';
import { refusal } from '../support/ws-client.ts';

const TIMEOUT_MS = 1_500;
const RETRY_MS = 300;
/** Whoever proves no life is logged out in the middle of it. */
const TRIES = Math.ceil((2 * TIMEOUT_MS) / RETRY_MS);
const ENV = {
  LINGXI_HEARTBEAT_TIMEOUT_MS: String(TIMEOUT_MS),
  LINGXI_HTTP_TIMEOUT_MS: String(TIMEOUT_MS),
  LINGXI_PING_INTERVAL_MS: '450',
  LINGXI_DRAIN_TIMEOUT_MS: '300',
};

/** Tries to connect as the user for two timeouts, and is refused each time with `code`. */
async function tryInVain(gateway: Gateway, user: number, code: string): Promise<void> {
  for (let attempt = 1; attempt <= TRIES; attempt += 1) {
    const answer = await refusal(gateway.wsUrl, { token: gateway.token(user) });
    expect(answer.body['code']).toBe(code);
    await sleep(RETRY_MS);
  }
}

/** The user never was offline: the connection that is let in at last goes on with the period. */
async function expectBack(view: PresenceView, user: number, period: number): Promise<void> {
  const again = await view.v1(user);
  expect(await welcomeOf(again)).toMatchObject({ period, resumed: true });
  again.terminate();
}

describe.each(['bun', 'node'] as const)('a user with a refused upgrade, on %s', (runtime) => {
  let cluster: Cluster;
  let small: Deployment;
  beforeAll(async () => {
    const env = { ...ENV, LINGXI_MAX_CONNECTIONS: '1' };
    [cluster, small] = await Promise.all([
      startCluster({ nodes: [{ runtime }, { runtime }], env: ENV }),
      deploy({ runtime, kind: 'embedded', env }),
    ]);
  });
  afterAll(() => Promise.all([cluster?.stop(), small?.stop()]));

  it('[DR4] is not logged out by a node that drains, whichever node has the hold', async () => {
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
    const [held] = other.gateway.logs().filter((line) => line['event'] === 'connected');
    expect(held).toMatchObject({ userId: there });
    await eventually(async () => {
      const { connections } = (await draining.gateway.service('GET', '/ws/stats')).body;
      expect(connections).toBe(0);
    });
    await Promise.all([
      tryInVain(draining.gateway, here, 'draining'),
      tryInVain(draining.gateway, there, 'draining'),
    ]);
    // Who does not try is logged out, so that the others were not online for another reason.
    expect(await other.view.status(silent)).toBe('offline');
    await expectBack(other.view, here, periodHere ?? 0);
    await expectBack(other.view, there, periodThere ?? 0);
    expect((await draining.gateway.service('DELETE', '/api/drain')).status).toBe(200);
  });

  it('[DR4] does not become online by the refusal', async () => {
    const { gateway, view } = cluster.node(0);
    const stranger = freshUser();
    expect((await gateway.service('POST', '/api/drain')).status).toBe(200);
    await refusal(gateway.wsUrl, { token: gateway.token(stranger) });
    expect((await gateway.service('DELETE', '/api/drain')).status).toBe(200);
    expect((await gateway.service('GET', `/api/online/player/${stranger}`)).status).toBe(404);
    await expectBackNot(view, stranger);
  });

  it('[DR4] is not logged out by a node that is full', async () => {
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
