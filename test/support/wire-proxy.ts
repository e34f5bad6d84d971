import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** What becomes of a connection whose answer is lost: it breaks, or it hangs as a half-open one does. */
export type LossKind = 'breaks' | 'hangs';

/** A TCP proxy before a store, which loses what a network may lose. */
export interface WireProxy {
  readonly port: number;
  /** Breaks every connection; new ones go to `port` of the loopback address. */
  aim(port: number): void;
  /** Every connection of this moment carries nothing more and never closes; new ones work. */
  hangAll(): void;
  /**
   * Carries the next request that `match` accepts to the store and loses the answer, `times` times (1). The answer
   * tells how often that came about.
   */
  loseAnswer(match: (request: string) => boolean, how: LossKind, times?: number): () => number;
  stop(): Promise<void>;
}

interface Wire {
  readonly client: Socket;
  readonly store: Socket;
  hangs: boolean;
  loses: Loss | undefined;
}

interface Loss {
  readonly match: (request: string) => boolean;
  readonly how: LossKind;
  left: number;
  count: number;
}

/** Starts a proxy before what listens on `target` of the loopback address. */
export async function startWireProxy(target: number): Promise<WireProxy> {
  const wires = new Set<Wire>();
  let losses: readonly Loss[] = [];
  let aimed = target;
  const server = createServer((client) => {
    const store = connect(aimed, '127.0.0.1');
    const wire: Wire = { client, store, hangs: false, loses: undefined };
    wires.add(wire);
    join(wire, (request) => {
      const loss = losses.find((entry) => entry.left > 0 && entry.match(request));
      if (loss !== undefined) loss.left -= 1;
      return loss;
    });
    client.once('close', () => wires.delete(wire));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const breakAll = (): void => {
    for (const { client, store } of wires) {
      client.destroy();
      store.destroy();
    }
  };
  return {
    port: (server.address() as AddressInfo).port,
    aim(port) {
      aimed = port;
      breakAll();
    },
    hangAll() {
      for (const wire of wires) wire.hangs = true;
    },
    loseAnswer(match, how, times = 1) {
      const loss: Loss = { match, how, left: times, count: 0 };
      losses = [...losses, loss];
      return () => loss.count;
    },
    async stop() {
      breakAll();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function join(wire: Wire, findLoss: (request: string) => Loss | undefined): void {
  const { client, store } = wire;
  for (const socket of [client, store]) {
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
  }
  client.on('data', (chunk) => {
    if (wire.hangs) return;
    wire.loses ??= findLoss(chunk.toString('latin1'));
    store.write(chunk);
  });
  store.on('data', (chunk) => {
    if (wire.loses !== undefined) lose(wire, wire.loses);
    else if (!wire.hangs) client.write(chunk);
  });
  client.once('close', () => store.end());
  store.once('close', () => {
    if (!wire.hangs) client.destroy();
  });
}

function lose(wire: Wire, loss: Loss): void {
  if (wire.hangs) return;
  wire.hangs = true;
  loss.count += 1;
  if (loss.how === 'hangs') return;
  // The store is not reset: what it has received it carries out.
  wire.client.destroy();
  wire.store.end();
}
