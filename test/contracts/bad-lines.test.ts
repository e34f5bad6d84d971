import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freshUsers } from '../support/crowd.ts';
import { sleep } from '../support/ports.ts';
import { PATIENT_REDIS_MS } from '../support/stores.ts';
import { BUN_AND_NODE, type Cluster, startCluster } from '../support/two-nodes.ts';
import { type Client, type Refusal, tryConnect } from '../support/ws-client.ts';

/** So long that no line times out before the next one takes over, also on a busy machine. */
const TIMEOUT_MS = 6_000;
const PING_INTERVAL_MS = 300;
/** A socket that was silent for longer does not count as a rival (rule PR4). */
const RESPONSIVE_FOR_MS = PING_INTERVAL_MS + 1_000;
/** A server that stands still for 1.5 s credits half a second to each socket. */
const CREDIT_MS = 700;
/** If the machine stops a node for half a second, its socket looks silent to the other node, and the take-over does not count. */
const UNSEEN_ON_TWO_NODES = 2;
/** More take-overs than the rule allows. */
const DEATHS = 7;

const ENV = {
  LINGXI_PING_INTERVAL_MS: String(PING_INTERVAL_MS),
  LINGXI_REDIS_TIMEOUT_MS: PATIENT_REDIS_MS,
  // A proof by HTTP lasts longer than the test, so it must not make a dead socket look alive.
  LINGXI_HTTP_TIMEOUT_MS: '30000',
};

type Dialect = 'seed' | 'lingxi.v1';

/** Connects to node `index` as a client whose line may die. It answers pings only if `answers` is set. */
function dial(cluster: Cluster, index: number, as: { user: number; dialect: Dialect; answers: boolean }) {
  const { gateway } = cluster.node(index);
  return tryConnect(gateway.wsUrl, {
    token: gateway.token(as.user),
    ...(as.dialect === 'seed' ? {} : { protocols: ['lingxi.v1'] }),
    autoPong: as.answers,
  });
}

function openOf(outcome: Client | Refusal): Client {
  if ('status' in outcome) throw new Error(`refused ${outcome.status} ${JSON.stringify(outcome.body)}`);
  return outcome;
}

describe.concurrent.each(['replace', 'reject'] as const)(
  '%s, after a line fails without a close',
  (policy) => {
    let cluster: Cluster;
    beforeAll(async () => {
      cluster = await startCluster({
        nodes: BUN_AND_NODE,
        timeoutMs: TIMEOUT_MS,
        env: { ...ENV, LINGXI_SESSION_POLICY: policy },
      });
    });
    afterAll(() => cluster?.stop());

    const lines: readonly (readonly [string, Dialect, readonly number[]])[] = [
      ['bun', 'seed', [0]],
      ['node', 'seed', [1]],
      ['both nodes in turn', 'seed', [0, 1]],
      ['bun', 'lingxi.v1', [0]],
      ['node', 'lingxi.v1', [1]],
      ['both nodes in turn', 'lingxi.v1', [0, 1]],
    ];
    it.concurrent.each(lines)(
      '[PR4] over %s (%s): the server never refuses the user and never logs them out',
      async (_name, dialect, nodes) => {
        const [user = 0] = freshUsers(1);
        const clients: Client[] = [];
        for (let death = 0; death < DEATHS; death += 1) {
          const node = nodes[death % nodes.length] ?? 0;
          const client = openOf(await dial(cluster, node, { user, dialect, answers: false }));
          clients.push(client);
          client.ping();
          // From now on its socket sends nothing, but its page continues by HTTP. The first answer shows that the node has read on.
          await cluster.node(node).view.heartbeat(user);
          await sleep(RESPONSIVE_FOR_MS + CREDIT_MS);
          await cluster.node(1 - node).view.heartbeat(user);
        }
        // A newer connection ended each of them, and the last one is open.
        for (const { closed } of clients.slice(0, -1)) expect((await closed).code).toBe(4001);
        expect(clients.at(-1)?.socket.readyState).toBe(1);
        expect(await cluster.periods(user)).toMatchObject([{ settledAt: undefined }]);
        clients.at(-1)?.terminate();
      },
      60_000,
    );

    const dances: readonly (readonly [string, Dialect, readonly [number, number]])[] = [
      ['on bun', 'seed', [0, 0]],
      ['on node', 'lingxi.v1', [1, 1]],
      ['on two nodes', 'seed', [0, 1]],
      ['on two nodes', 'lingxi.v1', [1, 0]],
    ];
    it.concurrent.each(dances)(
      '[PR4] two live tabs %s (%s) do not replace each other forever',
      async (_name, dialect, nodes) => {
        const [user = 0] = freshUsers(1);
        const unseen = nodes[0] === nodes[1] ? 0 : UNSEEN_ON_TWO_NODES;
        let takeOvers = -1;
        let present: Client | undefined;
        for (;;) {
          const outcome = await dial(cluster, nodes[takeOvers % 2 === 0 ? 1 : 0] ?? 0, {
            ...{ user, dialect, answers: true },
          });
          if ('status' in outcome) {
            const code = policy === 'reject' ? 'session-exists' : 'session-flapping';
            expect([outcome.status, outcome.body['code']]).toEqual([409, code]);
            break;
          }
          if (present !== undefined) expect((await present.closed).code).toBe(4001);
          present = outcome;
          takeOvers += 1;
          expect(takeOvers).toBeLessThanOrEqual(5 + unseen);
          if (dialect === 'seed') present.keepAlive(PING_INTERVAL_MS);
          // Longer than the other node's data about it stays valid, so a message must update it in time.
          await sleep(RESPONSIVE_FOR_MS * 1.5);
        }
        const counted = policy === 'reject' ? 0 : 5;
        expect(takeOvers).toBeGreaterThanOrEqual(counted);
        expect(takeOvers).toBeLessThanOrEqual(counted + unseen);
        expect(present?.socket.readyState).toBe(1);
        present?.terminate();
      },
      60_000,
    );
  },
);
