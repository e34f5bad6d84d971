import { describe, expect, it } from 'vitest';
import { expectUnmoved, freshUsers, joinAll, leave } from '../support/crowd.ts';
import { BLOCK_LOOP, prepareMisbehaviour } from '../support/misbehaviour.ts';
import {
  everybodyIsCutOff,
  everybodyIsGone,
  everybodyStandsStill,
  looksDead,
  pause,
  standsStill,
} from '../support/node-scenarios.ts';
import { eventually, sleep } from '../support/ports.ts';
import { BUN_AND_NODE, figure, type NodeOptions, wireOf, withCluster } from '../support/two-nodes.ts';
import { refusal } from '../support/ws-client.ts';

/** Longer than elsewhere, because a busy machine may stop this process while a node stands still. */
const TIMEOUT_MS = 5_000;
/** Used if a node starts meanwhile. */
const LONG_TIMEOUT_MS = 10_000;
const NODE_AND_BUN: readonly NodeOptions[] = [{ runtime: 'node' }, { runtime: 'bun' }];
const WIRED: readonly NodeOptions[] = [
  { runtime: 'bun', wires: ['redis'] },
  { runtime: 'node', wires: ['redis'] },
];

describe.concurrent('a node stands still', () => {
  it('[scenario 16] [HB5] [PR8] stopped for 0.8 of the timeout: no logout', () =>
    withCluster({ nodes: BUN_AND_NODE, timeoutMs: TIMEOUT_MS }, async (cluster) => {
      for (const place of [0, 1])
        await standsStill(
          cluster,
          { users: 20, timeoutMs: TIMEOUT_MS },
          { place, stop: () => pause(cluster, place, TIMEOUT_MS * 0.8) },
        );
    }));

  it('[scenario 17] [PR8] [PR9] stopped for twice the timeout with a living peer: one logout each, then new connections', () =>
    withCluster({ nodes: BUN_AND_NODE, timeoutMs: TIMEOUT_MS }, async (cluster) => {
      const { gateway } = cluster.node(0);
      await looksDead(
        cluster,
        { users: 30, timeoutMs: TIMEOUT_MS },
        {
          number: 17,
          away: () => {
            gateway.signalAll('SIGSTOP');
            return sleep(TIMEOUT_MS * 2);
          },
          return: () => gateway.signalAll('SIGCONT'),
        },
      );
    }));

  it.each([0, 1])(
    '[scenario 18] [HB5] the loop of node %i is blocked for longer than the timeout: no logout',
    (place) => {
      const blockMs = TIMEOUT_MS + 50;
      const [bun, node] = (['bun', 'node'] as const).map((runtime) => ({
        runtime,
        misbehaviour: prepareMisbehaviour({ runtime, blockMs }),
      }));
      const nodes = [bun, node].map((one) => ({
        runtime: one?.runtime ?? 'node',
        env: one?.misbehaviour.env ?? {},
      }));
      return withCluster({ nodes, timeoutMs: TIMEOUT_MS }, (cluster) =>
        standsStill(
          cluster,
          { users: 20, timeoutMs: TIMEOUT_MS },
          {
            place,
            stop: async () => {
              const { gateway } = cluster.node(place);
              gateway.signalAll(BLOCK_LOOP);
              const began = performance.now();
              await sleep(blockMs / 4);
              expect((await gateway.call('GET', '/healthz')).status).toBe(200);
              expect(performance.now() - began).toBeGreaterThan(blockMs / 2);
            },
          },
        ),
      ).finally(() => {
        for (const one of [bun, node]) one?.misbehaviour.remove();
      });
    },
  );

  it('[scenario 19] [HB5] [PR10] all nodes stand still for a long time: no connected user is logged out', () =>
    withCluster({ nodes: NODE_AND_BUN, timeoutMs: TIMEOUT_MS }, (cluster) =>
      everybodyStandsStill(cluster, { users: 20, timeoutMs: TIMEOUT_MS, awayMs: TIMEOUT_MS * 3 }),
    ));

  it('[scenario 19] [PR8] [ST5] all nodes are killed and start much later: users have time to return, the others are settled', () =>
    withCluster({ nodes: NODE_AND_BUN, timeoutMs: LONG_TIMEOUT_MS }, (cluster) =>
      everybodyIsGone(cluster, {
        users: 40,
        timeoutMs: LONG_TIMEOUT_MS,
        awayMs: 16_000,
        // An outage uses 2 s of the timeout, and the last claim may be half a second old.
        returnWithinMs: 1_200,
      }),
    ));
});

