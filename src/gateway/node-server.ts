import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { getRequestListener, RequestError } from '@hono/node-server';
import { WebSocketServer } from 'ws';
import { sleep } from '../lib/clock.ts';
import { SUBPROTOCOL } from '../protocol/envelope.ts';
import type { UpgradeRefusal } from './admission.ts';
import {
  BACKLOG,
  cutUpload,
  type DirectAnswer,
  type DirectRoute,
  directRouteOf,
  type GatewayServer,
  LAST_ANSWERS_MS,
  listenOnAll,
  MAX_HEADER_BYTES,
  ownerOf,
  plainRefusal,
  type ServerOptions,
  type SocketOwner,
  tooManyUnanswered,
} from './gateway-server.ts';
import {
  handshakeOf,
  hasGoodHost,
  hasTooManyHeaders,
  isSocketRequest,
  joinedHeader,
  NodeRequest,
  peerOf,
  requestOf,
  wholeBody,
  withoutOddHost,
} from './node-request.ts';
import { NodeSocket, OwnedWebSocket } from './node-socket.ts';
import { NodeTurns } from './node-turns.ts';
import { unanswered } from './node-unanswered.ts';

/**
 * A connection must send all headers of its first request within this time, plus one check. A shorter time is wrong: in a burst
 * of reconnects a blocked loop reads timely requests late, and would answer 408.
 */
const HEADERS_TIMEOUT_MS = 8_000;
const CHECK_INTERVAL_MS = 500;
/** The server drops an HTTP connection if no byte moves for this long during a request. */
const STALLED_MS = 60_000;
/** Largest number of fragments of one message. Beyond it: 1008. */
const MAX_FRAGMENTS = 4_096;
/** Largest number of TCP reads of one message. Beyond it: 1008. */
const MAX_CHUNKS = 8_192;
/** TCP connections beyond the limit for sockets, for HTTP and for refusals. */
const SPARE_CONNECTIONS = 1_024;

/** The gateway on `node:http` and `ws`. */
export function createNodeServer(options: ServerOptions): GatewayServer {
  return new NodeGateway(options);
}

