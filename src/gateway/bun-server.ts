import { sleep } from '../lib/clock.ts';
import { SUBPROTOCOL } from '../protocol/envelope.ts';
import type { UpgradeRefusal } from './admission.ts';
import { lengthenBacklog } from './bun-backlog.ts';
import { BunBursts } from './bun-bursts.ts';
import { BunSocket, bunSocketHandlers } from './bun-socket.ts';
import { type BunRuntime, type BunServer, bunRuntime } from './bun-types.ts';
import {
  BACKLOG,
  cutUpload,
  type DirectRequest,
  type DirectRoute,
  directRouteOf,
  type GatewayServer,
  LAST_ANSWERS_MS,
  ListenError,
  listenOnAll,
  ownerOf,
  type PlainCode,
  plainRefusal,
  type ServerOptions,
  SOCKET_PATH,
  tooManyUnanswered,
} from './gateway-server.ts';
import { type HandshakeRequest, isHost, pathOf } from './handshake.ts';

/** Longest idle time that Bun accepts. */
const MAX_IDLE_S = 255;
/** Bun's timers run in steps of this length, so each timer may end that much early. */
const TIMER_STEP_S = 4;
const MAX_KEEP_ALIVE_MS = (MAX_IDLE_S - TIMER_STEP_S) * 1000;

/** Without this header Bun would echo the client's first offer, which may be its token. */
const NO_PROTOCOL = new Headers({ 'sec-websocket-protocol': '' });
const OUR_PROTOCOL = new Headers({ 'sec-websocket-protocol': SUBPROTOCOL });

/** The gateway on `Bun.serve`. Throws if the program does not run on Bun. */
export function createBunServer(options: ServerOptions): GatewayServer {
  const bun = bunRuntime();
  if (bun === undefined) throw new Error('This program does not run on Bun: set LINGXI_RUNTIME=node.');
  return new BunGateway(bun, options);
}

class BunGateway implements GatewayServer {
  readonly #bun: BunRuntime;
  readonly #options: ServerOptions;
  readonly #requestTimeoutS: number;
  readonly #keepAliveS: number;
  readonly #bursts = new BunBursts();
  #servers: BunServer[] = [];
  /** Servers that no longer listen but still have connections. */
  readonly #paused = new Set<BunServer>();
  /** The addresses to listen on again. */
  #awaited: { readonly address: string; readonly port: number }[] = [];

  constructor(bun: BunRuntime, options: ServerOptions) {
    this.#bun = bun;
    this.#options = options;
    this.#requestTimeoutS = Math.min(MAX_IDLE_S, Math.ceil(options.readTimeoutMs / 1000));
    this.#keepAliveS = Math.ceil(options.keepAliveTimeoutMs / 1000) + TIMER_STEP_S;
  }

