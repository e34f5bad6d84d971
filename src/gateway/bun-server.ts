import type { Refusal } from './admission.ts';
import { BunSocket, bunSocketHandlers } from './bun-socket.ts';
import { type BunRuntime, type BunServer, bunRuntime } from './bun-types.ts';
import {
  type GatewayServer,
  listenOnAll,
  plainRefusal,
  type ServerOptions,
  SOCKET_PATH,
} from './gateway-server.ts';
import { pathOf } from './handshake.ts';

/** An HTTP connection without a request is dropped after this long. */
const KEEP_ALIVE_S = 10;
/** Longest time that Bun can give one request. */
const MAX_REQUEST_S = 255;

/** The gateway on `Bun.serve`. Throws where the program does not run on Bun. */
export function createBunServer(options: ServerOptions): GatewayServer {
  const bun = bunRuntime();
  if (bun === undefined) throw new Error('This program does not run on Bun: set LINGXI_RUNTIME=node.');
  return new BunGateway(bun, options);
}

class BunGateway implements GatewayServer {
  readonly #bun: BunRuntime;
  readonly #options: ServerOptions;
  readonly #requestTimeoutS: number;
  #servers: BunServer[] = [];
  /** Those that listen no more and still have connections. */
  readonly #paused = new Set<BunServer>();
  /** Where to listen again. */
  #awaited: { readonly address: string; readonly port: number }[] = [];

  constructor(bun: BunRuntime, options: ServerOptions) {
    this.#bun = bun;
    this.#options = options;
    this.#requestTimeoutS = Math.min(MAX_REQUEST_S, Math.ceil(options.readTimeoutMs / 1000));
  }

  listen(): Promise<{ readonly port: number; readonly addresses: readonly string[] }> {
    return listenOnAll(this.#options, (address, port) => {
      const server = this.#serve(address, port);
      this.#servers.push(server);
      return Promise.resolve({
        port: server.port,
        close: async () => {
          this.#servers = this.#servers.filter((other) => other !== server);
          await server.stop(true);
        },
      });
    });
  }

  pause(): void {
    // Bun cannot leave a connection waiting: while it listens and has no descriptor for one, its loop turns in circles.
    for (const server of this.#servers) {
      this.#awaited.push({ address: server.hostname, port: server.port });
      this.#paused.add(server);
      void server.stop(false).finally(() => this.#paused.delete(server));
    }
    this.#servers = [];
  }

  resume(): boolean {
    for (const listener of [...this.#awaited]) {
      try {
        this.#servers.push(this.#serve(listener.address, listener.port));
      } catch (error) {
        this.#options.log.warn({ event: 'internal-error', err: error }, 'cannot listen again, trying on');
        return false;
      }
      this.#awaited = this.#awaited.filter((other) => other !== listener);
    }
    return true;
  }

  stopAccepting(): void {
    // The promise settles once every connection ended, which is not awaited here.
    for (const server of this.#servers) void server.stop(false);
  }

  async close(): Promise<void> {
    const servers = [...this.#servers, ...this.#paused];
    this.#servers = [];
    await Promise.all(servers.map((server) => server.stop(true)));
  }

  #serve(hostname: string, port: number): BunServer {
    return this.#bun.serve({
      hostname,
      port,
      idleTimeout: KEEP_ALIVE_S,
      development: false,
      // Outside development Bun shares a taken port with its holder unless told not to.
      reusePort: false,
      fetch: (request, server) => this.#fetch(request, server),
      error: (error) => this.#failed(error, undefined),
      websocket: bunSocketHandlers(this.#options),
    });
  }

  async #fetch(request: Request, server: BunServer): Promise<Response | undefined> {
    const peer = server.requestIP(request)?.address ?? '';
    if (request.method === 'GET' && pathOf(request.url) === SOCKET_PATH)
      return this.#upgrade(request, server, peer);
    server.timeout(request, this.#requestTimeoutS);
    return this.#options.http(request, peer);
  }

  async #upgrade(request: Request, server: BunServer, peer: string): Promise<Response | undefined> {
    const { admission } = this.#options;
    const { headers } = request;
    try {
      const decision = await admission.decide({
        method: request.method,
        url: request.url,
        header: (name) => headers.get(name) ?? undefined,
        peer,
        hasLeft: () => request.signal.aborted,
      });
      if (decision.kind === 'refuse') return respond(decision);
      const socket = new BunSocket(this.#options, decision);
      // Without a header of ours Bun would echo the client's first offer, which may be its token.
      const selected = { 'sec-websocket-protocol': decision.protocol ?? '' };
      if (!server.upgrade(request, { headers: selected, data: socket })) socket.abandon();
      return undefined;
    } catch (error) {
      return this.#failed(error, headers.get('accept-language') ?? undefined);
    }
  }

  #failed(error: unknown, acceptLanguage: string | undefined): Response {
    this.#options.log.error({ event: 'internal-error', err: error }, 'a request failed');
    return respond(plainRefusal('internal', acceptLanguage, this.#options.language));
  }
}

function respond(refusal: Refusal): Response {
  return new Response(refusal.body, { status: refusal.status, headers: refusal.headers });
}
