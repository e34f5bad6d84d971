import { connect, createServer, type Server, type Socket } from 'node:net';

/** A wire between a client and a server that a test may cut, hold up, or make deaf in one direction. */
export interface TcpProxy {
  readonly port: number;
  /** Breaks what is connected and refuses whoever comes, until {@link heal}. */
  cut(): void;
  /** Everything is accepted and kept; it goes on its way with {@link heal}, even if its sender is gone by then. */
  hang(): void;
  heal(): void;
  /**
   * Carries the first request that matches, and no answer on that connection any more. With `after`, only a connection
   * that carried this before is looked at. Resolves once the request was carried.
   */
  loseAnswerTo(pattern: RegExp, after?: RegExp): Promise<void>;
  stop(): Promise<void>;
}

/** How much of a connection's past is searched: one statement may come in several pieces. */
const REMEMBERED_CHARACTERS = 65_536;

interface Wire {
  readonly client: Socket;
  readonly server: Socket;
  /** What waits while the proxy hangs, in order; the end of a side waits like a piece of data. */
  readonly held: (() => void)[];
  /** The newest requests, as text. */
  past: string;
  /** Answers are dropped. */
  deaf: boolean;
}

interface Loss {
  readonly pattern: RegExp;
  readonly after: RegExp | undefined;
  readonly done: () => void;
}

/** Listens on a free port and carries everything to `port` of the loopback address. */
export async function startTcpProxy(port: number): Promise<TcpProxy> {
  const wires = new Set<Wire>();
  const losses = new Set<Loss>();
  let mode: 'open' | 'cut' | 'hung' = 'open';

  const pass = (wire: Wire, step: () => void): void => {
    if (mode === 'hung') wire.held.push(step);
    else step();
  };
  const server = createServer({ allowHalfOpen: true }, (client) => {
    if (mode === 'cut') {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const wire: Wire = { client, server: upstream, held: [], past: '', deaf: false };
    wires.add(wire);
    const gone = (): void => {
      if (client.destroyed && upstream.destroyed) wires.delete(wire);
    };
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    client.on('data', (data) => {
      pass(wire, () => {
        lose(wire, data, losses);
        upstream.write(data);
      });
    });
    upstream.on('data', (data) => {
      if (!wire.deaf) pass(wire, () => client.write(data));
    });
    client.on('error', () => client.destroy());
    upstream.on('error', () => upstream.destroy());
    // A side that ended or broke lets the other go, after what it still had to say.
    client.on('end', () => pass(wire, () => upstream.end()));
    upstream.on('end', () => pass(wire, () => client.end()));
    client.on('close', () => {
      pass(wire, () => upstream.end());
      gone();
    });
    upstream.on('close', () => {
      pass(wire, () => client.destroy());
      gone();
    });
  });
  await listen(server);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port was given');

  const breakAll = (): void => {
    for (const { client, server: upstream, held } of wires) {
      held.length = 0;
      client.resetAndDestroy();
      upstream.resetAndDestroy();
    }
  };
  return {
    port: address.port,
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
    loseAnswerTo(pattern, after) {
      return new Promise((done) => losses.add({ pattern, after, done }));
    },
    async stop() {
      mode = 'cut';
      breakAll();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function lose(wire: Wire, data: Buffer, losses: Set<Loss>): void {
  const text = data.toString('latin1');
  wire.past = (wire.past + text).slice(-REMEMBERED_CHARACTERS);
  for (const loss of losses) {
    if (!loss.pattern.test(text) || !(loss.after?.test(wire.past) ?? true)) continue;
    losses.delete(loss);
    wire.deaf = true;
    loss.done();
    return;
  }
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
}
