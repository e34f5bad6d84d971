import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually } from '../support/ports.ts';
import { startWitness } from '../support/witness.ts';

/** More than the default queue of either runtime, which holds 512. */
const WANTED = 1_500;
/** A server that lost connections in the kernel's queue answers them after seconds, or never. */
const WITNESS_LIMIT_MS = 3_000;
const KERNEL_LIMIT = Number(readFileSync('/proc/sys/net/core/somaxconn', 'utf8'));

describe.each(['bun', 'node'] as const)('connections that wait for a busy server on %s', (runtime) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({ runtime, stores: 'embedded' });
  });
  afterAll(() => gateway?.stop());

  it('none of 1,500 is dropped while the loop stands still, and the server then serves all', async () => {
    const count = Math.min(WANTED, KERNEL_LIMIT);
    const sockets: Socket[] = [];
    gateway.signalAll('SIGSTOP');
    try {
      let connected = 0;
      for (let opened = 0; opened < count; opened += 1) {
        const socket = connect(gateway.port(), '127.0.0.1', () => {
          connected += 1;
        });
        sockets.push(socket.on('error', () => undefined));
      }
      // The kernel drops connections if the queue is full. Those would connect once the server accepts again.
      await eventually(() => expect(connected).toBe(count));
      gateway.signalAll('SIGCONT');
      const answers = sockets.map((socket) => once(socket.setEncoding('latin1'), 'data'));
      for (const socket of sockets) socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
      for (const [answer] of await Promise.all(answers)) expect(answer).toMatch(/^HTTP\/1\.1 \d{3} /);
    } finally {
      gateway.signalAll('SIGCONT');
      for (const socket of sockets) socket.destroy();
    }
    const witness = await startWitness(gateway);
    await witness.noticedNothing(WITNESS_LIMIT_MS).finally(() => witness.stop());
  });
});
