import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sleep } from '../support/ports.ts';
import { viewPresence } from '../support/presence-view.ts';
import { type Deployment, deploy, freshUser } from '../support/stores.ts';

const TIMEOUT_MS = 4_000;

describe.concurrent.each(['bun', 'node'] as const)('a gateway that stands still on %s', (runtime) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy({
      runtime,
      kind: 'embedded',
      env: { LINGXI_HEARTBEAT_TIMEOUT_MS: String(TIMEOUT_MS), LINGXI_PING_INTERVAL_MS: '500' },
    });
  });
  afterAll(() => deployment?.stop());

  it('[HB5] logs nobody out for unobserved time, and a user who stays silent still times out', async () => {
    const view = viewPresence(deployment);
    const [alive, silent] = [freshUser(), freshUser()];
    const client = await view.seed(alive);
    client.keepAlive(300);
    await sleep(500);
    const quietFrom = performance.now();
    const quiet = await view.seed(silent);
    deployment.gateway.signalAll('SIGSTOP');
    const observedMs = performance.now() - quietFrom;
    await sleep(TIMEOUT_MS * 2);
    const resumed = performance.now();
    deployment.gateway.signalAll('SIGCONT');
    await sleep(700);
    expect(client.socket.readyState).toBe(client.socket.OPEN);
    expect(quiet.socket.readyState).toBe(quiet.socket.OPEN);
    const closed = await quiet.closed;
    expect(closed.code).toBe(4100);
    // The server observed the silence before the stall, and 1 s of the stall.
    expect(closed.at - resumed).toBeGreaterThan(TIMEOUT_MS - 1_100 - observedMs);
    expect(closed.at - resumed).toBeLessThan(TIMEOUT_MS + 3_000);
    expect(client.socket.readyState).toBe(client.socket.OPEN);
    await deployment.gateway.waitForLog('stall-credited');
    client.terminate();
  });
});
