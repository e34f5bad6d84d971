import { describe, expect, it } from 'vitest';
import { freshUsers } from '../support/crowd.ts';
import { eventually, sleep } from '../support/ports.ts';
import { welcomeOf } from '../support/presence-view.ts';
import { handshake, openRaw } from '../support/raw-socket.ts';
import type { Match } from '../support/tcp-proxy.ts';
import {
  type Cluster,
  type ClusterNode,
  type ClusterOptions,
  endAll,
  figure,
  wireOf,
  withCluster,
} from '../support/two-nodes.ts';
import { type Client, tryConnect } from '../support/ws-client.ts';

const TIMEOUT_MS = 8_000;
/**
 * A node that lost an answer of Redis notices that after a second. This is less than the timeout, after which any login would be
 * accepted.
 */
const PATIENCE_MS = 6_000;
const TRIES = 40;

/** The claim of this user's login, as it appears in the call of the script. */
const claimOf =
  (user: number): Match =>
  (request) =>
    request.includes(`["${user}","socket",`);

/** Connects, and leaves after `waitMs`, whatever has arrived. */
async function dialAndLeave({ gateway }: ClusterNode, user: number, waitMs: number): Promise<void> {
  const lost = openRaw(gateway.port(), handshake('/ws', gateway.token(user)));
  await new Promise((resolve) => lost.socket.once('connect', resolve));
  await sleep(waitMs);
  lost.destroy();
}

/**
 * A client that returns until it is accepted, and the number of its refusals. The server must notice the end of the first socket
 * before `reject` may accept the next one.
 */
async function dial({ gateway }: ClusterNode, user: number): Promise<{ client: Client; refusals: string[] }> {
  const refusals: string[] = [];
  const client = await eventually(
    async () => {
      const options = { token: gateway.token(user), protocols: ['lingxi.v1'] };
      const outcome = await tryConnect(gateway.wsUrl, options);
      if (!('status' in outcome)) return outcome;
      refusals.push(String(outcome.body['code']));
      throw new Error(`user ${user} was refused ${refusals.join(', ')}`);
    },
    { timeoutMs: PATIENCE_MS },
  );
  return { client, refusals };
}

/** After the timeout every accepted user is still online, in one period. */
async function expectStays(cluster: Cluster, clients: ReadonlyMap<number, Client>): Promise<void> {
  const welcomes = await Promise.all([...clients.values()].map(welcomeOf));
  await sleep(TIMEOUT_MS + 1_000);
  for (const [index, [user, { socket }]] of [...clients].entries()) {
    expect({ user, open: socket.readyState === socket.OPEN }).toEqual({ user, open: true });
    await eventually(async () => expect(await cluster.node(0).view.status(user)).toBe('online'));
    expect(await cluster.inSet(user)).toBe(true);
    expect(await cluster.ends(user)).toBe(0);
    const { period } = welcomes[index] ?? expect.fail('no welcome');
    expect(await cluster.periods(user)).toMatchObject([{ period, settledAt: undefined, writes: 0 }]);
  }
  endAll([...clients.values()]);
}

describe.concurrent.each(['replace', 'reject'] as const)(
  'an answer that never arrived, policy `%s`',
  (policy) => {
    const options: ClusterOptions = {
      nodes: [
        { runtime: 'bun', wires: ['redis'] },
        { runtime: 'node', wires: ['redis'] },
      ],
      timeoutMs: TIMEOUT_MS,
      env: { LINGXI_SESSION_POLICY: policy },
    };

    it.each([0, 1])(
      '[scenario 10] [PR4] the answer of Redis to node %i is lost; its clients leave and retry on either node: the retry succeeds',
      (place) =>
        withCluster(options, async (cluster) => {
          const [here, there] = freshUsers(2);
          if (here === undefined || there === undefined) throw new Error('no users');
          const lost = wireOf(cluster.node(place), 'redis').loseAnswer(claimOf(here), 'hangs');
          const left = [here, there].map((user) => dialAndLeave(cluster.node(place), user, 300));
          await lost.first;
          await Promise.all(left);
          const dials = await Promise.all([
            dial(cluster.node(place), here),
            dial(cluster.node(1 - place), there),
          ]);
          // A node that has just lost Redis may refuse. But the first attempt leaves nothing behind that refuses the user.
          const refusals = new Set(dials.flatMap((one) => one.refusals));
          refusals.delete('presence-unavailable');
          // A busy node may notice the end of the first socket only after the retry.
          if (policy === 'reject') refusals.delete('session-exists');
          expect([...refusals]).toEqual([]);
          const clients = new Map([here, there].map((user, index) => [user, clientOf(dials[index])]));
          await expectStays(cluster, clients);
        }),
    );

    it('[scenario 10] [PR4] the client leaves before the reply and retries at once on either node: the retry succeeds', () =>
      withCluster(options, async (cluster) => {
        const users = freshUsers(TRIES);
        const dials = await Promise.all(
          users.map(async (user, index) => {
            await dialAndLeave(cluster.node(index % 2), user, index % 10);
            return dial(cluster.node(Math.floor(index / 2) % 2), user);
          }),
        );
        const refused = dials.filter(({ refusals }) => refusals.length > 0);
        if (policy === 'replace') expect(refused).toEqual([]);
        figure(10, `policy ${policy}: ${refused.length} of ${TRIES} instant retries were refused at first`);
        await expectStays(cluster, new Map(users.map((user, index) => [user, clientOf(dials[index])])));
      }));
  },
);

function clientOf(dialled: { readonly client: Client } | undefined): Client {
  if (dialled === undefined) throw new Error('nobody was let in');
  return dialled.client;
}
