import { afterAll, beforeAll, describe, it } from 'vitest';
import { ProxyScenario } from '../../support/proxy-scenario.ts';

describe('nginx, HAProxy and Caddy with 500 clients each in front of two nodes with the default stop times', () => {
  let scenario: ProxyScenario;
  beforeAll(async () => {
    // The defaults of production.
    scenario = await ProxyScenario.start({ players: 500, shutdownDelayMs: 5_000, drainTimeoutMs: 30_000 });
  });
  afterAll(() => scenario?.stop());

  it('[DR1] [DR2] a rolling restart and a drain log nobody out, and no client gets a 502 or 503', {
    timeout: 300_000,
  }, async () => {
    await scenario.everybodyIsIn();
    await scenario.restartOneAfterTheOther();
    await scenario.drainOne();
    await scenario.expectNobodyLost();
  });
});
