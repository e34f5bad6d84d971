import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REPOSITORY } from '../support/cache.ts';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { type Ended, runLingxi, runProgram } from '../support/lingxi-command.ts';
import { readMetrics } from '../support/metrics.ts';
import { eventually, freePort } from '../support/ports.ts';

const SMALL = ['--connections', '20', '--logins-per-second', '100', '--seconds', '1'];
const TIMEOUT_MS = 120_000;

function credentials({ apiKey, jwtSecret }: Gateway): readonly string[] {
  return ['--api-key', apiKey, '--jwt-secret', jwtSecret];
}

function load(gateway: Gateway, ...more: readonly string[]): Promise<Ended> {
  return runLingxi(['bench', '--target', gateway.url, ...credentials(gateway), ...SMALL, ...more]);
}

// These wait for the minutes of the soak, or for a server. The command runs on Node, whatever the runtime of the gateway.
describe.concurrent.each(['bun'] as const)('lingxi bench --target, a gateway on %s', (runtime) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      runtime,
      stores: 'embedded',
      env: { LINGXI_HEARTBEAT_TIMEOUT_MS: '3000' },
    });
  });
  afterAll(() => gateway?.stop());

  it.sequential('reports logins, pushes and detection, beside the requested values', async () => {
    const { code, out, output } = await load(gateway, '--detection', '--json');
    expect(code, output).toBe(0);
    const { complete, logins, pushes, detection, loadShare } = JSON.parse(out);
    expect(complete).toBe(true);
    // The first user logs in alone.
    expect(logins).toMatchObject({ asked: 19, done: 19, refusals: {} });
    expect(pushes).toMatchObject({ asked: 100, arrived: 100 });
    expect(pushes.latency.min).toBeGreaterThan(0);
    expect(detection).toMatchObject({ asked: 20, seen: 20 });
    // The server begins to count when the last ping arrives, so no close is early. One millisecond for two clocks.
    expect(detection.lag.min).toBeGreaterThan(-1);
    expect(loadShare).toBeGreaterThan(0);
  });

  it.sequential('prints histograms for a person', async () => {
    const { code, out, output } = await load(gateway);
    expect(code).toBe(0);
    expect(output).toContain(
      'Connecting 20 users: one has logged in alone, the others follow at 100 a second.',
    );
    expect(out).toMatch(/logins +19 of 19, \d+\/s; one more user logged in before them, alone/);
    expect(out).toContain('pushes         100 of 100 arrived');
    expect(out).toMatch(/Pushes, from the intended time to the arrival\n +<= [\d.]+ ms +\d+ {2}[█▏]/);
  });

  it.sequential('a wrong secret causes one refused login and one sentence', async () => {
    const args = ['--api-key', gateway.apiKey, '--jwt-secret', 'wrong-secret-0123456789abcdef0123456789'];
    const { code, out, output } = await runLingxi(['bench', '--target', gateway.url, ...args, ...SMALL]);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(output).toMatch(/refused user \d+ \(401 invalid-token\): pass the JWT_SECRET of that server/);
  });

  it.sequential('a wrong service key causes one sentence', async () => {
    const args = ['--api-key', `${gateway.apiKey}x`, '--jwt-secret', gateway.jwtSecret];
    const { code, out, output } = await runLingxi(['bench', '--target', gateway.url, ...args, ...SMALL]);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(output).toContain('does not take this service key (401');
  });
});

describe.concurrent('lingxi bench soak', () => {
  const gateways: Gateway[] = [];
  afterAll(() => Promise.all(gateways.map((gateway) => gateway.stop())));
  const start = async (): Promise<Gateway> => {
    const env = { LINGXI_HEARTBEAT_TIMEOUT_MS: '3000' };
    const gateway = await startGateway({ runtime: 'bun', stores: 'embedded', env });
    gateways.push(gateway);
    return gateway;
  };
  /** Other tests that begin beside it make a machine slower. Then it says that the lag grew, as it should. */
  const soak = async (gateway: Gateway, ...args: readonly string[]): Promise<Ended> => {
    const all = ['bench', 'soak', '--target', gateway.url, ...credentials(gateway), '--users', '20', ...args];
    let ended = await runLingxi(all);
    for (let runs = 1; runs < 3 && ended.output.includes('The detection lag grew'); runs += 1)
      ended = await runLingxi(all);
    return ended;
  };

  it(
    'a soak that is too short for a verdict on memory says so, and labels its lines in seconds',
    async () => {
      const gateway = await start();
      // A line every 10 s, the first one at the start.
      const { out, output, code } = await soak(gateway, '--minutes', '0.3');
      expect(code, output).toBe(0);
      expect(out).toContain(
        'memory       no verdict: that needs 10 minutes after the warm-up (--minutes 15)',
      );
      expect(out).toContain('Too short to say whether memory');
      expect(output).not.toContain('Nothing grew');
      const labels = output.match(/^\d+ min \d\d s: /gm) ?? [];
      expect(labels).toHaveLength(2);
      expect(new Set(labels).size).toBe(2);
    },
    TIMEOUT_MS,
  );

  it(
    'a soak measures the memory, the descriptors and the detection of a running server',
    async () => {
      const gateway = await start();
      const { out, output, code } = await soak(gateway, '--minutes', '0.15', '--json');
      expect(code, output).toBe(0);
      const report = JSON.parse(out);
      expect(report).toMatchObject({ findings: [] });
      // A run of nine seconds says nothing about memory.
      expect(report).not.toHaveProperty('bytesPerMinute');
      expect(report.samples.length).toBeGreaterThan(3);
      expect(report.lag.count).toBeGreaterThan(0);
      expect(report.joined).toBeGreaterThan(20);
    },
    TIMEOUT_MS,
  );
});

