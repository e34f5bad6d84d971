import { describe, expect, it } from 'vitest';
import { freshUsers } from '../support/crowd.ts';
import { eventually, sleep } from '../support/ports.ts';
import { welcomeOf } from '../support/presence-view.ts';
import { handshake, openRaw } from '../support/raw-socket.ts';
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

const TIMEOUT_MS = 4_000;
/** A node that lost an answer of Redis finds out after a second; less than the timeout, which would let in anybody. */
const PATIENCE_MS = 3_000;
const TRIES = 40;

/** The claim of a login of this user as it stands in the call of its script. */
const claimOf = (user: number): RegExp => new RegExp(`\\["${user}","socket",`);

/** Dials and goes away after `waitMs`, whatever has come by then. */
async function dialAndLeave({ gateway }: ClusterNode, user: number, waitMs: number): Promise<void> {
  const lost = openRaw(gateway.port(), handshake('/ws', gateway.token(user)));
  await new Promise((resolve) => lost.socket.once('connect', resolve));
  await sleep(waitMs);
  lost.destroy();
}

/**
 * A client that comes back until it is let in, and how often it was sent away: that the first socket is
 * gone must be heard before `reject` may let in the next one.
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
    { timeoutMs: PATIENCE_MS, intervalMs: 100 },
  );
  return { client, refusals };
}

/** Whoever was let in is still there after the timeout, in the one period that the user has. */
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
  'an answer that never came, policy `%s`',
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
      "[scenario 10] [PR4] Redis's answer to node %i is lost; its clients give up and return, here or there: the retry wins",
      (place) =>
        withCluster(options, async (cluster) => {
          const [here, there] = freshUsers(2);
          if (here === undefined || there === undefined) throw new Error('no users');
          const lost = wireOf(cluster.node(place), 'redis').loseAnswerTo(claimOf(here));
          const left = [here, there].map((user) => dialAndLeave(cluster.node(place), user, 300));
          await lost;
          await Promise.all(left);
          const dials = await Promise.all([
            dial(cluster.node(place), here),
            dial(cluster.node(1 - place), there),
          ]);
          // A node that has just lost Redis may say so; nobody is sent away because of what the first dial left.
          const refusals = dials.flatMap((one) => one.refusals);
          expect(refusals.filter((code) => code !== 'presence-unavailable')).toEqual([]);
          const clients = new Map([here, there].map((user, index) => [user, clientOf(dials[index])]));
          await expectStays(cluster, clients);
        }),
    );

    it('[scenario 10] [PR4] the client leaves before the reply and reconnects at once, here or there: the retry wins', () =>
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
