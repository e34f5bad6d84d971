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
import { SUBPROTOCOL } from '../protocol/envelope.ts';
import type { UpgradeRefusal } from './admission.ts';
import {
  BACKLOG,
  cutUpload,
  type DirectAnswer,
  type DirectRoute,
  directRouteOf,
  type GatewayServer,
  listenOnAll,
  MAX_HEADER_BYTES,
  ownerOf,
  type PlainCode,
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
import { unanswered } from './node-unanswered.ts';

/**
 * A connection must send all headers of its first request within this time, plus one check. A shorter time is wrong: in a
 * burst of reconnects a blocked loop reads late what clients sent in time, and would answer 408.
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
  readonly #webSockets: WebSocketServer;
  readonly #respond: (incoming: IncomingMessage, outgoing: ServerResponse) => Promise<void>;
  #servers: Server[] = [];

  constructor(options: ServerOptions) {
    this.#options = options;
    const settings = {
      noServer: true,
      WebSocket: OwnedWebSocket,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: options.maxMessageBytes,
      maxFragments: MAX_FRAGMENTS,
      maxBufferedChunks: MAX_CHUNKS,
      // The connection counts pings, and NodeSocket bounds the pongs. ws would drop the client without a close frame.
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
        // The request does not form a URL.
        errorHandler: (error) =>
          error instanceof RequestError ? this.#plain('invalid-request') : this.#failed(error),
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
          return closeServer(server);
        },
      };
    });
  }

  pause(): void {
    // Node accepts each further connection and closes it at once. A server that stops listening would not time out requests.
    for (const server of this.#servers) server.maxConnections = 1;
  }

  resume(): boolean {
    for (const server of this.#servers) server.maxConnections = this.#maxConnections;
    return true;
  }

  async close(): Promise<void> {
    const closing = this.#servers.map(closeServer);
    this.#servers = [];
    for (const socket of this.#sockets) socket.terminate();
    await Promise.all(closing);
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
    // Node would silently omit the lines beyond its limit. hasTooManyHeaders counts them.
    server.maxHeadersCount = 0;
    server.maxConnections = this.#maxConnections;
    server.on('request', (incoming, outgoing) => this.#request(incoming, outgoing));
    // Node would answer 417 by itself, past every limit. The server ignores other expectations than 100-continue.
    server.on('checkExpectation', (incoming, outgoing) => this.#request(incoming, outgoing));
    server.on('upgrade', (incoming, stream, head) => void this.#upgrade(incoming, stream, head));
    return server;
  }

  #request(incoming: NodeRequest, outgoing: ServerResponse): void {
    unanswered.enter(incoming.socket, outgoing);
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
      // Thrown here it would end the process. The app meets the same exception, and answers.
      return undefined;
    }
  }

  /** Without a `Request` and a `Response`, which cost more than everything else in a short answer. */
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
    if (fault !== undefined) return fault;
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
    stream.on('error', drop);
    // Node no longer watches the connection.
    socket.setTimeout(STALLED_MS, drop);
    try {
      // The first request gets the first answer.
      const earlier = unanswered.settled(socket);
      if (earlier !== undefined) await earlier;
      const answer = await this.#answerUpgrade(incoming, stream);
      if (answer instanceof Response) return await writeResponse(stream, answer);
      stream.removeListener('error', drop);
      socket.removeListener('timeout', drop);
      this.#open(incoming, { stream, head, owner: answer });
    } catch (error) {
      await writeResponse(stream, this.#failed(error, incoming.headers['accept-language'])).catch(drop);
    }
  }

  async #answerUpgrade(incoming: NodeRequest, stream: Duplex): Promise<SocketOwner | Response> {
    const fault = this.#headFault(incoming);
    if (fault !== undefined) return fault;
    // Node reads on while nobody listens, keeps what comes, and notices the end.
    const decision = await this.#options.admission.decide(handshakeOf(incoming, () => !stream.readable));
    if (decision.kind === 'accept') return ownerOf(this.#options, decision);
    return this.#options.inBand.take(decision) ?? toResponse(decision);
  }

  #headFault(incoming: NodeRequest): Response | undefined {
    if (incoming.isBeyondLimit)
      return toResponse(tooManyUnanswered(incoming.headers['accept-language'], this.#options.language));
    if (hasTooManyHeaders(incoming))
      return this.#plain('headers-too-large', incoming.headers['accept-language']);
    return hasGoodHost(incoming)
      ? undefined
      : this.#plain('invalid-request', incoming.headers['accept-language']);
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
    // ws calls back at once, or not at all if the client is gone.
    if (!opened) abandon(owner);
  }

  #plain(code: PlainCode, acceptLanguage?: string): Response {
    return toResponse(plainRefusal(code, acceptLanguage, this.#options.language));
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

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function write(outgoing: ServerResponse, { status, headers, body }: DirectAnswer): void {
  outgoing.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) });
  outgoing.end(body);
}

function toResponse(refusal: UpgradeRefusal): Response {
  return new Response(refusal.body, { status: refusal.status, headers: refusal.headers });
}

/** Writes a response to a connection that Node gave up as HTTP, and ends it. */
async function writeResponse(stream: Duplex, response: Response): Promise<void> {
  const body = Buffer.from(await response.arrayBuffer());
  if (stream.destroyed) return;
  const lines = [`HTTP/1.1 ${response.status} ${STATUS_CODES[response.status] ?? ''}`];
  for (const [name, value] of response.headers)
    if (!/^(connection|content-length|transfer-encoding)$/i.test(name)) lines.push(`${name}: ${value}`);
  lines.push(`content-length: ${body.length}`, 'connection: close', '', '');
  stream.once('finish', () => stream.destroy());
  stream.end(Buffer.concat([Buffer.from(lines.join('\r\n'), 'latin1'), body]));
}
