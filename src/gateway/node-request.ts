import { IncomingMessage } from 'node:http';
import { MAX_HEADER_LINES, SOCKET_PATH } from './gateway-server.ts';
import { type HandshakeRequest, isHost, pathOf } from './handshake.ts';
import { unanswered } from './node-unanswered.ts';

/**
 * A request of Node's server that decides itself whether it is an upgrade. Node reads `upgrade` right after the headers. If it is
 * true, Node reads no body, reads nothing after it as HTTP, and emits `upgrade`.
 *
 * Java's HttpClient and `curl --http2` offer to upgrade each request to HTTP/2. If the server does not accept, it is an ordinary
 * request with its body (RFC 9110 section 7.8), so only the handshake of a WebSocket counts. A request over the limit of its
 * connection counts too, so that Node reads nothing after it.
 */
export class NodeRequest extends IncomingMessage {
  /** Whether the client offers to upgrade to any protocol. Only declared: Node sets it inside the base constructor. */
  declare offersUpgrade: boolean;
  declare knownToExceed: boolean | undefined;

  /** Whether the connection already was at its limit of unanswered requests when this one arrived. */
  get isBeyondLimit(): boolean {
    this.knownToExceed ??= unanswered.isFull(this.socket);
    return this.knownToExceed;
  }

  get upgrade(): boolean {
    if (this.isBeyondLimit) return true;
    return this.offersUpgrade && (this.method === 'CONNECT' || isSocketUpgrade(this));
  }

  set upgrade(offered: boolean | null) {
    this.offersUpgrade = offered === true;
  }
}

/** Whether the admission answers: it decides whether a GET is a valid handshake, and a HEAD gets the same headers. */
export function isSocketRequest(incoming: IncomingMessage): boolean {
  return (incoming.method === 'GET' || incoming.method === 'HEAD') && isSocketPath(incoming);
}

function isSocketPath(incoming: IncomingMessage): boolean {
  return pathOf(incoming.url ?? '') === SOCKET_PATH;
}

/** `rawHeaders` has a name and a value for each line. */
export function hasTooManyHeaders(incoming: IncomingMessage): boolean {
  return incoming.rawHeaders.length > 2 * MAX_HEADER_LINES;
}

/** HTTP/1.0, which some proxies use for health checks, has no `Host`; HTTP/1.1 has one (RFC 9112 section 3.2). */
export function hasGoodHost(incoming: IncomingMessage): boolean {
  const { host } = incoming.headers;
  if (host === undefined) return incoming.httpVersion === '1.0';
  // If there are several values, Node returns the first.
  return isHost(host) && lines(incoming, 'host') === 1;
}

/** The listener builds a URL from `Host` and target. The later code does not use the `Host`. */
export function withoutOddHost(incoming: NodeRequest): NodeRequest {
  const { url = '', headers } = incoming;
  if (url.startsWith('/') && !/^[\w.-]+(?::\d{1,5})?$/.test(headers.host ?? ''))
    incoming.url = `http://localhost${url}`;
  return incoming;
}

export function peerOf(incoming: IncomingMessage): string {
  return incoming.socket.remoteAddress ?? '';
}

/** Number of header lines with this name. */
function lines({ rawHeaders }: IncomingMessage, name: string): number {
  let count = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) if (isNamed(rawHeaders[index], name)) count += 1;
  return count;
}

function isNamed(other: string | undefined, name: string): boolean {
  return other?.length === name.length && other.toLowerCase() === name;
}

/** All values of a header, joined by commas. For some headers Node itself returns only the first value. */
export function joinedHeader({ rawHeaders }: IncomingMessage, name: string): string | undefined {
  let joined: string | undefined;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    if (!isNamed(rawHeaders[index], name)) continue;
    const value = rawHeaders[index + 1] as string;
    joined = joined === undefined ? value : `${joined}, ${value}`;
  }
  return joined;
}

/** Largest number of body pieces that are kept as they arrived. A piece of one byte costs far more than the byte. */
const MAX_PIECES = 64;

/** The body, once all of it has arrived. Undefined: the client left before. */
export function wholeBody(incoming: IncomingMessage): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    let pieces: Buffer[] = [];
    incoming.on('data', (piece: Buffer) => {
      pieces.push(piece);
      if (pieces.length === MAX_PIECES) pieces = [Buffer.concat(pieces)];
    });
    incoming.once('end', () => resolve(pieces.length === 1 ? pieces[0] : Buffer.concat(pieces)));
    incoming.once('error', () => resolve(undefined));
    incoming.once('close', () => resolve(undefined));
  });
}

/** The same request as a `Request`, for the app. Its body has been read. */
export function requestOf(incoming: IncomingMessage, body: Uint8Array): Request {
  const headers = new Headers();
  for (let index = 0; index < incoming.rawHeaders.length; index += 2)
    headers.append(incoming.rawHeaders[index] as string, incoming.rawHeaders[index + 1] as string);
  const { method = 'GET', url = '/' } = incoming;
  return new Request(`http://localhost${url}`, { method, headers, body: Uint8Array.from(body) });
}

/** `hasLeft` says whether the client closed its connection. Absent: this is unknown. */
export function handshakeOf(
  incoming: IncomingMessage,
  hasLeft: () => boolean = () => false,
): HandshakeRequest {
  return {
    hasLeft,
    method: incoming.method ?? '',
    url: incoming.url ?? '',
    peer: peerOf(incoming),
    header: (name) => {
      const value = incoming.headers[name];
      return Array.isArray(value) ? value.join(', ') : value;
    },
  };
}

function isSocketUpgrade(incoming: IncomingMessage): boolean {
  return (
    incoming.method === 'GET' &&
    isSocketPath(incoming) &&
    incoming.headers.upgrade?.toLowerCase() === 'websocket'
  );
}
