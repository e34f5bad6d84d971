import type { Random } from '../../simulation/random.ts';
import { type Case, magnitude, mutate, type Part, randomBytes, randomOf } from './case.ts';
import { forgedToken, rightToken } from './forged-tokens.ts';
import { encodeWire } from './wire.ts';

/** Valid tokens are for users from this range. */
export interface Users {
  readonly first: number;
  readonly last: number;
}

export interface HandshakeSettings {
  readonly jwtSecret: string;
  readonly apiKey: string;
  readonly users: Users;
}

interface Request {
  method: string;
  target: string;
  version: string;
  headers: [string, string][];
  lineEnd: string;
  body: string;
}

const MAX_PIPELINED = 2_000;
const MAX_HEADER_BYTES = 20_000;
const MAX_HEADERS = 300;
const MAX_BODY_BYTES = 200_000;

const PATHS = [
  ...['/', '/ws', '/ws/', '//ws', '/ws/stats', '/docs', '/openapi.json', '/healthz', '/readyz', '/metrics'],
  ...[
    '/api/online/login',
    '/api/online/logout',
    '/api/online/heartbeat',
    '/api/online/players',
    '/api/nodes',
  ],
  ...[
    '/api/online/player/1',
    '/api/online/status',
    '/api/messages',
    '/api/users/1/connections',
    '/dev/token',
  ],
  ...[
    '/api/users/1/timeline',
    '/api/users/1/disconnect',
    '/%00',
    '/..%2f..',
    '/nowhere',
    '*',
    'http://[::1',
    '?',
  ],
];
const METHODS = [
  'GET',
  'POST',
  'HEAD',
  'PUT',
  'DELETE',
  'OPTIONS',
  'PATCH',
  'TRACE',
  'CONNECT',
  'PRI',
  'get',
  'G T',
];
const ODD_HEADERS: readonly (readonly [string, string])[] = [
  ['Transfer-Encoding', 'chunked'],
  ['Transfer-Encoding', 'chunked, identity'],
  ['Content-Length', '5'],
  ['Content-Length', '-1'],
  ['Content-Length', '99999999999999999999'],
  ['Expect', '100-continue'],
  ['Upgrade', 'h2c'],
  ['Upgrade', 'websocket, h2c'],
  ['Connection', 'close'],
  ['Connection', 'keep-alive, Upgrade, Upgrade'],
  ['Sec-WebSocket-Version', '8'],
  ['Sec-WebSocket-Key', 'AAAAAAAAAAAAAAAAAAAAAA=='],
  ['Sec-WebSocket-Extensions', 'permessage-deflate; client_max_window_bits=999'],
  ['Sec-WebSocket-Protocol', 'lingxi.v1, lingxi.v1'],
  ['Sec-WebSocket-Protocol', Array.from({ length: 40 }, (_, at) => `p${at}`).join(', ')],
  ['Sec-WebSocket-Protocol', '"'],
  ['Origin', 'null'],
  ['Origin', 'https://evil.example'],
  ['Host', ''],
  ['Host', 'a b:99999'],
  ['Cookie', 'a=b; '.repeat(200)],
  ['X-Forwarded-For', '1.2.3.4, ::1, %'],
  ['Forwarded', 'for="[::1]"'],
  ['Accept-Language', `${'zh;q=0.1,'.repeat(300)}*`],
  ['Accept', 'text/event-stream'],
  ['Last-Event-ID', '1-1'],
  ['Authorization', 'Basic eDp4'],
  ['X\u0000Y', 'z'],
  ['X-Nul', 'a\u0000b'],
  ['X-Fold', 'a\r\n b'],
  ['', 'x'],
  [' Host', 'x'],
];

/** One TCP connection: a handshake, valid, changed or broken off, or several requests in one write. */
export function handshakeCase(seed: number, index: number, settings: HandshakeSettings): Case {
  const random = randomOf(seed, 'handshakes', index);
  const recipe = random.weighted({
    changed: 10,
    forged: 5,
    partial: 4,
    piped: 1.5,
    deaf: 0.5,
    early: 1.5,
    body: 2,
    noise: 1,
    slow: 1,
  });
  const leaving = random.weighted({ reset: 5, end: 4, wait: 0.4 });
  return { kind: 'handshakes', index, recipe, parts: partsOf(random, recipe, settings), leaving };
}

type Recipe = 'changed' | 'forged' | 'partial' | 'piped' | 'deaf' | 'early' | 'body' | 'noise' | 'slow';

