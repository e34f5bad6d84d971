import { describe, expect, it } from 'vitest';
import { eventually, freePort, sleep } from '../support/ports.ts';
import {
  enter,
  enterBoth,
  figure,
  leaveAll,
  marksOf,
  missingOf,
  type PairNode,
  type StorePair,
  settledPeriod,
  waitForReadiness,
  withPair,
} from '../support/store-pair.ts';
import { freshUser } from '../support/stores.ts';
import { refusal } from '../support/ws-client.ts';

/** A fault adds 2 s of silence for all users. A node is dead 1 s after the timeout, and must have renewed before that. */
const TIMEOUT_MS = 3_000;
const NOTICED_MS = 5_000;
const HEALED_MS = 5_000;

const fresh = (count: number): readonly number[] => Array.from({ length: count }, freshUser);

interface Trouble {
  readonly name: string;
  /** The answer of Redis, as the log quotes it. */
  readonly cause: RegExp;
  begin(pair: StorePair): Promise<unknown>;
  end(pair: StorePair): Promise<unknown>;
}

const TROUBLES: readonly Trouble[] = [
  {
    name: 'out of memory',
    cause: /OOM/,
    begin: ({ redis }) => redis.cli('CONFIG', 'SET', 'maxmemory', '1'),
    end: ({ redis }) => redis.cli('CONFIG', 'SET', 'maxmemory', '0'),
  },
  {
    name: 'read-only, a replica whose master is away',
    cause: /READONLY/,
    begin: async ({ redis }) => redis.cli('REPLICAOF', '127.0.0.1', String(await freePort())),
    end: ({ redis }) => redis.cli('REPLICAOF', 'NO', 'ONE'),
  },
];

describe('a Redis that answers and refuses', () => {
  async function expectRefusals({ gateway }: PairNode, online: number): Promise<void> {
    const login = await gateway.service('POST', '/api/online/login', { playerId: freshUser() });
    expect([login.status, login.body['code']]).toEqual([503, 'presence-unavailable']);
    const refused = await refusal(gateway.wsUrl, { token: gateway.token(freshUser()) });
    expect([refused.status, refused.body['code']]).toEqual([503, 'presence-unavailable']);
    const logout = await gateway.service('POST', '/api/online/logout', { playerId: online });
    expect([logout.status, logout.body['code']]).toEqual([503, 'presence-unavailable']);
    expect((await gateway.call('GET', '/healthz')).status).toBe(200);
  }

  it.concurrent.each(TROUBLES)(
    '[scenario 33] [PR10] [ST7] $name: degraded and reported, nothing dropped, recovers by itself',
    (trouble) =>
      withPair({ timeoutMs: TIMEOUT_MS }, async (pair) => {
        const visitors = await enterBoth(pair, fresh(20));
        const [silent, leaving] = await enter(pair.node, fresh(2));
        if (silent === undefined || leaving === undefined) return expect.fail('nobody');
        // A duty waits for SQL while Redis refuses writes.
        let logoutTime = Number.NaN;
        await pair.postgres.rival(async (query) => {
          await query('SELECT 1 FROM users WHERE id = $1 FOR UPDATE', [leaving.user]);
          const told = await pair.bun.logout(leaving.user);
          logoutTime = Number(told.body['logoutTime']);
          expect(told.status).toBe(200);
          await eventually(async () => expect(await pair.node.metric('lingxi_settlements_pending')).toBe(1));
          const marks = await marksOf(pair);

          await trouble.begin(pair);
          const from = performance.now();
          await waitForReadiness(pair, 503, NOTICED_MS);
          figure(`${trouble.name}: not ready after ${Math.round(performance.now() - from)} ms`);
          silent.silence();
          for (const node of pair.both) await expectRefusals(node, visitors[0]?.user ?? 0);
          await sleep(TIMEOUT_MS * 1.5);
          for (const [index, node] of pair.both.entries()) {
            const alerts = await node.loggedSoFar('presence-unavailable', marks[index]);
            expect(alerts).toMatchObject([{ level: 'warn', cause: expect.stringMatching(trouble.cause) }]);
            expect(node.logged('logged-out', marks[index])).toEqual([]);
          }
          const push = { to: { userId: visitors[0]?.user }, type: 'still', data: 1 };
          expect((await pair.bun.gateway.service('POST', '/api/messages', push)).status).toBe(200);
          await visitors[0]?.client.next('still');
          for (const { client } of [...visitors, silent])
            expect(client.socket.readyState).toBe(client.socket.OPEN);
        });

        await trouble.end(pair);
        const back = performance.now();
        await waitForReadiness(pair, 200, HEALED_MS);
        figure(`${trouble.name}: ready again ${Math.round(performance.now() - back)} ms after its end`);
        await eventually(async () => expect(await missingOf(pair.redis, visitors)).toEqual([]));
        expect(await settledPeriod(pair, leaving.user, 15_000)).toMatchObject({
          reason: 'logout',
          logoutAt: logoutTime,
          userTime: logoutTime,
        });
        expect((await silent.client.closed).code).toBe(4100);
        expect(await settledPeriod(pair, silent.user)).toMatchObject({ reason: 'timeout' });
        for (const { user, welcome } of visitors) {
          expect(await pair.periods(user)).toMatchObject([{ period: welcome.period, settledAt: null }]);
        }
        await eventually(async () => expect(await pair.node.metric('lingxi_settlements_pending')).toBe(0));
        leaveAll(visitors);
      }),
  );

  it.concurrent('[scenario 30] [PR10] SCRIPT FLUSH: the node loads the scripts again, and no user is affected', () =>
    // On a busy machine a slow answer of Redis would look like a script that is missing.
    withPair({ timeoutMs: TIMEOUT_MS, env: { LINGXI_REDIS_TIMEOUT_MS: '10000' } }, async (pair) => {
      const visitors = await enterBoth(pair, fresh(20));
      const marks = await marksOf(pair);
      for (let round = 0; round < 8; round += 1) {
        await pair.redis.cli('SCRIPT', 'FLUSH');
        const user = freshUser();
        const [one, other] = round % 2 === 0 ? pair.both : [pair.node, pair.bun];
        expect((await one.login(user)).status).toBe(200);
        await pair.redis.cli('SCRIPT', 'FLUSH');
        const { status, body } = await other.logout(user);
        expect(status).toBe(200);
        expect(await settledPeriod(pair, user)).toMatchObject({ logoutAt: body['logoutTime'] });
      }
      expect(await pair.redis.cli('INFO', 'memory')).toMatch(/^number_of_cached_scripts:[1-9]/m);
      expect(await missingOf(pair.redis, visitors)).toEqual([]);
      for (const [index, node] of pair.both.entries()) {
        expect(await node.loggedSoFar('presence-unavailable', marks[index])).toEqual([]);
        expect(node.logged('settlement-failed', marks[index])).toEqual([]);
      }
      leaveAll(visitors);
    }));
});
