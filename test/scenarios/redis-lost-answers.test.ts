import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadScripts, type ScriptName } from '../../src/presence/store/redis/scripts.ts';
import { eventually } from '../support/ports.ts';
import { welcomeOf } from '../support/presence-view.ts';
import {
  enter,
  onlineSet,
  type StorePair,
  settledPeriod,
  startPair,
  waitForReadiness,
} from '../support/store-pair.ts';
import { freshUser } from '../support/stores.ts';
import type { LossKind } from '../support/tcp-proxy.ts';
import { type Client, tryConnect } from '../support/ws-client.ts';

const TIMEOUT_MS = 3_000;
const SCRIPTS = loadScripts();
const KINDS: readonly { readonly how: LossKind }[] = [{ how: 'breaks' }, { how: 'hangs' }];

/** Requests that run a script for a user: by its hash, or by its text if the connection is new. */
const runs = (name: ScriptName, user: number) => {
  const hash = createHash('sha1').update(SCRIPTS[name]).digest('hex');
  const isScript = (request: string): boolean => request.includes(hash) || request.includes(`\n-- ${name}: `);
  const named = new RegExp(`(\r\n|")${user}(\r\n|")`);
  return (request: string): boolean => isScript(request) && named.test(request);
};

describe.concurrent.each(KINDS)('the answer of a script is lost, and the connection $how', ({ how }) => {
  let pair: StorePair;
  beforeAll(async () => {
    // A login that is refused while Redis hangs is a proof of life by HTTP (rule DR4).
    pair = await startPair({ timeoutMs: TIMEOUT_MS, env: { LINGXI_HTTP_TIMEOUT_MS: String(TIMEOUT_MS) } });
  });
  afterAll(() => pair?.stop());

  /** A refused client tries again. */
  const insist = (user: number): Promise<Client> =>
    eventually(async () => {
      const { gateway } = pair.bun;
      const options = { token: gateway.token(user), protocols: ['lingxi.v1'], autoPong: false };
      const outcome = await tryConnect(gateway.wsUrl, options);
      if ('status' in outcome) throw new Error(`refused: ${outcome.status} ${JSON.stringify(outcome.body)}`);
      return outcome;
    });

  /** The entries of the feed about the user. */
  async function changes(user: number): Promise<readonly string[]> {
    const flat = (await pair.redis.cli('XRANGE', 'lingxi:feed', '-', '+')).split('\n');
    return flat.flatMap((value, index) =>
      value === 'u' && flat[index + 1] === String(user) ? [flat[index + 5] ?? ''] : [],
    );
  }

  /** Whether it ran once or twice: one period, one end, one row, one pair of changes. */
  async function expectOneEnd(user: number, period: number, reason: string): Promise<void> {
    const row = await settledPeriod(pair, user, 20_000);
    expect(row).toMatchObject({ period, reason, userTime: row.logoutAt });
    expect(await changes(user)).toEqual(['online', 'offline']);
    expect((await onlineSet(pair.redis)).has(String(user))).toBe(false);
    await eventually(async () => expect(await pair.redis.cli('XLEN', 'lingxi:duties')).toBe('0'));
  }

  it.sequential.each(['claim', 'record'] as const)(
    '[scenario 34] [PR2] [PR3] %s of a login, and its end by timeout: one period, one end',
    async (script) => {
      await waitForReadiness(pair, 200);
      const user = freshUser();
      const lost = pair.redisProxy.loseAnswer(runs(script, user), how);
      const client = await insist(user);
      const { period, epoch } = await welcomeOf(client);
      expect(lost.count()).toBe(1);
      expect(epoch).toBeGreaterThanOrEqual(period);
      expect(await pair.periods(user)).toMatchObject([{ period, settledAt: null }]);
      const lostEnd = pair.redisProxy.loseAnswer(runs('claim', user), how, 2);
      client.terminate();
      await eventually(() => expect(lostEnd.count()).toBe(2), { timeoutMs: 20_000 });
      await expectOneEnd(user, period, 'timeout');
    },
  );

  it.sequential('[scenario 34] [ST1] [ST2] a logout and the acknowledgement of its settlement: one end', async () => {
    await waitForReadiness(pair, 200);
    const [visitor] = await enter(pair.node, [freshUser()]);
    if (visitor === undefined) return expect.fail('nobody');
    const { user, welcome } = visitor;
    const lost = pair.redisProxy.loseAnswer(runs('end', user), how);
    const lostLater = pair.redisProxy.loseAnswer(runs('acknowledge', user), how, 2);
    // It is unknown whether it ran. A second call gives the same end.
    expect((await pair.node.logout(user)).status).toBe(503);
    expect(lost.count()).toBe(1);
    await eventually(async () => expect([200, 404]).toContain((await pair.node.logout(user)).status));
    await eventually(() => expect(lostLater.count()).toBe(2), { timeoutMs: 20_000 });
    await expectOneEnd(user, welcome.period, 'logout');
    expect((await visitor.client.closed).code).toBe(4000);
  });
});