function partsOf(random: Random, recipe: Recipe, settings: HandshakeSettings): readonly Part[] {
  const request = rightHandshake(random, settings);
  switch (recipe) {
    case 'changed': {
      const changes = Array.from({ length: random.int(0, 3) }, () => change(random, request));
      const bytes = encode(request);
      const isMutated = random.chance(0.25);
      return [
        {
          what: `a handshake with ${changes.join(', ')}${isMutated ? ' and changed bytes' : ''}`,
          bytes: isMutated ? mutate(random, bytes) : bytes,
        },
      ];
    }
    case 'forged': {
      const user = random.int(settings.users.first, settings.users.last);
      const token = forgedToken(random, settings.jwtSecret, user);
      placeToken(random, request, token);
      return [{ what: `a forged token ${token.slice(0, 60)}…`, bytes: encode(request) }];
    }
    case 'partial': {
      const bytes = encode(request);
      const cut = random.int(0, bytes.length - 1);
      return [{ what: `the first ${cut} bytes of a handshake`, bytes: bytes.subarray(0, cut) }];
    }
    case 'piped':
    case 'deaf':
      return piped(random, settings);
    case 'early':
      return early(random, request);
    case 'body':
      return [withBody(random, settings)];
    case 'noise': {
      const noise = randomBytes(random, magnitude(random, 1, 4_000));
      // The beginning of TLS.
      const bytes = random.chance(0.3) ? Buffer.concat([Buffer.from([0x16, 3, 1, 2, 0]), noise]) : noise;
      return [{ what: `${bytes.length} random bytes`, bytes }];
    }
    case 'slow': {
      const bytes = encode(request);
      const at = random.int(1, bytes.length - 1);
      return [
        { what: 'the beginning of a handshake', bytes: bytes.subarray(0, at) },
        { what: 'its end', bytes: bytes.subarray(at) },
      ];
    }
  }
}

function rightHandshake(random: Random, { jwtSecret, users }: HandshakeSettings): Request {
  const request: Request = {
    method: 'GET',
    target: '/ws',
    version: 'HTTP/1.1',
    headers: [
      ['Host', '127.0.0.1'],
      ['Upgrade', 'websocket'],
      ['Connection', 'Upgrade'],
      ['Sec-WebSocket-Key', randomBytes(random, 16).toString('base64')],
      ['Sec-WebSocket-Version', '13'],
    ],
    lineEnd: '\r\n',
    body: '',
  };
  placeToken(random, request, rightToken(jwtSecret, random.int(users.first, users.last)));
  return request;
}

function placeToken(random: Random, request: Request, token: string): void {
  const isToken = (name: string): boolean => name === 'Authorization' || name === 'Sec-WebSocket-Protocol';
  request.headers = request.headers.filter(([name]) => !isToken(name));
  switch (random.int(0, 2)) {
    case 0:
      request.headers.push(['Authorization', `Bearer ${token}`]);
      break;
    case 1:
      request.headers.push(['Sec-WebSocket-Protocol', `lingxi.v1, bearer.${token}`]);
      break;
    default:
      request.target = `/ws?token=${encodeURIComponent(token)}`;
  }
}

/** Changes one part of the request, and describes the change. */
function change(random: Random, request: Request): string {
  const { headers } = request;
  const at = random.int(0, Math.max(0, headers.length - 1));
  const [name = '', text = ''] = headers[at] ?? [];
  const kind = random.weighted({
    ...{
      drop: 3,
      double: 3,
      value: 4,
      odd: 6,
      method: 1.5,
      target: 3,
      version: 1,
      lines: 1,
      many: 1,
      long: 1,
      name: 1,
    },
  });
  switch (kind) {
    case 'drop':
      headers.splice(at, 1);
      return `no ${name}`;
    case 'double':
      headers.push([name, random.chance(0.5) ? text : 'x']);
      return `two of ${name}`;
    case 'value':
      headers[at] = [name, mutate(random, Buffer.from(text)).toString('latin1')];
      return `a changed ${name}`;
    case 'odd': {
      const odd = random.pick(ODD_HEADERS);
      headers.splice(random.int(0, headers.length), 0, [...odd]);
      return `${odd[0]}: ${odd[1].slice(0, 30)}`;
    }
    case 'method':
      request.method = random.pick(METHODS);
      return request.method;
    case 'target':
      request.target = oddTarget(random, request.target);
      return `target ${request.target.slice(0, 40)}`;
    case 'version':
      request.version = random.pick([
        'HTTP/1.0',
        'HTTP/2.0',
        'HTTP/0.9',
        'HTTP/1.1 x',
        'http/1.1',
        '',
        'RTSP/1.0',
      ]);
      return `version "${request.version}"`;
    case 'lines':
      request.lineEnd = random.pick(['\n', '\r', '\r\r\n', '\n\n', ' \r\n']);
      return `lines that end ${JSON.stringify(request.lineEnd)}`;
    case 'many': {
      const count = magnitude(random, 1, MAX_HEADERS);
      for (let left = count; left > 0; left -= 1) headers.push([`X-${left}`, 'x']);
      return `${count} more headers`;
    }
    case 'long': {
      const length = magnitude(random, 1, MAX_HEADER_BYTES);
      headers.push(['X-Long', 'x'.repeat(length)]);
      return `a header of ${length} bytes`;
    }
    case 'name':
      headers[at] = [mutate(random, Buffer.from(name)).toString('latin1'), text];
      return `a changed name of ${name}`;
  }
}

