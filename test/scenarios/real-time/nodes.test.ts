import { describe, expect, it } from 'vitest';
import { BLOCK_LOOP, prepareMisbehaviour } from '../../support/misbehaviour.ts';
import {
  drains,
  everybodyIsCutOff,
  everybodyIsGone,
  everybodyStandsStill,
  looksDead,
  nodeDies,
  pause,
  standsStill,
} from '../../support/node-scenarios.ts';
import { sleep } from '../../support/ports.ts';
import {
  BUN_AND_NODE,
  type ClusterOptions,
  type NodeOptions,
  wireOf,
  withCluster,
} from '../../support/two-nodes.ts';

const TIMEOUT_MS = 10_000;
const MINUTE_MS = 60_000;
const WIRED: ClusterOptions = {
  nodes: [
    { runtime: 'bun', wires: ['redis'] },
    { runtime: 'node', wires: ['redis'] },
  ],
  timeoutMs: TIMEOUT_MS,
};

describe.each([
  ['bun', 'node'],
  ['node', 'bun'],
] as const)('in real time and full size, on %s with a peer on %s', (runtime, peer) => {
  const nodes: readonly NodeOptions[] = [{ runtime }, { runtime: peer }];
  const cluster: ClusterOptions = { nodes, timeoutMs: TIMEOUT_MS };

  it(
    '[scenario 13] [PR8] [ST5] kill -9 with 5,000 users: the peer logs each out once, at most 12 s later',
    () =>
      withCluster(cluster, (running) =>
        nodeDies(
          running,
          { users: 5_000, timeoutMs: TIMEOUT_MS },
          {
            number: 13,
            how: `kill -9 of ${runtime}`,
            die: () => running.node(0).gateway.kill(),
          },
        ),
      ),
    2 * MINUTE_MS,
  );

  it(
    '[scenario 16] [HB5] [PR8] stopped for 8 s: no logout',
    () =>
      withCluster(cluster, (running) =>
        standsStill(
          running,
          { users: 500, timeoutMs: TIMEOUT_MS },
          { place: 0, stop: () => pause(running, 0, 8_000) },
        ),
      ),
    2 * MINUTE_MS,
  );

  it(
    '[scenario 17] [PR8] [PR9] stopped for 20 s with a living peer: one logout each, then new connections',
    () =>
      withCluster(cluster, (running) => {
        const { gateway } = running.node(0);
        return looksDead(
          running,
          { users: 500, timeoutMs: TIMEOUT_MS },
          {
            number: 17,
            away: () => {
              gateway.signalAll('SIGSTOP');
              return sleep(20_000);
            },
            return: () => gateway.signalAll('SIGCONT'),
          },
        );
      }),
    2 * MINUTE_MS,
  );

  it(
    '[scenario 18] [HB5] loop blocked for 5 s: no logout',
    async () => {
      const misbehaviour = prepareMisbehaviour({ runtime, blockMs: 5_000 });
      const prepared = nodes.map((node, place) => (place === 0 ? { ...node, env: misbehaviour.env } : node));
      await withCluster({ ...cluster, nodes: prepared }, (running) =>
        standsStill(
          running,
          { users: 500, timeoutMs: TIMEOUT_MS },
          {
            place: 0,
            stop: async () => {
              const { gateway } = running.node(0);
              gateway.signalAll(BLOCK_LOOP);
              const began = performance.now();
              await sleep(1_000);
              expect((await gateway.call('GET', '/healthz')).status).toBe(200);
              expect(performance.now() - began).toBeGreaterThan(4_000);
            },
          },
        ),
      ).finally(() => misbehaviour.remove());
    },
    2 * MINUTE_MS,
  );

  it(
    '[scenario 23] [DR1] [DR2] drain with 10,000 users: no settlement for users who return in time',
    () =>
      withCluster({ ...cluster, env: { ...cluster.env, LINGXI_DRAIN_TIMEOUT_MS: '30000' } }, (running) =>
        drains(running, { users: 10_000, timeoutMs: TIMEOUT_MS, leastInTime: 0.1 }),
      ),
    3 * MINUTE_MS,
  );
});

describe('all nodes in real time', () => {
  it(
    '[scenario 19] [PR8] [ST5] all nodes are gone for a minute: users have time to return, the others are settled',
    () =>
      withCluster({ nodes: BUN_AND_NODE, timeoutMs: TIMEOUT_MS }, (running) =>
        everybodyIsGone(running, {
          users: 1_000,
          timeoutMs: TIMEOUT_MS,
          awayMs: MINUTE_MS,
          returnWithinMs: 6_000,
        }),
      ),
    4 * MINUTE_MS,
  );

  it(
    '[scenario 19] [HB5] [PR10] all nodes stand still for a minute: no connected user is logged out',
    () =>
      withCluster({ nodes: BUN_AND_NODE, timeoutMs: TIMEOUT_MS }, (running) =>
        everybodyStandsStill(running, { users: 500, timeoutMs: TIMEOUT_MS, awayMs: MINUTE_MS }),
      ),
    4 * MINUTE_MS,
  );

  it.each(['hang', 'cut'] as const)(
    '[scenario 20] [PR8] [PR9] one node is cut off from Redis for 30 s (%s): it looks dead, then recovers',
    (how) =>
      withCluster(WIRED, (running) => {
        const wire = wireOf(running.node(0), 'redis');
        return looksDead(
          running,
          { users: 500, timeoutMs: TIMEOUT_MS },
          {
            number: 20,
            away: () => {
              wire[how]();
              return sleep(30_000);
            },
            return: () => wire.heal(),
          },
        );
      }),
    3 * MINUTE_MS,
  );

  it.each(['hang', 'cut'] as const)(
    '[scenario 20] [PR10] all nodes are cut off from Redis for 30 s (%s): nobody is logged out',
    (how) =>
      withCluster(WIRED, (running) =>
        everybodyIsCutOff(running, { users: 500, timeoutMs: TIMEOUT_MS, awayMs: 30_000 }, how),
      ),
    3 * MINUTE_MS,
  );
});
