import { afterAll, beforeAll, describe, it } from 'vitest';
import { ProxyScenario } from '../support/proxy-scenario.ts';

describe('nginx, HAProxy and Caddy, configured as in docs/BEHIND-A-PROXY.md, in front of two nodes', () => {
  let scenario: ProxyScenario;
  beforeAll(async () => {
    // Load balancers check every second: two checks of HAProxy fall into the delay, also on a busy machine.
    scenario = await ProxyScenario.start({ players: 8, shutdownDelayMs: 5_000, drainTimeoutMs: 3_000 });
  });
  afterAll(() => scenario?.stop());

  it('forward sockets, requests, events, the address of a client and the Host of a page', async () => {
    await scenario.everybodyIsIn();
    await scenario.foreignPagesAreRefused();
  });

  it('[DR1] [DR2] a rolling restart and a drain log nobody out, and no client gets a 502 or 503', async () => {
    await scenario.restartOneAfterTheOther();
    await scenario.drainOne();
    await scenario.expectNobodyLost();
  });
});
