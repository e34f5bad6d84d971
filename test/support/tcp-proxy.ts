import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** How a connection continues after a lost answer: it breaks, or it hangs like a half-open one. */
export type LossKind = 'breaks' | 'hangs';

/** Whether a request matches. `past` is what its connection has sent to the server, with this request. */
export type Match = (request: string, past: string) => boolean;

/** A TCP proxy in front of a server. It can disturb connections as a network can. */
export interface TcpProxy {
  readonly port: number;
  /** Breaks every connection; new ones go to `port` of the loopback address. */
  aim(port: number): void;
  /** Breaks every connection and refuses new ones, until {@link heal}. */
  cut(): void;
  /** Accepts and keeps everything. {@link heal} sends it on, even if its sender is gone by then. */
  hang(): void;
  heal(): void;
  /** From now on, all present connections carry nothing more and never close; new ones work. */
  hangAll(): void;
  /** Carries the next request that `match` accepts to the server and loses the answer, `times` times (1). */
  loseAnswer(match: Match, how: LossKind, times?: number): LostAnswers;
  stop(): Promise<void>;
}

export interface LostAnswers {
  /** How many answers are lost by now. */
  count(): number;
  /** Resolves when the first one is lost. */
  readonly first: Promise<void>;
}

/** Number of stored characters of a connection's past: one statement may come in several pieces. */
const REMEMBERED_CHARACTERS = 65_536;

interface Wire {
  readonly client: Socket;
  readonly server: Socket;
  /** Waiting data while the proxy hangs, in order. The end of a side waits like a piece of data. */
  readonly held: (() => void)[];
  /** The newest requests, as text. */
  past: string;
  /** Takes the next answer. */
  loss: Loss | undefined;
  /** Carries nothing more. */
  hangs: boolean;
}

interface Loss {
  readonly match: Match;
  readonly how: LossKind;
  readonly lost: () => void;
  left: number;
  count: number;
}

/** Listens on a free port and carries everything to `target` of the loopback address. */
export async function startTcpProxy(target: number): Promise<TcpProxy> {
  const wires = new Set<Wire>();
  let losses: readonly Loss[] = [];
  let mode: 'open' | 'cut' | 'hung' = 'open';
  let aimed = target;
  const pass = (wire: Wire, step: () => void): void => {
    if (wire.hangs) return;
    if (mode === 'hung') wire.held.push(step);
    else step();
  };
  const findLoss = (request: string, past: string): Loss | undefined => {
    const loss = losses.find((entry) => entry.left > 0 && entry.match(request, past));
    if (loss !== undefined) loss.left -= 1;
    return loss;
  };
  const listener = createServer({ allowHalfOpen: true }, (client) => {
    if (mode === 'cut') {
      client.resetAndDestroy();
      return;
    }
    const server = connect({ port: aimed, host: '127.0.0.1', allowHalfOpen: true });
    const wire: Wire = { client, server, held: [], past: '', loss: undefined, hangs: false };
    wires.add(wire);
    join(wire, { pass, findLoss, gone: () => wires.delete(wire) });
  });
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(0, '127.0.0.1', resolve);
  });
  const breakAll = (): void => {
    for (const { client, server, held } of wires) {
      held.length = 0;
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  };
  return {
    port: (listener.address() as AddressInfo).port,
    aim(port) {
      aimed = port;
      breakAll();
    },
    cut() {
      mode = 'cut';
      breakAll();
    },
    hang() {
      mode = 'hung';
    },
    heal() {
      mode = 'open';
      for (const { held } of wires) for (const step of held.splice(0)) step();
    },
    hangAll() {
      for (const wire of wires) wire.hangs = true;
    },
    loseAnswer(match, how, times = 1) {
      let lost = (): void => undefined;
      const first = new Promise<void>((resolve) => {
        lost = resolve;
      });
      const loss: Loss = { match, how, lost, left: times, count: 0 };
      losses = [...losses, loss];
      return { count: () => loss.count, first };
    },
    async stop() {
      mode = 'cut';
      breakAll();
      await new Promise<void>((resolve) => listener.close(() => resolve()));
    },
  };
}

interface Joint {
  readonly pass: (wire: Wire, step: () => void) => void;
  readonly findLoss: (request: string, past: string) => Loss | undefined;
  readonly gone: () => void;
}

function join(wire: Wire, { pass, findLoss, gone }: Joint): void {
  const { client, server } = wire;
  for (const socket of [client, server]) {
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      if (client.destroyed && server.destroyed) gone();
    });
  }
  client.on('data', (data) => {
    pass(wire, () => {
      const request = data.toString('latin1');
      wire.past = (wire.past + request).slice(-REMEMBERED_CHARACTERS);
      wire.loss ??= findLoss(request, wire.past);
      server.write(data);
    });
  });
  server.on('data', (data) => {
    pass(wire, () => {
      if (wire.loss === undefined) client.write(data);
      else lose(wire, wire.loss);
    });
  });
  // If one side ends or breaks, the other side gets the rest of the data and ends too.
  client.on('end', () => pass(wire, () => server.end()));
  server.on('end', () => pass(wire, () => client.end()));
  client.on('close', () => pass(wire, () => server.end()));
  server.on('close', () => pass(wire, () => client.destroy()));
  // A client that gives up on a connection that hangs may leave.
  client.on('end', () => wire.hangs && client.end());
  client.on('close', () => wire.hangs && server.end());
}

function lose(wire: Wire, loss: Loss): void {
  wire.hangs = true;
  loss.count += 1;
  loss.lost();
  if (loss.how === 'hangs') return;
  // The server is not reset: what it has received it carries out.
  wire.client.destroy();
  wire.server.end();
}
