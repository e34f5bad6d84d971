import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually, sleep } from '../support/ports.ts';
import { openRaw, type RawSocket } from '../support/raw-socket.ts';
import { freshUser } from '../support/stores.ts';
import { startWitness } from '../support/witness.ts';
import { type Client, connect, refusal } from '../support/ws-client.ts';

const DESCRIPTORS = 300;
/** Descriptors that the process reserves for stores, listeners, files and refusals. */
const OTHER_DESCRIPTORS = 100;
const HALF_OPEN = 600;
/** The server cuts a connection without a complete request after about 10 s. */
const RECOVERY_LIMIT_MS = 25_000;
const CLOCK_TICKS_PER_S = 100;
/** Only a loop that spins or stands still lets a client wait this long. */
const WITNESS_LIMIT_MS = 3_000;

/** Processor time of the processes in a group, in seconds. */
function cpuSeconds(group: number): number {
  let ticks = 0;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // After the name, which may contain any character: state, parent, group … user time, system time.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (Number(fields[2]) === group) ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      // The process has ended meanwhile.
    }
  }
  return ticks / CLOCK_TICKS_PER_S;
}

describe.concurrent.each(['bun', 'node'] as const)('few descriptors on %s', (runtime) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({ runtime, stores: 'embedded', descriptors: DESCRIPTORS });
  });
  afterAll(() => gateway?.stop());

  it.sequential('the server refuses sockets with 503 before the descriptors run out', async () => {
    const allowed = DESCRIPTORS - OTHER_DESCRIPTORS;
    const clients: Client[] = [];
    try {
      for (let count = 0; count < allowed; count += 1)
        // They answer pings, so that none times out before the last one is there.
        clients.push(
          await connect(gateway.wsUrl, { token: gateway.token(freshUser()), protocols: ['lingxi.v1'] }),
        );
      const { status, body } = await refusal(gateway.wsUrl, { token: gateway.token(freshUser()) });
      expect([status, body['code']]).toEqual([503, 'overloaded']);
      expect(gateway.printed()).toContain(`takes ${allowed} connections`);
    } finally {
      for (const client of clients) client.terminate();
    }
    await eventually(async () =>
      expect((await gateway.service('GET', '/ws/stats')).body['connections']).toBe(0),
    );
  });

  it.sequential('600 half-open connections cost one log line and no CPU, and affect no open connection', async () => {
    const witness = await startWitness(gateway);
    const sockets: RawSocket[] = [];
    try {
      for (let count = 0; count < HALF_OPEN; count += 1)
        sockets.push(openRaw(gateway.port(), 'GET /ws HTTP/1.1\r\nHos'));
      const line = await gateway.waitForLog('descriptors-exhausted');
      expect(line).toMatchObject({ level: 'warn', limit: DESCRIPTORS });
      witness.forget();
      const before = cpuSeconds(gateway.pid());
      await sleep(3_000);
      // A loop that spins takes a whole core.
      expect(cpuSeconds(gateway.pid()) - before).toBeLessThan(1);
      await witness.noticedNothing(WITNESS_LIMIT_MS);
      // Uses a new socket: HTTP would use a connection that has been open all the time.
      const late = await eventually(() => connect(gateway.wsUrl, { token: gateway.token(freshUser()) }), {
        timeoutMs: RECOVERY_LIMIT_MS,
        intervalMs: 250,
      });
      late.terminate();
      expect((await gateway.call('GET', '/healthz')).status).toBe(200);
      await witness.noticedNothing(WITNESS_LIMIT_MS);
      const lines = await gateway.logsSoFar();
      expect(lines.filter(({ event }) => event === 'descriptors-exhausted')).toHaveLength(1);
    } finally {
      for (const socket of sockets) socket.destroy();
      witness.stop();
    }
  }, 60_000);

  it.sequential('[DR1] a node that has stopped accepting connections still drains', async () => {
    const witness = await startWitness(gateway);
    const exit = gateway.terminate();
    expect((await witness.client.closed).code).toBe(1012);
    witness.stop();
    expect(await exit).toEqual({ code: 0, signal: null });
  });
});