describe.concurrent('a node cannot reach Redis', () => {
  it('[scenario 20] [PR10] alone, for less than the timeout: no logout', () =>
    withCluster({ nodes: WIRED, timeoutMs: TIMEOUT_MS }, async (cluster) => {
      for (const [place, how] of (['hang', 'cut'] as const).entries()) {
        const wire = wireOf(cluster.node(place), 'redis');
        const stop = async (): Promise<void> => {
          wire[how]();
          await sleep(TIMEOUT_MS * 0.7);
          wire.heal();
        };
        await standsStill(cluster, { users: 20, timeoutMs: TIMEOUT_MS }, { place, stop });
      }
    }));

  it.each(['hang', 'cut'] as const)(
    '[scenario 20] [PR8] [PR9] [PR10] alone (%s), for three times the timeout: it looks dead, continues to serve, and recovers',
    (how) =>
      withCluster({ nodes: WIRED, timeoutMs: TIMEOUT_MS }, async (cluster) => {
        const { gateway } = cluster.node(0);
        const wire = wireOf(cluster.node(0), 'redis');
        await looksDead(
          cluster,
          { users: 20, timeoutMs: TIMEOUT_MS },
          {
            number: 20,
            away: () => {
              wire[how]();
              return sleep(TIMEOUT_MS * 3);
            },
            meanwhile: async ([one]) => {
              await eventually(async () => expect((await gateway.call('GET', '/readyz')).status).toBe(503));
              const [stranger] = freshUsers(1);
              const refused = await refusal(gateway.wsUrl, { token: gateway.token(stranger) });
              expect(refused).toMatchObject({ status: 503, body: { code: 'presence-unavailable' } });
              const message = { to: { userId: one?.user }, type: 'still', data: 1 };
              expect((await gateway.service('POST', '/api/messages', message)).status).toBe(200);
              await one?.client.next('still');
            },
            return: () => wire.heal(),
          },
        );
      }),
  );

  it.each(['hang', 'cut'] as const)(
    '[scenario 20] [PR10] no node reaches Redis (%s) for two and a half times the timeout: nobody is logged out',
    (how) =>
      withCluster({ nodes: WIRED, timeoutMs: TIMEOUT_MS }, (cluster) =>
        everybodyIsCutOff(cluster, { users: 20, timeoutMs: TIMEOUT_MS, awayMs: TIMEOUT_MS * 2.5 }, how),
      ),
  );
});

describe.concurrent('late messages of an old node', () => {
  it('[scenario 12] [PR4] the notice to the old node is lost: the node learns of the loss with its next renewal', () =>
    withCluster({ nodes: BUN_AND_NODE, timeoutMs: TIMEOUT_MS }, async (cluster) => {
      for (const place of [0, 1]) {
        const { gateway } = cluster.node(place);
        const old = await joinAll(cluster.node(place), freshUsers(5));
        gateway.signalAll('SIGSTOP');
        // From now on, no listener receives the published messages.
        await cluster.redis.cli('CLIENT', 'KILL', 'TYPE', 'pubsub');
        const newer = await joinAll(
          cluster.node(1 - place),
          old.map(({ user }) => user),
        );
        gateway.signalAll('SIGCONT');
        const at = performance.now();
        const ends = await Promise.all(old.map(({ client }) => client.closed));
        expect(new Set(ends.map(({ code }) => code))).toEqual(new Set([4001]));
        const after = Math.max(...ends.map((end) => end.at - at));
        figure(12, `old sockets were closed ${Math.round(after)} ms after their node could hear again`);
        expect(after).toBeLessThanOrEqual(2_000);
        await sleep(TIMEOUT_MS + 500);
        await expectUnmoved(
          cluster,
          newer.map((member, index) => ({ ...member, welcome: old[index]?.welcome ?? member.welcome })),
        );
        leave(newer);
      }
    }));

  it('[scenario 21] [PR7] [PR8] killed and started under the same name: its earlier messages arrive late and are ignored', () =>
    withCluster(
      { nodes: [{ runtime: 'node', wires: ['redis'] }, { runtime: 'bun' }], timeoutMs: LONG_TIMEOUT_MS },
      async (cluster) => {
        const old = cluster.node(0);
        const crowd = await joinAll(old, freshUsers(10));
        await sleep(200);
        const wire = wireOf(old, 'redis');
        wire.hang();
        // Logouts by HTTP, a logout by message and closes that are in progress when the process dies.
        for (const { user, client, welcome } of crowd.slice(0, 4))
          void old.view.logout(user, welcome.epoch).catch(() => client.terminate());
        for (const { client } of crowd.slice(4, 7)) client.send({ type: 'logout' });
        for (const { client } of crowd.slice(7)) client.terminate();
        await sleep(300);
        await old.gateway.kill();
        const again = await cluster.add({ runtime: 'node', name: 'a' });
        const users = crowd.map(({ user }) => user);
        const back = await joinAll(again, users);
        expect(back.map(({ welcome }) => welcome.period)).toEqual(crowd.map(({ welcome }) => welcome.period));
        wire.heal();
        await sleep(LONG_TIMEOUT_MS + 1_500);
        await expectUnmoved(cluster, back);
        leave(back);
      },
    ));

  it('[scenario 21] [PR4] [PR8] started under the same name while the old process stands still: the old process learns that it lost its users', () =>
    withCluster(
      { nodes: [{ runtime: 'bun' }, { runtime: 'node' }], timeoutMs: LONG_TIMEOUT_MS },
      async (cluster) => {
        const old = cluster.node(0);
        const crowd = await joinAll(old, freshUsers(10));
        const [moving, staying] = [crowd.slice(0, 5), crowd.slice(5)];
        old.gateway.signalAll('SIGSTOP');
        const again = await cluster.add({ runtime: 'node', name: 'a' });
        const back = await joinAll(
          again,
          moving.map(({ user }) => user),
        );
        old.gateway.signalAll('SIGCONT');
        for (const { client } of moving) expect((await client.closed).code).toBe(4001);
        await sleep(LONG_TIMEOUT_MS + 1_500);
        await expectUnmoved(cluster, back);
        for (const { client } of staying) expect(client.socket.readyState).toBe(client.socket.OPEN);
        leave([...back, ...staying]);
      },
    ));
});
