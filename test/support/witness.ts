import type { Gateway } from './gateway-process.ts';
import { sleep } from './ports.ts';
import { freshUser } from './stores.ts';
import { type Client, type Closed, connect } from './ws-client.ts';

/** Time between two pings of a witness. */
const PING_INTERVAL_MS = 40;

/** An honest connection beside an attack: it pings all the time and notes how long each pong took. */
export interface Witness {
  readonly client: Client;
  /** Longest wait for a pong so far, in ms; a ping that still waits counts with its age. */
  worstMs(): number;
  /** Undefined while the connection is open. */
  closed(): Closed | undefined;
  /** Forgets the waits so far, so that the next answer speaks of what comes now. */
  forget(): void;
  /** Throws unless the connection is open, answers now, and never waited longer than `limitMs`. */
  noticedNothing(limitMs: number): Promise<void>;
  stop(): void;
}

/** Connects a witness to the gateway and lets it ping. */
export async function startWitness(gateway: Gateway): Promise<Witness> {
  const client = await connect(gateway.wsUrl, {
    token: gateway.token(freshUser()),
    protocols: ['lingxi.v1'],
  });
  await client.next('welcome');
  const sentAt = new Map<number, number>();
  let closed: Closed | undefined;
  let worst = 0;
  let number = 0;
  void client.closed.then((end) => {
    closed = end;
  });
  client.socket.on('message', (data: Buffer) => {
    const message = JSON.parse(data.toString()) as { type: string; data: { timestamp: number } };
    if (message.type !== 'pong') return;
    const sent = sentAt.get(message.data.timestamp);
    sentAt.delete(message.data.timestamp);
    if (sent !== undefined) worst = Math.max(worst, performance.now() - sent);
  });
  const timer = setInterval(() => {
    if (closed !== undefined) return;
    number += 1;
    sentAt.set(number, performance.now());
    client.send({ type: 'ping', timestamp: number });
  }, PING_INTERVAL_MS);
  const worstMs = (): number => {
    const now = performance.now();
    return Math.max(worst, ...[...sentAt.values()].map((sent) => now - sent));
  };
  return {
    client,
    worstMs,
    closed: () => closed,
    forget() {
      worst = 0;
      sentAt.clear();
    },
    async noticedNothing(limitMs) {
      const before = number;
      const deadline = performance.now() + 5_000;
      while (closed === undefined && (number < before + 3 || sentAt.has(before + 1))) {
        if (performance.now() > deadline) throw new Error('the witness got no pong within 5 s');
        await sleep(5);
      }
      if (closed !== undefined) throw new Error(`the witness was closed: ${JSON.stringify(closed)}`);
      const waited = Math.round(worstMs());
      if (waited > limitMs) throw new Error(`the witness waited ${waited} ms for a pong (limit ${limitMs})`);
    },
    stop() {
      clearInterval(timer);
      client.terminate();
    },
  };
}
