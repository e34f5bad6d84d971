import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { startGateway } from '../support/gateway-process.ts';

const hasIpv6 = Object.values(networkInterfaces()).some((some) =>
  some?.some(({ address }) => address === '::1'),
);
const ADDRESS = hasIpv6 ? '[::1]' : '[127.0.0.1]';
const SHOWN = hasIpv6 ? ADDRESS : '127.0.0.1';

describe.concurrent.each(['bun', 'node'] as const)('HOST on %s', (runtime) => {
  it('may be an address in brackets, as in a URL', async () => {
    const gateway = await startGateway({ runtime, stores: 'embedded', env: { HOST: ADDRESS } });
    try {
      expect((await fetch(`http://${SHOWN}:${gateway.port()}/healthz`)).status).toBe(200);
      expect(gateway.printed()).not.toContain('[[');
    } finally {
      await gateway.stop();
    }
  });
});
