import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ReconnectStorm } from '../support/reconnect-storm.ts';
import { figure } from '../support/two-nodes.ts';

const USERS = 2_000;

describe('a storm of reconnects on two nodes', () => {
  let storm: ReconnectStorm;
  beforeAll(async () => {
    storm = await ReconnectStorm.start(USERS);
  });
  afterAll(() => storm?.stop());

  it('[scenario 24] [DR3] [PR5] 2,000 users lose their connections at once: all reconnect, and nobody is logged out', async () => {
    await storm.login(4_000);
    const { allBackMs, lost, refusals, pongP99Ms } = await storm.break(1_000);
    figure(
      24,
      `${USERS} reconnects in 1 s on two nodes: all back after ${allBackMs} ms, ${lost.length} logged out, refused ${JSON.stringify(refusals)}, pong p99 ${pongP99Ms.join(' and ')} ms`,
    );
    expect(lost).toEqual([]);
    expect(await storm.cluster.ends(...storm.users)).toBe(0);
    expect(allBackMs).toBeLessThan(30_000);
  });
});