class NodeGateway implements GatewayServer {
  readonly #options: ServerOptions;
  readonly #sockets = new Set<NodeSocket>();
  /** Upgrades that wait for an answer or were refused. `server.closeAllConnections` does not know them. */
  readonly #upgrades = new Set<Duplex>();
  readonly #webSockets: WebSocketServer;
  readonly #respond: (incoming: IncomingMessage, outgoing: ServerResponse) => Promise<void>;
  readonly #turns: NodeTurns;
  #servers: Server[] = [];

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#turns = new NodeTurns(options.clock);
    const settings = {
      noServer: true,
      WebSocket: OwnedWebSocket,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: options.maxMessageBytes,
      maxFragments: MAX_FRAGMENTS,
      maxBufferedChunks: MAX_CHUNKS,
      // The connection counts pings, and NodeSocket limits the pongs. ws would drop the client without a close frame.
      maxPendingAutoPongs: 0,
      closeTimeout: options.writeTimeoutMs,
      handleProtocols: (offered: Set<string>): string | false =>
        offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false,
    };
    this.#webSockets = new WebSocketServer(settings);
    this.#respond = getRequestListener(
      (request, env) => this.#fetch(request, env as { incoming: NodeRequest; outgoing: ServerResponse }),
      {
        overrideGlobalObjects: false,
        // The request does not form a valid URL.
        errorHandler: (error) => (error instanceof RequestError ? this.#invalid() : this.#failed(error)),
      },
    );
  }

  listen(): Promise<{ readonly port: number; readonly addresses: readonly string[] }> {
    return listenOnAll(this.#options, async (address, port) => {
      const server = this.#createServer();
      await bind(server, address, port);
      this.#servers.push(server);
      return {
        port: (server.address() as AddressInfo).port,
        close: () => {
          this.#servers = this.#servers.filter((other) => other !== server);
          return this.#closeServer(server);
        },
      };
    });
  }

  pause(): void {
    // Node accepts each connection over the limit and closes it at once. A server that stops listening would not time out
    // requests.
    for (const server of this.#servers) server.maxConnections = 1;
  }

  resume(): boolean {
    for (const server of this.#servers) server.maxConnections = this.#maxConnections;
    return true;
  }

  async close(): Promise<void> {
    const closing = this.#servers.map((server) => this.#closeServer(server));
    this.#servers = [];
    for (const socket of this.#sockets) socket.terminate();
    await Promise.all(closing);
  }

  async #closeServer(server: Server): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
    await Promise.race([closed, sleep(this.#options.clock, LAST_ANSWERS_MS)]);
    server.closeAllConnections();
    for (const stream of this.#upgrades) stream.destroy();
    // An upgrade of the last moment may have opened one.
    for (const socket of this.#sockets) socket.terminate();
    await closed;
  }

  get #maxConnections(): number {
    return this.#options.maxConnections + SPARE_CONNECTIONS;
  }

  #createServer(): Server {
    const settings = {
      IncomingMessage: NodeRequest,
      // Node 20 has no such option and reads only the request's own property.
      shouldUpgradeCallback: (incoming: NodeRequest) => incoming.upgrade,
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: Math.min(HEADERS_TIMEOUT_MS, this.#options.readTimeoutMs),
      requestTimeout: this.#options.readTimeoutMs,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
      keepAliveTimeout: this.#options.keepAliveTimeoutMs,
      noDelay: true,
    };
    const server = createServer(settings);
    server.timeout = STALLED_MS;
    // Node would silently omit the lines over its limit. hasTooManyHeaders counts them.
    server.maxHeadersCount = 0;
    server.maxConnections = this.#maxConnections;
    server.on('request', (incoming, outgoing) => this.#request(incoming, outgoing));
    // Node would answer 417 by itself and ignore every limit. The server ignores all expectations except 100-continue.
    server.on('checkExpectation', (incoming, outgoing) => this.#request(incoming, outgoing));
    server.on('upgrade', (incoming, stream, head) => void this.#upgrade(incoming, stream, head));
    return server;
  }

  #request(incoming: NodeRequest, outgoing: ServerResponse): void {
    const isBehindAnother = unanswered.enter(incoming.socket, outgoing);
    // The first request never waits. Its client may close the connection, as a browser does with a page that is left. Then the
    // body would be lost.
    const turn = isBehindAnother ? this.#turns.next() : undefined;
    if (turn === undefined) this.#respondTo(incoming, outgoing);
    else void turn.then(() => this.#respondTo(incoming, outgoing));
  }

  #respondTo(incoming: NodeRequest, outgoing: ServerResponse): void {
    // The client has left.
    if (outgoing.destroyed) return;
    const direct = this.#directRoute(incoming);
    if (direct === undefined) void this.#respond(withoutOddHost(incoming), outgoing);
    else void this.#answerDirectly(direct, incoming, outgoing);
  }

  #directRoute(incoming: NodeRequest): DirectRoute | undefined {
    if (incoming.offersUpgrade || this.#hasBadHead(incoming)) return undefined;
    const request = { method: incoming.method, path: incoming.url ?? '' };
    try {
      return directRouteOf(this.#options, request, (name) => joinedHeader(incoming, name));
    } catch {
      // An exception here would end the process. The app gets the same exception, and answers.
      return undefined;
    }
  }

  /** Uses no `Request` and no `Response`, which cost more than everything else in a short answer. */
  async #answerDirectly(direct: DirectRoute, incoming: NodeRequest, outgoing: ServerResponse): Promise<void> {
    try {
      const body = await wholeBody(incoming);
      // The client has left.
      if (body === undefined) return;
      const answer = await direct.answer({ body, header: (name) => joinedHeader(incoming, name) });
      if (answer !== undefined) return write(outgoing, answer);
      const response = await this.#options.http(requestOf(incoming, body), peerOf(incoming));
      const headers = Object.fromEntries(response.headers);
      write(outgoing, { status: response.status, headers, body: await response.text() });
    } catch (error) {
      const { status, headers, body } = this.#failure(error, incoming.headers['accept-language']);
      if (!outgoing.headersSent) write(outgoing, { status, headers, body });
    }
  }

  async #fetch(
    request: Request,
    env: { readonly incoming: NodeRequest; readonly outgoing: ServerResponse },
  ): Promise<Response> {
    const { incoming, outgoing } = env;
    const response = await this.#answer(request, incoming).catch((error: unknown) =>
      this.#failed(error, incoming.headers['accept-language']),
    );
    cutUpload(request, response, this.#options.maxBodyBytes);
    if (incoming.offersUpgrade && unanswered.mayBeFollowed(incoming)) outgoing.shouldKeepAlive = false;
    return response;
  }

  async #answer(request: Request, incoming: NodeRequest): Promise<Response> {
    const fault = this.#headFault(incoming);
    if (fault !== undefined) return toResponse(fault);
    if (!isSocketRequest(incoming)) return this.#options.http(request, peerOf(incoming));
    const decision = await this.#options.admission.decide(handshakeOf(incoming));
    if (decision.kind === 'refuse') return toResponse(decision);
    // Admission accepts only upgrades, and Node passes those to #upgrade.
    abandon(ownerOf(this.#options, decision));
    throw new Error('a request without an upgrade was accepted');
  }

  async #upgrade(incoming: NodeRequest, stream: Duplex, head: Buffer): Promise<void> {
    const { socket } = incoming;
    const drop = (): void => void stream.destroy();
    this.#upgrades.add(stream);
    stream.on('error', drop);
    // Node no longer watches the connection.
    socket.setTimeout(STALLED_MS, drop);
    try {
      // The first request gets the first answer.
      const earlier = unanswered.settled(socket);
      if (earlier !== undefined) await earlier;
      const turn = this.#turns.next();
      if (turn !== undefined) await turn;
      const answer = await this.#answerUpgrade(incoming, stream);
      if ('status' in answer) return this.#refuse(stream, answer);
      this.#upgrades.delete(stream);
      stream.removeListener('error', drop);
      socket.removeListener('timeout', drop);
      this.#open(incoming, { stream, head, owner: answer });
    } catch (error) {
      this.#refuse(stream, this.#failure(error, incoming.headers['accept-language']));
    }
  }

  #refuse(stream: Duplex, answer: UpgradeRefusal): void {
    if (stream.destroyed) this.#upgrades.delete(stream);
    else stream.once('close', () => this.#upgrades.delete(stream));
    refuse(stream, answer);
  }

  async #answerUpgrade(incoming: NodeRequest, stream: Duplex): Promise<SocketOwner | UpgradeRefusal> {
    const fault = this.#headFault(incoming);
    if (fault !== undefined) return fault;
    // Node continues to read while nobody listens, keeps the data, and notices the end.
    const decision = await this.#options.admission.decide(handshakeOf(incoming, () => !stream.readable));
    if (decision.kind === 'accept') return ownerOf(this.#options, decision);
    return this.#options.inBand.take(decision) ?? decision;
  }

  #headFault(incoming: NodeRequest): UpgradeRefusal | undefined {
    const { language } = this.#options;
    const acceptLanguage = incoming.headers['accept-language'];
    if (incoming.isBeyondLimit) return tooManyUnanswered(acceptLanguage, language);
    if (hasTooManyHeaders(incoming)) return plainRefusal('headers-too-large', acceptLanguage, language);
    return hasGoodHost(incoming) ? undefined : plainRefusal('invalid-request', acceptLanguage, language);
  }

  #hasBadHead(incoming: NodeRequest): boolean {
    return incoming.isBeyondLimit || hasTooManyHeaders(incoming) || !hasGoodHost(incoming);
  }

  #open(
    incoming: IncomingMessage,
    upgrade: { readonly stream: Duplex; readonly head: Buffer; readonly owner: SocketOwner },
  ): void {
    const { stream, head, owner } = upgrade;
    let opened = false;
    this.#webSockets.handleUpgrade(incoming, stream, head, (ws) => {
      opened = true;
      new NodeSocket(ws as OwnedWebSocket, stream, { log: this.#options.log, all: this.#sockets }).start(
        owner,
      );
    });
    // ws calls back at once, or never if the client is gone.
    if (!opened) abandon(owner);
  }

  #invalid(): Response {
    return toResponse(plainRefusal('invalid-request', undefined, this.#options.language));
  }

  #failed(error: unknown, acceptLanguage?: string): Response {
    return toResponse(this.#failure(error, acceptLanguage));
  }

  #failure(error: unknown, acceptLanguage?: string): UpgradeRefusal {
    this.#options.log.error({ event: 'internal-error', err: error }, 'a request failed');
    return plainRefusal('internal', acceptLanguage, this.#options.language);
  }
}

function abandon(owner: SocketOwner): void {
  owner.released();
  owner.abandoned();
}

function bind(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, backlog: BACKLOG, exclusive: true, ipv6Only: host === '::1' }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

function write(outgoing: ServerResponse, { status, headers, body }: DirectAnswer): void {
  outgoing.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) });
  outgoing.end(body);
}

function toResponse(refusal: UpgradeRefusal): Response {
  return new Response(refusal.body, { status: refusal.status, headers: refusal.headers });
}

/**
 * Refuses on a connection that Node no longer treats as HTTP, and ends it. Uses no `Response`, which costs more than to accept.
 */
function refuse(stream: Duplex, { status, headers, body }: UpgradeRefusal): void {
  if (stream.destroyed) return;
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`];
  for (const [name, value] of Object.entries(headers))
    if (name !== 'connection') lines.push(`${name}: ${value}`);
  lines.push(`content-length: ${Buffer.byteLength(body)}`, 'connection: close', '', body);
  stream.once('finish', () => stream.destroy());
  stream.end(lines.join('\r\n'));
}
