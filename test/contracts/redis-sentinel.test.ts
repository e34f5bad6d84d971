import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RedisLink } from '../../src/redis/link.ts';
import { openSite, type Probe, type Site, startProbe, surviveFailover } from '../support/redis-failover.ts';
import { type RedisDeployment, startRedisSentinels } from '../support/redis-sentinel.ts';
import { itServesPlayers } from '../support/redis-site-contract.ts';

describe('Redis behind Sentinels', { timeout: 90_000 }, () => {
  let site: Site<RedisDeployment>;
  let probe: Probe;
  beforeAll(async () => {
    site = await openSite(startRedisSentinels);
    probe = await startProbe(site.redis.url);
  });
  afterAll(async () => {
    await probe?.stop();
    await site?.stop();
  });

  itServesPlayers(() => site, 'bun');

  it.each([
    ['another master', /lingxi-test/, 'nobody', /this Sentinel knows no master nobody/],
    ['a wrong password of the Sentinels', /sentinelPassword=.*/, 'sentinelPassword=hunter2', /WRONGPASS/],
    ['a wrong password of the master', /:of%3Athe%40master@/, ':hunter2@', /WRONGPASS/],
  ])('the start reports %s', async (_, right, wrong, sentence) => {
    const link = new RedisLink({ url: site.redis.url.replace(right, wrong), timeoutMs: 1000 });
    const told = await link.connect().catch((error: Error) => error.message);
    link.disconnect();
    expect(told).toMatch(sentence);
    expect(told).not.toMatch(/hunter2|%|@/);
  });

  it('[PR11] nobody is logged out when the Sentinels make the replica the master', async () => {
    await surviveFailover(site, () => site.redis.switchOver());
  });

  // The Sentinels do not change the old master for some seconds. It is a master again, with its old data.
  it('[PR11] nobody is logged out when the new master hangs before the old one follows it', async () => {
    const former = await surviveFailover(site, async (master) => master.freeze());
    former.thaw();
    await site.redis.rejoin(former);
  });

  it('[PR11] nobody is logged out when the master dies', async () => {
    await surviveFailover(site, (master) => master.kill());
  });

  it('[PR11] every call ran on the server that it named', () => {
    expect(probe.strays).toEqual([]);
    expect(probe.servers.size).toBe(2);
  });
});
