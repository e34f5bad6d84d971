import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freshUsers } from '../support/crowd.ts';
import { eventually, sleep } from '../support/ports.ts';
import { welcomeOf } from '../support/presence-view.ts';
import { BUN_AND_NODE, type Cluster, endAll, figure, startCluster } from '../support/two-nodes.ts';
import { type Client, tryConnect } from '../support/ws-client.ts';

/** The default timeout, because a thousand clients in one test process may answer pings slowly. */
const TIMEOUT_MS = 10_000;

let replacing: Cluster;
let multi: Cluster;
beforeAll(async () => {
  [replacing, multi] = await Promise.all([
    startCluster({ nodes: BUN_AND_NODE, timeoutMs: TIMEOUT_MS }),
    startCluster({
      nodes: [{ runtime: 'node' }, { runtime: 'bun' }],
      timeoutMs: TIMEOUT_MS,
      env: { LINGXI_SESSION_POLICY: 'multi', LINGXI_MAX_CONNECTIONS_PER_USER: '1000' },
    }),
  ]);
});
afterAll(() => Promise.all([replacing?.stop(), multi?.stop()]));

describe('a thousand logins of one user, policy `replace`', () => {
  it('[scenario 7] [PR3] [PR4] a thousand logins of one user in a second: one connection stays, epochs rise', async () => {
    const [user = 0] = freshUsers(1);
    const began = performance.now();
    const outcomes = await Promise.all(
      Array.from({ length: 1_000 }, async (_, index) => {
        await sleep(index);
        const { gateway } = replacing.node(index % 2);
        return tryConnect(gateway.wsUrl, { token: gateway.token(user), protocols: ['lingxi.v1'] });
      }),
    );
    const tookMs = Math.round(performance.now() - began);
    const clients = outcomes.flatMap((outcome) => ('status' in outcome ? [] : [outcome]));
    const refusals = outcomes.flatMap((outcome) => ('status' in outcome ? [outcome] : []));
    for (const { status, body } of refusals)
      expect({ status, code: body['code'] }).toEqual({ status: 409, code: 'session-flapping' });
    const welcomes = await Promise.all(clients.map(welcomeOf));
    const epochs = welcomes.map(({ epoch }) => epoch);
    expect(new Set(epochs).size).toBe(epochs.length);
    expect(new Set(welcomes.map(({ period }) => period)).size).toBe(1);
    expect(welcomes.filter(({ resumed }) => !resumed)).toHaveLength(1);
    const stillOpen = () => clients.filter(({ socket }) => socket.readyState === socket.OPEN);
    await eventually(() => expect(stillOpen()).toHaveLength(1));
    await sleep(1_000);
    const open = stillOpen();
    expect(open).toHaveLength(1);
    expect(clients.findIndex((client) => client === open[0])).toBe(epochs.indexOf(Math.max(...epochs)));
    for (const client of clients) if (client !== open[0]) expect((await client.closed).code).toBe(4001);
    expect(await replacing.node(0).view.status(user)).toBe('online');
    expect(await replacing.periods(user)).toMatchObject([
      { period: welcomes[0]?.period, settledAt: undefined, writes: 0 },
    ]);
    expect(await replacing.ends(user)).toBe(0);
    figure(
      7,
      `1000 upgrades of one user in ${tookMs} ms: ${clients.length} accepted, ${refusals.length} refused 409, 1 stayed`,
    );
    endAll(clients);
  });

  it('[scenario 7] [PR1] [PR2] a thousand HTTP logins of one user in a second: one period', async () => {
    const [user = 0] = freshUsers(1);
    const answers = await Promise.all(
      Array.from({ length: 1_000 }, async (_, index) => {
        await sleep(index);
        return replacing.node(index % 2).gateway.service('POST', '/api/online/login', { playerId: user });
      }),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(answers.map(({ body }) => body['loginTime'])).size).toBe(1);
    const rows = await replacing.periods(user);
    expect(rows).toMatchObject([{ loginAt: answers[0]?.body['loginTime'], settledAt: undefined }]);
  });
});

describe('a thousand sockets of one user, policy `multi`', () => {
  it('[scenario 7] [PR3] [PR7] a thousand logins of one user in a second: one newest, epochs rise', async () => {
    const [user = 0] = freshUsers(1);
    const perNode: Client[][] = [[], []];
    await Promise.all(
      Array.from({ length: 1_000 }, async (_, index) => {
        await sleep(index);
        const { gateway } = multi.node(index % 2);
        const outcome = await tryConnect(gateway.wsUrl, {
          token: gateway.token(user),
          protocols: ['lingxi.v1'],
        });
        if ('status' in outcome) expect.fail(`refused ${outcome.status} ${JSON.stringify(outcome.body)}`);
        perNode[index % 2]?.push(outcome);
      }),
    );
    const clients = perNode.flat();
    const welcomes = await Promise.all(clients.map(welcomeOf));
    const epochs = welcomes.map(({ epoch }) => epoch);
    expect(new Set(epochs).size).toBe(1_000);
    expect(new Set(welcomes.map(({ period }) => period)).size).toBe(1);
    await eventually(async () =>
      expect(await multi.node(0).view.player(user)).toMatchObject({ status: 'online', connections: 1_000 }),
    );
    // A logout from any socket but the newest closes only that socket.
    const newest = clients[epochs.indexOf(Math.max(...epochs))] ?? expect.fail('no newest');
    const other = clients.find((client) => client !== newest) ?? expect.fail('no other');
    other.send({ type: 'logout' });
    expect((await other.closed).code).toBe(4000);
    expect(await multi.node(1).view.status(user)).toBe('online');
    newest.send({ type: 'logout' });
    expect((await newest.closed).code).toBe(4000);
    await Promise.all(clients.map(async (client) => expect((await client.closed).code).toBe(4000)));
    await eventually(async () =>
      expect(await multi.periods(user)).toMatchObject([{ reason: 'logout', writes: 1 }]),
    );
    expect(await multi.ends(user)).toBe(1);
    endAll(clients);
  });
});
