import { networkInterfaces } from 'node:os';
import type { Registration } from '../connection/connection-info.ts';
import type { Socket, SocketEvents } from '../connection/socket.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../logging/log.ts';
import { type ErrorCode, errorBody, errorStatus, type Language } from '../protocol/error-codes.ts';
import type { Acceptance, Decision, HandshakeRequest, UpgradeRefusal } from './admission.ts';
import type { InBandRefusals } from './in-band-refusals.ts';
import { preferredLanguage } from './language.ts';

/** The path at which clients open their sockets. */
export const SOCKET_PATH = '/ws';
/** Largest number of header lines of a request. Beyond it: 431. */
export const MAX_HEADER_LINES = 128;
/** Largest number of bytes of all header lines of a request together. Beyond it: 431. */
export const MAX_HEADER_BYTES = 16_384;
/** Largest number of unanswered requests of one connection. One more gets 429, and the connection is closed. */
export const MAX_UNANSWERED = 16;
/**
 * Largest number of bytes that a socket may hold back; beyond it the server closes it. A connection stops sending at the
 * first byte held back. So only the pongs to a client that pings and never reads can reach this limit.
 */
export const MAX_HELD_BYTES = 1_048_576;

/**
 * A request in flight when the server stops listening has this long for its end. A proxy answers 502 for one that is cut, and
 * does not send a POST again.
 */
export const LAST_ANSWERS_MS = 500;

/** The listening side of the gateway on one runtime. */
export interface GatewayServer {
  /** Rejects with a {@link ListenError} if it cannot listen at the address. */
  listen(): Promise<{ readonly port: number; readonly addresses: readonly string[] }>;
  /** Accepts no connections until {@link resume}. Open ones stay. */
  pause(): void;
  /** Accepts connections again. Returns false if that fails now; try again later. */
  resume(): boolean;
  /** Stops accepting, waits up to {@link LAST_ANSWERS_MS} for requests in flight, and drops what is still open. */
  close(): Promise<void>;
}

/** The part of {@link Admission} that the adapters use. */
interface AdmissionPort {
  decide(request: HandshakeRequest): Promise<Decision>;
  release(registration: Registration): void;
}

export interface ServerOptions {
  /** `localhost` listens on 127.0.0.1 and, if the machine has it, on ::1. */
  readonly host: string;
  /** 0: any free port, the same for every address. */
  readonly port: number;
  readonly maxMessageBytes: number;
  readonly maxConnections: number;
  /** Largest HTTP body. The server does not read the rest of a larger upload. */
  readonly maxBodyBytes: number;
  /** The server keeps an HTTP connection for this long after an answer. */
  readonly keepAliveTimeoutMs: number;
  /** A whole HTTP request must have arrived within this time. */
  readonly readTimeoutMs: number;
  /** A closing handshake must have ended within this time. */
  readonly writeTimeoutMs: number;
  /** Answers all requests except `GET /ws`. `peer` is the address of the TCP peer. */
  http(request: Request, peer: string): Promise<Response>;
  /** The route that answers without a `Request`. Undefined: there is none now. */
  direct?(): DirectRoute | undefined;
  readonly admission: AdmissionPort;
  readonly inBand: InBandRefusals;
  /** A socket opened. Called once for each socket, before any of its events. */
  opened(registration: Registration, socket: Socket): SocketEvents;
  /** The client of an accepted login left before its socket opened. */
  abandoned(registration: Registration): void;
  readonly clock: Pick<Clock, 'defer' | 'after'>;
  readonly log: Log;
  readonly language?: Language;
}

/** A request whose small body has arrived. */
export interface DirectRequest {
  /** Several values of one name are joined by commas. */
  header(name: string): string | undefined;
  readonly body: Uint8Array;
}

export interface DirectAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Answers one frequent kind of POST request. A request that it does not accept or answer goes to {@link ServerOptions.http}. */
export interface DirectRoute {
  readonly path: string;
  /** Decides by the headers, before the body is read. */
  mayTake(header: DirectRequest['header']): boolean;
  /** Never rejects. Undefined: it did nothing with the request. */
  answer(request: DirectRequest): Promise<DirectAnswer | undefined>;
}

/** Largest body that a {@link DirectRoute} gets. */
const MAX_DIRECT_BYTES = 16_384;

/** The route that answers this request directly. Such a request must state the length of its body. */
export function directRouteOf(
  options: Pick<ServerOptions, 'direct' | 'maxBodyBytes'>,
  request: { readonly method: string | undefined; readonly path: string },
  header: DirectRequest['header'],
): DirectRoute | undefined {
  if (request.method !== 'POST') return undefined;
  const route = options.direct?.();
  if (route === undefined || request.path !== route.path) return undefined;
  const length = header('content-length');
  if (length === undefined || !/^\d{1,5}$/.test(length) || header('transfer-encoding') !== undefined)
    return undefined;
  const isSmall = Number(length) <= Math.min(MAX_DIRECT_BYTES, options.maxBodyBytes);
  return isSmall && route.mayTake(header) ? route : undefined;
}

/** The owner of one socket: an accepted connection, or an upgrade that is refused in band. */
export interface SocketOwner {
  /** The socket opened. Called at most once, before any of its events. */
  opened(socket: Socket): SocketEvents;
  /** The socket ended, or never opened. Called once. */
  released(): void;
  /** Called after {@link released} if {@link opened} was not called, or failed. */
  abandoned(): void;
}

type OwnerOptions = Pick<ServerOptions, 'admission' | 'opened' | 'abandoned'>;

