import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLUSTER_PREFIX, CLUSTER_SLOT } from '../../src/redis/cluster.ts';
import { RedisLink } from '../../src/redis/link.ts';
import { startRedis } from '../support/redis.ts';
import { type RedisCluster, startRedisCluster } from '../support/redis-cluster.ts';
import { openSite, type Probe, type Site, startProbe, surviveFailover } from '../support/redis-failover.ts';
import { itServesPlayers } from '../support/redis-site-contract.ts';

describe('Redis Cluster', { timeout: 90_000 }, () => {
  let site: Site<RedisCluster>;
  let probe: Probe;
  beforeAll(async () => {
    site = await openSite(startRedisCluster);
    probe = await startProbe(site.redis.url);
  });
  afterAll(async () => {
    await probe?.stop();
    await site?.stop();
  });

  itServesPlayers(() => site, 'node');

  it('[contract 5] every key is in the slot of its prefix', async () => {
    const { redis } = site;
    expect(await redis.cli('CLUSTER', 'KEYSLOT', CLUSTER_PREFIX)).toBe(String(CLUSTER_SLOT));
    const keys = (await Promise.all(redis.servers.map((server) => server.cli('KEYS', '*')))).flatMap(
      (text) => (text === '' ? [] : text.split('\n')),
    );
    expect(keys).toContain(`${CLUSTER_PREFIX}lingxi:world`);
    expect(keys.filter((key) => !key.startsWith(CLUSTER_PREFIX))).toEqual([]);
  });

  it('[PR11] nobody is logged out when the master hangs, and no node returns to it when it continues', async () => {
    const former = await surviveFailover(site, async (master) => master.freeze());
    former.thaw();
    await site.redis.rejoin(former);
  });

  it('[PR11] nobody is logged out when a replica takes over the slots', async () => {
    const former = await surviveFailover(site, () => site.redis.switchOver());
    await site.redis.rejoin(former);
  });

  it('[PR11] nobody is logged out when the master dies', async () => {
    await surviveFailover(site, (master) => master.kill());
  });

  it('[PR11] nobody is logged out when the slot moves to another master', async () => {
    await surviveFailover(site, () => site.redis.moveSlot());
  });

  it('[PR11] every call ran on the server that it named', () => {
    expect(probe.strays).toEqual([]);
    expect(probe.servers.size).toBe(3);
  });

  it('the start reports a server that is not part of a cluster', async () => {
    const single = await startRedis();
    const link = new RedisLink({ url: `redis+cluster://127.0.0.1:${single.port}`, timeoutMs: 1000 });
    await expect(link.connect()).rejects.toThrow(/cluster support disabled/);
    link.disconnect();
    await single.stop();
  });
});