  async listen(): Promise<{ readonly port: number; readonly addresses: readonly string[] }> {
    if (this.#options.keepAliveTimeoutMs > MAX_KEEP_ALIVE_MS)
      throw new ListenError(
        `LINGXI_KEEPALIVE_TIMEOUT_MS must be at most ${MAX_KEEP_ALIVE_MS} on Bun: set it lower, or set LINGXI_RUNTIME=node.`,
      );
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
    // Bun cannot leave a connection waiting. If it listens without a free descriptor, its loop spins.
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

  async close(): Promise<void> {
    const servers = [...this.#servers, ...this.#paused];
    this.#servers = [];
    const ended = Promise.all(servers.map((server) => server.stop(false)));
    await Promise.race([ended, sleep(this.#options.clock, LAST_ANSWERS_MS)]);
    await Promise.all(servers.map((server) => server.stop(true)));
  }

  #serve(hostname: string, port: number): BunServer {
    const listening = this.#bun.serve({
      hostname,
      port,
      // This limit applies from the first request on. Until then Bun has its own fixed limit of 8 to 12 s.
      idleTimeout: this.#keepAliveS,
      development: false,
      // Outside development Bun would share a port that another process uses.
      reusePort: false,
      fetch: (request, server) => this.#fetch(request, server),
      error: (error) => this.#failed(error, undefined),
      websocket: bunSocketHandlers(this.#options),
    });
    lengthenBacklog(listening.port, BACKLOG);
    return listening;
  }

  #fetch(request: Request, server: BunServer): Response | Promise<Response | undefined> {
    const peer = server.requestIP(request);
    const address = peer?.address ?? '';
    switch (peer === null ? 'now' : this.#bursts.judge(peer)) {
      case 'now':
        return this.#answer(request, server, address);
      case 'later':
        return new Promise<void>((resolve) => {
          setImmediate(resolve);
        }).then(() => this.#answer(request, server, address));
      case 'refuse': {
        const acceptLanguage = request.headers.get('accept-language') ?? undefined;
        return respond(tooManyUnanswered(acceptLanguage, this.#options.language));
      }
    }
  }

  #answer(request: Request, server: BunServer, address: string): Response | Promise<Response | undefined> {
    const { headers } = request;
    const host = headers.get('host') ?? '';
    // Bun joins several values by commas.
    if (!isHost(host) || host.includes(',')) return this.#plain('invalid-request', request);
    return (request.method === 'GET' || request.method === 'HEAD') && pathOf(request.url) === SOCKET_PATH
      ? this.#upgrade(request, server, address)
      : this.#http(request, server, address);
  }

  async #http(request: Request, server: BunServer, peer: string): Promise<Response> {
    server.timeout(request, this.#requestTimeoutS);
    const shown = withUrl(request);
    const header = (name: string): string | undefined => request.headers.get(name) ?? undefined;
    const path = pathOf(request.url);
    const direct = directRouteOf(this.#options, { method: request.method, path }, header);
    const response =
      direct === undefined
        ? await this.#options.http(shown, peer)
        : await this.#answerDirectly(direct, { shown, header, peer });
    // Otherwise the time limit of the request would continue while the connection idles.
    server.timeout(request, this.#keepAliveS);
    cutUpload(shown, response, this.#options.maxBodyBytes);
    return response;
  }

  async #answerDirectly(
    direct: DirectRoute,
    request: { readonly shown: Request; readonly header: DirectRequest['header']; readonly peer: string },
  ): Promise<Response> {
    const { shown, header, peer } = request;
    const body = await shown.arrayBuffer().catch(() => undefined);
    // The body broke off. The app finds the same error when it reads the body, and answers.
    if (body === undefined) return this.#options.http(shown, peer);
    const answer = await direct.answer({ header, body: new Uint8Array(body) });
    if (answer !== undefined) return new Response(answer.body, answer);
    const { method, headers } = shown;
    return this.#options.http(new Request(shown.url, { method, headers, body }), peer);
  }

  async #upgrade(request: Request, server: BunServer, peer: string): Promise<Response | undefined> {
    const { admission } = this.#options;
    try {
      const decision = await admission.decide(new BunHandshake(request, server, peer));
      const owner =
        decision.kind === 'accept' ? ownerOf(this.#options, decision) : this.#options.inBand.take(decision);
      if (owner !== undefined) {
        const socket = new BunSocket(owner, this.#options.log);
        const protocol = decision.kind === 'accept' ? decision.protocol : SUBPROTOCOL;
        const headers = protocol === undefined ? NO_PROTOCOL : OUR_PROTOCOL;
        if (!server.upgrade(request, { headers, data: socket })) socket.abandon();
        return undefined;
      }
      const response = respond(decision as UpgradeRefusal);
      cutUpload(request, response, this.#options.maxBodyBytes);
      return response;
    } catch (error) {
      return this.#failed(error, request.headers.get('accept-language') ?? undefined);
    }
  }

  #plain(code: PlainCode, request: Request): Response {
    const acceptLanguage = request.headers.get('accept-language') ?? undefined;
    return respond(plainRefusal(code, acceptLanguage, this.#options.language));
  }

  #failed(error: unknown, acceptLanguage: string | undefined): Response {
    this.#options.log.error({ event: 'internal-error', err: error }, 'a request failed');
    return respond(plainRefusal('internal', acceptLanguage, this.#options.language));
  }
}

/** A class, not closures: a storm has ten thousand of them. */
export class BunHandshake implements HandshakeRequest {
  readonly method: string;
  readonly url: string;
  readonly peer: string;
  readonly #request: Request;
  readonly #server: Pick<BunServer, 'requestIP'>;

  constructor(request: Request, server: Pick<BunServer, 'requestIP'>, peer: string) {
    this.#request = request;
    this.#server = server;
    this.method = request.method;
    this.url = request.url;
    this.peer = peer;
  }

  header(name: string): string | undefined {
    return this.#request.headers.get(name) ?? undefined;
  }

  hasLeft(): boolean {
    // The signal aborts only in a later turn of the loop. After a reset, the system has no peer address at once.
    return this.#request.signal.aborted || this.#server.requestIP(this.#request) === null;
  }
}

/** If `Host` is missing or unusable, Bun gives only the target instead of a URL. */
function withUrl(request: Request): Request {
  return request.url.startsWith('/') ? new Request(`http://localhost${request.url}`, request) : request;
}

function respond(refusal: UpgradeRefusal): Response {
  return new Response(refusal.body, { status: refusal.status, headers: refusal.headers });
}