/** The owner of the socket of an accepted connection. */
export function ownerOf(options: OwnerOptions, { registration }: Acceptance): SocketOwner {
  return new AcceptedSocket(options, registration);
}

/** A class, not closures: each connection has one for as long as it lives. */
class AcceptedSocket implements SocketOwner {
  readonly #options: OwnerOptions;
  readonly #registration: Registration;

  constructor(options: OwnerOptions, registration: Registration) {
    this.#options = options;
    this.#registration = registration;
  }

  opened(socket: Socket): SocketEvents {
    return this.#options.opened(this.#registration, socket);
  }

  released(): void {
    this.#options.admission.release(this.#registration);
  }

  abandoned(): void {
    this.#options.abandoned(this.#registration);
  }
}

/** Why the server cannot listen, and what to do, in one sentence. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/** With port 0, the port that is free on the first address may be in use on the second. */
const MAX_PORT_ATTEMPTS = 10;

/**
 * Largest number of connections that wait until the loop accepts them; the kernel may allow fewer. The defaults (Node: 511, Bun:
 * 512) are too small for a storm: the kernel drops the others, and a client tries again only after one second, then after two
 * more.
 */
export const BACKLOG = 4_096;

/** Binds every address of `host` to one port by `bind`, which returns the port and an undo function. */
export async function listenOnAll(
  target: { readonly host: string; readonly port: number },
  bind: (address: string, port: number) => Promise<{ readonly port: number; close(): Promise<void> }>,
): Promise<{ readonly port: number; readonly addresses: readonly string[] }> {
  const addresses = listenAddresses(target.host);
  for (let attempt = 1; ; attempt += 1) {
    const bound: { close(): Promise<void> }[] = [];
    let { port } = target;
    let address = '';
    try {
      for (address of addresses) {
        const listener = await bind(address, port);
        bound.push(listener);
        port = listener.port;
      }
      return { port, addresses };
    } catch (error) {
      for (const listener of bound) await listener.close();
      const mayRetry = target.port === 0 && bound.length > 0 && attempt < MAX_PORT_ATTEMPTS;
      if (!mayRetry) throw listenError(error, address, port);
    }
  }
}

/** The addresses to listen on for a configured host. */
function listenAddresses(host: string): readonly string[] {
  // A user may write an IPv6 address as in a URL.
  if (host !== 'localhost') return [/^\[(.+)\]$/.exec(host)?.[1] ?? host];
  const hasIpv6Loopback = Object.values(networkInterfaces()).some((interfaces) =>
    interfaces?.some(({ address }) => address === '::1'),
  );
  return hasIpv6Loopback ? ['127.0.0.1', '::1'] : ['127.0.0.1'];
}

function listenError(error: unknown, address: string, port: number): ListenError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const where = `${address.includes(':') ? `[${address}]` : address}:${port}`;
  const reason = error instanceof Error ? error.message : String(error);
  const options = { cause: error };
  if (code === 'EADDRINUSE')
    return new ListenError(
      `Port ${port} is already in use (${where}): set PORT to a free one, or stop the program that holds it.`,
      options,
    );
  if (code === 'EACCES' || code === 'EPERM')
    return new ListenError(
      `Listening on ${where} is not permitted: set PORT to one above 1023, or give the program the right to it.`,
      options,
    );
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return new ListenError(
      `HOST ${address} is not an address of this machine: set HOST to one that is.`,
      options,
    );
  return new ListenError(
    `Cannot listen on ${where} (${reason}): set HOST and PORT to an address that is free.`,
    options,
  );
}

/** The events of a socket without an owner. */
export const NO_EVENTS: SocketEvents = { message() {}, control() {}, drained() {}, closed() {} };

/** The answers that an adapter gives without the app. */
export type PlainCode = Extract<
  ErrorCode,
  'internal' | 'headers-too-large' | 'invalid-request' | 'rate-limited'
>;

/** The refusal for `code`, in the language that the client prefers. */
export function plainRefusal(
  code: PlainCode,
  acceptLanguage: string | undefined,
  fallback: Language = 'en',
): UpgradeRefusal {
  return {
    kind: 'refuse',
    status: errorStatus(code),
    code,
    body: JSON.stringify(errorBody(code, preferredLanguage(acceptLanguage, fallback))),
    headers: { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' },
  };
}

/** The refusal of a request beyond {@link MAX_UNANSWERED}. It is the last answer of its connection. */
export function tooManyUnanswered(acceptLanguage: string | undefined, fallback?: Language): UpgradeRefusal {
  const refusal = plainRefusal('rate-limited', acceptLanguage, fallback);
  const headers = { ...refusal.headers, 'retry-after': '1', connection: 'close' };
  return { ...refusal, headers };
}

/**
 * Closes the connection after this answer if much of the request's body is unread. Otherwise the server would have to read all of
 * it before the next request.
 */
export function cutUpload(request: Request, response: Response, maxBodyBytes: number): void {
  if (request.bodyUsed) return;
  const { headers } = request;
  const isLong = Number(headers.get('content-length') ?? 0) > maxBodyBytes;
  if (isLong || headers.has('transfer-encoding')) response.headers.set('connection', 'close');
}

/** Strict decoding of binary messages; stateless between calls. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text of a binary message, or undefined if it is not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Shows `localhost` and wildcard addresses as an address that a browser can open. */
export function shownHost(host: string, address: string): string {
  if (host === 'localhost' || host === '0.0.0.0' || host === '::') return 'localhost';
  return address.includes(':') ? `[${address}]` : address;
}