function oddTarget(random: Random, target: string): string {
  const join = target.includes('?') ? '&' : '?';
  return random.pick([
    `${target}${join}userId=${random.pick(['1', '-1', '', '1&userId=1', '%00', '9'.repeat(400), '１'])}`,
    `http://127.0.0.1${target}`,
    `http://other.example:99999${target}`,
    `/${target}`,
    `${target}#x`,
    target.replace('/ws', '/WS'),
    target.replace('/ws', '/ws/../ws'),
    target.replace('/ws', '/%77s'),
    `${target}${join}${'a=b&'.repeat(magnitude(random, 1, 3_000))}`,
    `${target}${join}${'%'.repeat(magnitude(random, 1, 3_000))}`,
    random.pick(PATHS),
  ]);
}

/** Requests in one write, without waiting for answers. */
function piped(random: Random, { apiKey }: HandshakeSettings): readonly Part[] {
  const count = magnitude(random, 2, MAX_PIPELINED);
  const path = random.pick(PATHS.filter((candidate) => candidate.startsWith('/')));
  const method = random.chance(0.85) ? 'GET' : random.pick(['HEAD', 'OPTIONS', 'DELETE']);
  const key = random.chance(0.3) ? `Authorization: Bearer ${apiKey}\r\n` : '';
  const what = `${method} ${path}${key === '' ? '' : ' with the service key'}`;
  const bytes = Buffer.from(`${method} ${path} HTTP/1.1\r\nHost: x\r\n${key}\r\n`);
  return Array.from({ length: count }, () => ({ what, bytes }));
}

/** Frames right after the handshake, before its answer. */
function early(random: Random, request: Request): readonly Part[] {
  const frames = Array.from({ length: magnitude(random, 1, 100) }, () => {
    const payload = random.chance(0.7) ? Buffer.from('{"type":"ping"}') : randomBytes(random, 20);
    return {
      what: 'an early frame',
      bytes: encodeWire(random, { opcode: random.pick([1, 9, 9, 10]), payload }),
    };
  });
  return [{ what: 'a handshake', bytes: encode(request) }, ...frames];
}

function withBody(random: Random, { apiKey, users }: HandshakeSettings): Part {
  const depth = magnitude(random, 1, MAX_BODY_BYTES / 2);
  const user = random.int(users.first, users.last);
  const body = random.pick([
    '['.repeat(depth) + ']'.repeat(depth),
    `{"playerId":${'['.repeat(depth)}${']'.repeat(depth)}}`,
    `{"playerId":"${user}"}`,
    `{"to":{"userId":${user}},"type":"x","data":${'{"a":'.repeat(depth / 3)}1${'}'.repeat(depth / 3)}}`,
    `{"userIds":[${Array.from({ length: Math.min(depth, 5_000) }, () => user).join(',')}]}`,
    `{"playerId":"${user}","__proto__":{"x":1},"ip":"${'x'.repeat(Math.min(depth, 2_000))}"}`,
    '\u0000'.repeat(depth),
  ]);
  const path = random.pick([
    '/api/online/login',
    '/api/online/heartbeat',
    '/api/online/logout',
    '/api/online/status',
    '/api/messages',
    '/ws',
  ]);
  const key = random.chance(0.7) ? `Authorization: Bearer ${apiKey}\r\n` : '';
  const length = Buffer.byteLength(body);
  // The stated length is correct, too large, or too small, so that the rest looks like a second request.
  const told = random.weighted({ right: 6, more: 1, less: 1, chunked: 2 });
  const head = `POST ${path} HTTP/1.1\r\nHost: x\r\n${key}`;
  const what = `POST ${path} with ${length} bytes of ${body.slice(0, 24)}…, its length ${told}`;
  if (told === 'chunked') {
    const chunk = random.chance(0.7)
      ? length.toString(16)
      : random.pick(['-1', 'fffffffffffffffff', 'x', '5;a=b']);
    return {
      what,
      bytes: Buffer.from(`${head}Transfer-Encoding: chunked\r\n\r\n${chunk}\r\n${body}\r\n0\r\n\r\n`),
    };
  }
  const claimed = told === 'right' ? length : told === 'more' ? length + 100 : Math.max(0, length - 10);
  return { what, bytes: Buffer.from(`${head}Content-Length: ${claimed}\r\n\r\n${body}`) };
}

function encode({ method, target, version, headers, lineEnd, body }: Request): Buffer {
  const lines = [
    `${method} ${target} ${version}`,
    ...headers.map(([name, text]) => `${name}: ${text}`),
    '',
    body,
  ];
  return Buffer.from(lines.join(lineEnd), 'latin1');
}
