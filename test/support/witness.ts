import { LoopWatch } from './fuzz/loop-watch.ts';
import type { Gateway } from './gateway-process.ts';
import { sleep } from './ports.ts';
import { freshUser } from './stores.ts';
import { type Client, type Closed, connect } from './ws-client.ts';

/** Time between two pings of a witness. */
const PING_INTERVAL_MS = 40;
/** An open connection answers within this time, also on a busy machine. */
const ANSWER_MS = 15_000;

/** A normal connection beside an attack. It pings all the time and records how long each pong took. */
export interface Witness {
  readonly client: Client;
  /** Longest wait for a pong so far, in ms. A ping without a pong counts with its age. */
  worstMs(): number;
  /** Undefined while the connection is open. */
  closed(): Closed | undefined;
  /** Forgets the waits so far, so that the next result covers only later ones. */
  forget(): void;
  /**
   * Throws unless the connection is open, answers now, and never waited longer than `limitMs`. The time in which this program's own
   * loop stood still does not count.
   */
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
  const loop = new LoopWatch();
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
      loop.takeWorst();
    },
    async noticedNothing(limitMs) {
      const before = number;
      const deadline = performance.now() + ANSWER_MS;
      while (closed === undefined && (number < before + 3 || sentAt.has(before + 1))) {
        if (performance.now() > deadline) throw new Error(`the witness got no pong within ${ANSWER_MS} ms`);
        await sleep(5);
      }
      if (closed !== undefined) throw new Error(`the witness was closed: ${JSON.stringify(closed)}`);
      const waited = Math.round(worstMs() - loop.takeWorst());
      if (waited > limitMs) throw new Error(`the witness waited ${waited} ms for a pong (limit ${limitMs})`);
    },
    stop() {
      clearInterval(timer);
      loop.stop();
      client.terminate();
    },
  };
}
