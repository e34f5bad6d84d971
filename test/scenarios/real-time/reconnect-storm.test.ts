import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ReconnectStorm } from '../../support/reconnect-storm.ts';
import { figure } from '../../support/two-nodes.ts';

const USERS = 20_000;

describe('a storm of reconnects on two nodes, in full size', () => {
  let storm: ReconnectStorm;
  beforeAll(async () => {
    storm = await ReconnectStorm.start(USERS);
  });
  afterAll(() => storm?.stop());

  it('[scenario 24] [DR3] [PR5] 20,000 users reconnect within 5 s: all are connected within 30 s, nobody in time is logged out, and open connections are served', {
    timeout: 300_000,
  }, async () => {
    await storm.login(40_000);
    const { allBackMs, lost, lostInTime, refusals, pongP99Ms } = await storm.break(5_000);
    figure(
      24,
      `${USERS} reconnects in 5 s on two nodes: all back after ${allBackMs} ms, ${lost.length} logged out, refused ${JSON.stringify(refusals)}, pong p99 ${pongP99Ms.join(' and ')} ms`,
    );
    // On a small machine a few of them return later than 10 s after their last sign of life.
    expect(lostInTime).toEqual([]);
    expect(await storm.cluster.ends(...storm.users)).toBe(lost.length);
    expect(allBackMs).toBeLessThan(30_000);
  });
});
