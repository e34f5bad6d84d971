import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway } from '../support/gateway-process.ts';
import { eventually, sleep } from '../support/ports.ts';
import { viewPresence } from '../support/presence-view.ts';
import { COMBINATIONS, type Deployment, deploy, freshUser } from '../support/stores.ts';
import type { Client } from '../support/ws-client.ts';

/** The default drain timeout of these tests is 3 s. */
const CLOSING_MS = 2_000;
const CLIENTS = 9;
/** A busy machine may stop a process for this long. */
const BUSY_MS = 1_500;

interface Member {
  readonly user: number;
  readonly client: Client;
}

/** The time from the first close to each other one, in order, by the clock of the node. Each client must get a time to reconnect. */
async function closingTimes(gateway: Gateway, members: readonly Member[]): Promise<readonly number[]> {
  const clients = members.map(({ client }) => client);
  const goodbyes = await Promise.all(clients.map((client) => client.next('goodbye', CLOSING_MS * 5)));
  for (const { data } of goodbyes) {
    const { code, reconnectAfterMs } = data as { code: number; reconnectAfterMs: number };
    expect(code).toBe(1012);
    expect(reconnectAfterMs).toBeLessThan(1_000);
  }
  const ends = await Promise.all(clients.map(({ closed }) => closed));
  expect(ends.map(({ code }) => code)).toEqual(ends.map(() => 1012));
  const lines = await Promise.all(
    members.map(({ user }) => gateway.waitForLog('disconnected', ({ userId }) => userId === user)),
  );
  const times = lines.map(({ time }) => Date.parse(String(time))).sort((a, b) => a - b);
  return times.map((at) => at - (times[0] ?? 0));
}

/** The closes are spread over the whole time, not in a burst. Two closes at once on a busy machine are not a burst. */
function expectEvenPace(times: readonly number[]): void {
  const gaps = times.slice(1).map((at, index) => at - (times[index] ?? 0));
  const even = CLOSING_MS / (times.length - 1);
  const median = gaps.toSorted((a, b) => a - b)[Math.floor(gaps.length / 2)];
  expect(times.at(-1)).toBeGreaterThan(CLOSING_MS * 0.8);
  expect(times.at(-1)).toBeLessThan(CLOSING_MS * 1.5 + BUSY_MS);
  expect(Math.max(...gaps)).toBeLessThan(even + BUSY_MS);
  expect(median).toBeGreaterThan(even * 0.5);
}

const deployments = new Map<(typeof COMBINATIONS)[number], Deployment>();
beforeAll(async () => {
  // Starts all of them first, because a start would disturb the pace of another node.
  await Promise.all(COMBINATIONS.map(async (one) => deployments.set(one, await deploy(one))));
});
afterAll(() => Promise.all([...deployments.values()].map((deployment) => deployment.stop())));

describe.concurrent.each(COMBINATIONS)('a drain on $runtime with $kind', (combination) => {
  it('[DR1] closes connections one after the other over two thirds of the drain timeout', async () => {
    const deployment = deployments.get(combination) ?? expect.fail('not deployed');
    const { gateway } = deployment;
    const view = viewPresence(deployment);
    const crowd = (): Promise<Member[]> =>
      Promise.all(
        Array.from({ length: CLIENTS }, async () => {
          const user = freshUser();
          return { user, client: await view.v1(user) };
        }),
      );

    const drained = await crowd();
    expect((await gateway.service('POST', '/api/drain')).status).toBe(200);
    expectEvenPace(await closingTimes(gateway, drained));
    // A drain that is cancelled in the middle closes no further connection.
    expect((await gateway.service('DELETE', '/api/drain')).status).toBe(200);
    const kept = await crowd();
    expect((await gateway.service('POST', '/api/drain')).status).toBe(200);
    await Promise.race(kept.map(({ client }) => client.closed));
    expect((await gateway.service('DELETE', '/api/drain')).status).toBe(200);
    const open = async () => Number((await gateway.service('GET', '/ws/stats')).body['connections']);
    // The clients answer the last close frames. Until then the node counts other sockets than they do.
    const left = await eventually(async () => {
      const sockets = kept.filter(({ client: { socket } }) => socket.readyState === socket.OPEN).length;
      expect(await open()).toBe(sockets);
      return sockets;
    });
    expect(left).toBeGreaterThan(0);
    await sleep(CLOSING_MS);
    expect(await open()).toBe(left);
    for (const { client } of kept) client.terminate();

    const stopped = await crowd();
    const before = performance.now();
    const exit = gateway.terminate();
    expectEvenPace(await closingTimes(gateway, stopped));
    expect(await exit).toEqual({ code: 0, signal: null });
    expect(performance.now() - before).toBeLessThan(4_000 + BUSY_MS);
  });
});
