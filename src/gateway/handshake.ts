import { BEARER_SUBPROTOCOL_PREFIX, SUBPROTOCOL } from '../protocol/envelope.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';
import type { ClientProtocol } from '../protocol/frames.ts';
import { parseUserId } from '../protocol/user-id.ts';

/** An upgrade request in a form that both runtimes can provide. Header names are in lower case. */
export interface HandshakeRequest {
  readonly method: string;
  /** Path and query. An absolute URL is accepted too. */
  readonly url: string;
  header(name: string): string | undefined;
  /** Address of the TCP peer. */
  readonly peer: string;
  /** Whether the client closed its connection before the answer. */
  hasLeft(): boolean;
}

/** Proxies add these; a page in a browser cannot set them. */
const PROXY_HEADERS = ['x-forwarded-for', 'forwarded', 'via'];

/** Whether a proxy passed the request on. */
export function camePastProxy(request: HandshakeRequest): boolean {
  return PROXY_HEADERS.some((name) => request.header(name) !== undefined);
}

/** A 16-byte value in base64 (RFC 6455 section 4.1). */
const KEY = /^[+/0-9A-Za-z]{22}==$/;
/** A token of RFC 9110. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const MAX_SUBPROTOCOLS = 16;

/** Faults in the form of the handshake itself. */
type FormFault = 'upgrade-required' | 'unsupported-version' | 'bad-handshake';

/** Checks RFC 6455 section 4.2.1. Returns undefined if the request is a well-formed opening handshake. */
export function formFault(request: HandshakeRequest): FormFault | undefined {
  const connection = request.header('connection');
  if (request.header('upgrade')?.toLowerCase() !== 'websocket') return 'upgrade-required';
  if (connection === undefined || !/(^|,)\s*upgrade\s*(,|$)/i.test(connection)) return 'upgrade-required';
  if (request.method !== 'GET') return 'bad-handshake';
  if (!KEY.test(request.header('sec-websocket-key') ?? '')) return 'bad-handshake';
  return request.header('sec-websocket-version') === '13' ? undefined : 'unsupported-version';
}

/** The credentials that a client offered. */
export interface Offer {
  readonly credential: { readonly kind: 'token' | 'ticket'; readonly text: string };
  readonly protocol: ClientProtocol;
  /** The user in `?userId=`. */
  readonly claimedUserId: number | undefined;
}

type OfferFault = Extract<
  ErrorCode,
  'bad-handshake' | 'missing-credentials' | 'missing-subprotocol' | 'invalid-user-id'
>;

/** Finds the credentials: `Authorization`, the subprotocol offer, `?token=` if that is allowed, then `?ticket=`. */
export function readOffer(request: HandshakeRequest, queryToken: boolean): Offer | OfferFault {
  const subprotocols = parseSubprotocols(request.header('sec-websocket-protocol'));
  if (subprotocols === undefined) return 'bad-handshake';
  const bearer = subprotocols.find((name) => name.startsWith(BEARER_SUBPROTOCOL_PREFIX));
  const offersOurs = subprotocols.includes(SUBPROTOCOL);
  const query = queryOf(request.url);
  const token =
    bearerToken(request.header('authorization')) ??
    bearer?.slice(BEARER_SUBPROTOCOL_PREFIX.length) ??
    (queryToken ? query?.get('token') : undefined);
  // An empty token counts as no token.
  const kind = token ? 'token' : 'ticket';
  const text = token || query?.get('ticket');
  if (!text) return 'missing-credentials';
  if (bearer !== undefined && !offersOurs) return 'missing-subprotocol';
  const claimed = query?.getAll('userId') ?? [];
  const claimedUserId = claimed.length === 1 ? parseUserId(claimed[0]) : undefined;
  if (claimed.length > 0 && claimedUserId === undefined) return 'invalid-user-id';
  return { credential: { kind, text }, protocol: offersOurs ? SUBPROTOCOL : 'seed', claimedUserId };
}

/** Whether the client can read a refusal only in band: it is a browser, which sends `Origin`, and speaks `lingxi.v1`. */
export function offersInBand(request: HandshakeRequest): boolean {
  if (request.header('origin') === undefined || formFault(request) !== undefined) return false;
  return parseSubprotocols(request.header('sec-websocket-protocol'))?.includes(SUBPROTOCOL) === true;
}

const BEARER = /^bearer +\S+ *$/i;

/** The token of an `Authorization` header with the scheme Bearer, in upper or lower case. */
export function bearerToken(authorization: string | undefined): string | undefined {
  if (authorization === undefined || !BEARER.test(authorization)) return undefined;
  return authorization.slice(authorization.indexOf(' ')).trim();
}

/** A `Host` as in RFC 9110 section 7.2: a name or an address, and a port. Each of them may be empty. */
const HOST = /^(?:\[[\da-f:.]+\]|[\w.~!$&'()*+,;=%-]*)(?::\d{0,5})?$/i;

export function isHost(text: string): boolean {
  return HOST.test(text);
}

/** Path of a request target, without its query. */
export function pathOf(url: string): string {
  const start = pathStart(url);
  const query = url.indexOf('?', start);
  return query === -1 ? url.slice(start) : url.slice(start, query);
}

/** The offered names, or undefined if the header is malformed (RFC 6455 section 11.3.4). */
function parseSubprotocols(header: string | undefined): readonly string[] | undefined {
  if (header === undefined) return [];
  const names: string[] = [];
  for (const part of header.split(',', MAX_SUBPROTOCOLS + 1)) {
    const name = part.trim();
    if (!TOKEN.test(name) || names.includes(name)) return undefined;
    names.push(name);
  }
  return names.length > MAX_SUBPROTOCOLS ? undefined : names;
}

function queryOf(url: string): URLSearchParams | undefined {
  const start = url.indexOf('?');
  return start === -1 ? undefined : new URLSearchParams(url.slice(start + 1));
}

/** Bun gives absolute URLs, Node the request target as the client sent it. */
function pathStart(url: string): number {
  if (url.startsWith('/')) return 0;
  const scheme = url.indexOf('://');
  const slash = scheme === -1 ? -1 : url.indexOf('/', scheme + 3);
  return slash === -1 ? url.length : slash;
}