describe.concurrent('lingxi bench --target', () => {
  it.sequential(
    'a server that dies in the run leaves no result that looks complete',
    async () => {
      const gateway = await startGateway({ runtime: 'bun', stores: 'embedded' });
      try {
        const running = load(gateway, '--seconds', '60');
        await eventually(async () => expect((await readMetrics(gateway))('lingxi_connections')).toBe(20), {
          timeoutMs: 40_000,
        });
        await gateway.kill();
        const { code, out, output } = await running;
        expect(code).toBe(2);
        expect(out).toBe('');
        expect(output).toMatch(/The server ended \d+ connections during the run|gives no answer/);
      } finally {
        await gateway.stop();
      }
    },
    TIMEOUT_MS,
  );

  it.sequential.each(['bun', 'node'] as const)(
    'a server on %s that refuses some logins: the sentence says how many and why',
    async (runtime) => {
      const gateway = await startGateway({
        runtime,
        stores: 'embedded',
        env: { LINGXI_MAX_CONNECTIONS: '5' },
      });
      try {
        const { code, output } = await load(gateway);
        expect(code).toBe(2);
        expect(output).toMatch(/4 of 19 logins went well; the others: 15 × 503 overloaded/);
      } finally {
        await gateway.stop();
      }
    },
  );

  it.sequential('no server at the address: one sentence', async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    const secrets = ['--api-key', 'k'.repeat(32), '--jwt-secret', 's'.repeat(32)];
    const { code, out, output } = await runLingxi(['bench', '--target', url, ...secrets]);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(output).toContain(`${url} gives no answer (ECONNREFUSED): start the server`);
  });

  it.sequential('another program at the address: one sentence', async () => {
    const server = createServer((_, response) => response.writeHead(404).end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const secrets = ['--api-key', 'k'.repeat(32), '--jwt-secret', 's'.repeat(32)];
      const { code, output } = await runLingxi(['bench', '--target', url, ...secrets]);
      expect(code).toBe(2);
      expect(output).toContain('/healthz answered 404: is --target the address of a Lingxi server?');
    } finally {
      server.close();
    }
  });

  it.sequential.each([
    [['--connections', '1001'], '--connections 1001 is more than 1000'],
    [['--logins-per-second', '501'], '--logins-per-second 501 is more than 500'],
    [['--pushes-per-second', '501'], '--pushes-per-second 501 is more than 500'],
  ])('%j needs --yes-this-is-mine', async (args, sentence) => {
    const all = ['bench', '--target', 'http://127.0.0.1:9', '--api-key', 'k', '--jwt-secret', 's'];
    const refused = await runLingxi([...all, ...args]);
    expect(refused.code).toBe(2);
    expect(refused.output).toContain(sentence);
    const lifted = await runLingxi([...all, ...args, '--yes-this-is-mine']);
    expect(lifted.output).not.toContain(sentence);
  });

  it.sequential('too few descriptors: one sentence', async () => {
    const command = [
      process.execPath,
      join(REPOSITORY, 'bin/lingxi.js'),
      'bench',
      '--target',
      'http://127.0.0.1:9',
    ];
    const shell = [
      '/bin/sh',
      '-c',
      'ulimit -n 200; exec "$@"',
      'limited',
      ...command,
      '--connections',
      '500',
    ];
    const { code, output } = await runProgram(shell);
    expect(code).toBe(2);
    expect(output).toMatch(/500 connections need 600 descriptors, and this system allows 200/);
  });
});

describe.concurrent('lingxi bench without --target', () => {
  it.sequential('lingxi bench starts it, and forwards its options', async () => {
    const { code, output } = await runLingxi(['bench', '--only', 'B77']);
    expect(code).toBe(2);
    expect(output).toContain('--only names "b77": the scenarios are B1, B2,');
  });

  it.sequential('lingxi bench --help describes its three forms in its first lines', async () => {
    const { code, out } = await runLingxi(['bench', '--help']);
    expect(code).toBe(0);
    const top = out.split('\n').slice(0, 10).join('\n');
    for (const part of ['--target URL', 'soak --minutes', '--quick', '--only', 'Ctrl-C is safe'])
      expect(top).toContain(part);
  });
});
