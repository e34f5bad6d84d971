import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, sleep } from '../support/ports.ts';
import { openHttp, requestText } from '../support/raw-http.ts';
import { type Deployment, deploy } from '../support/stores.ts';
import { startWitness, type Witness } from '../support/witness.ts';

const VIEW_KEY = 'test-view-key-0123456789abcdef0123456789';
const USERS = 4_000;
const LOGINS_AT_ONCE = 50;
const SOCKETS = 50;
/** The limit of a view key: requests at once, and then in each second. */
const VIEW_BURST = 100;
const VIEW_PER_SECOND = 50;
/** Requests that a client sends at once on one connection. */
const PIPELINED = 16;
/**
 * A flood of cheap requests does not delay it this long. On an idle machine the wait is under 20 ms, but the tests share two
 * cores. Selections without slices block the loop for seconds.
 */
const WITNESS_LIMIT_MS = 2_500;

describe.each(['bun', 'node'] as const)('floods of queries for the table of users on %s', (runtime) => {
  let deployment: Deployment;
  let witness: Witness;
  beforeAll(async () => {
    deployment = await deploy({
      runtime,
      kind: 'embedded',
      env: {
        LINGXI_VIEW_KEY: VIEW_KEY,
        LINGXI_UNKNOWN_USERS: 'ignore',
        LINGXI_LOGINS_PER_MINUTE: '0',
        LINGXI_HTTP_TIMEOUT_MS: '600000',
      },
    });
    const { gateway } = deployment;
    for (let first = 1; first <= USERS; first += LOGINS_AT_ONCE) {
      const users = Array.from({ length: LOGINS_AT_ONCE }, (_, index) => String(first + index));
      const answers = await Promise.all(
        users.map((playerId) => gateway.service('POST', '/api/online/login', { playerId })),
      );
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    }
    witness = await startWitness(gateway);
  }, 120_000);
  afterAll(async () => {
    witness?.stop();
    await deployment?.stop();
  });

  /** The statuses of all answers. Bun itself ends a connection that sends more before a slow answer. */
  const flood = async (key: string, pathOf: (number: number) => string): Promise<readonly number[]> => {
    const headers = { Authorization: `Bearer ${key}` };
    const sockets = Array.from({ length: SOCKETS }, (_, socket) => {
      const requests = Array.from({ length: PIPELINED }, (__, index) =>
        requestText('GET', pathOf(socket * PIPELINED + index), { headers }),
      );
      return openHttp(deployment.gateway.port(), requests.join(''));
    });
    const answers = await Promise.all(sockets.map((socket) => socket.settled(PIPELINED, 20_000)));
    for (const { destroy } of sockets) destroy();
    return answers.flat().map(({ status }) => status);
  };
  /** All queries differ, so that none shares the answer of another. */
  const question = (number: number): string =>
    `/api/dashboard/users?sort=name&offset=${USERS - 1_000 + number}&limit=1`;
  /** The same number of cheap requests. The witness would wait as long for these on any path. */
  const waitOfCheapFlood = async (): Promise<number> => {
    witness.forget();
    await flood(deployment.gateway.apiKey, () => '/api/nodes');
    await witness.noticedNothing(Number.POSITIVE_INFINITY);
    return witness.worstMs();
  };

  it('with the service key are answered or refused with 503', async () => {
    const { gateway } = deployment;
    const statuses = await flood(gateway.apiKey, question);
    expect(statuses).toContain(503);
    expect(statuses.filter((status) => status !== 200 && status !== 503)).toEqual([]);
    await eventually(async () => {
      const { status, body } = await gateway.service('GET', question(0));
      expect([status, body['total']]).toEqual([200, USERS]);
    });
  });

  it('with the view key get 429 beyond its limit, and delay no other client', async () => {
    const limitMs = (await waitOfCheapFlood()) + WITNESS_LIMIT_MS;
    witness.forget();
    const began = performance.now();
    const statuses = await flood(VIEW_KEY, question);
    const tookS = (performance.now() - began) / 1000;
    await witness.noticedNothing(limitMs);
    expect(statuses).toContain(429);
    // The whole burst, and what is added while the flood lasts.
    expect(statuses.filter((status) => status !== 429).length).toBeLessThanOrEqual(
      VIEW_BURST + Math.ceil(VIEW_PER_SECOND * tookS),
    );
  });

  it('a limited view key works again after the time of Retry-After', async () => {
    const { gateway } = deployment;
    const ask = () => gateway.call('GET', '/api/nodes', { headers: { authorization: `Bearer ${VIEW_KEY}` } });
    let refused = await ask();
    for (let count = 0; refused.status === 200 && count < 1_000; count += 20)
      refused =
        (await Promise.all(Array.from({ length: 20 }, ask))).find(({ status }) => status !== 200) ?? refused;
    expect([refused.status, refused.body['code']]).toEqual([429, 'rate-limited']);
    const waitS = Number(refused.headers.get('retry-after'));
    expect(waitS).toBe(1);
    await sleep(waitS * 1_000);
    expect((await ask()).status).toBe(200);
  });
});
