import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Algorithm = 'RS256' | 'ES256';

/** A key of an issuer, and its signatures. */
export interface IssuerKey {
  /** The key in the form of a JWKS document. */
  readonly jwk: Readonly<Record<string, unknown>>;
  /** Signs a token. `header` is added to `alg`. `kid` is written only if it is given. */
  sign(claims: object, header?: Readonly<Record<string, unknown>>): string;
}

/** A new key pair. Its public half has a `kid` if one is given. */
export function issuerKey(algorithm: Algorithm, kid?: string): IssuerKey {
  const pair =
    algorithm === 'RS256'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    jwk: { ...pair.publicKey.export({ format: 'jwk' }), ...(kid === undefined ? {} : { kid }) },
    sign: (claims, header = {}) => signWith(pair.privateKey, claims, { alg: algorithm, ...header }),
  };
}

function signWith(key: KeyObject, claims: object, header: object): string {
  const input = [header, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  const signature = sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

/** The key server of an issuer, on a loopback port. */
export interface KeyServer {
  readonly port: number;
  /** The answer: the keys of a set; a status without a body; nothing; or the headers and half a body, and then nothing. */
  answer: readonly IssuerKey[] | number | 'silent' | 'half';
  /** `performance.now()` of each request so far. */
  readonly asked: readonly number[];
  /** The `Authorization` header of the newest request. */
  readonly authorization: () => string | undefined;
  stop(): Promise<void>;
}

export async function startKeyServer(answer: KeyServer['answer']): Promise<KeyServer> {
  const asked: number[] = [];
  let authorization: string | undefined;
  const http = createServer((request, response) => {
    asked.push(performance.now());
    authorization = request.headers.authorization;
    if (server.answer === 'silent') return;
    if (server.answer === 'half') {
      response.writeHead(200, { 'content-type': 'application/json' }).write('{"keys":');
      return;
    }
    if (typeof server.answer === 'number') {
      response.writeHead(server.answer).end('away');
      return;
    }
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ keys: server.answer.map(({ jwk }) => jwk) }));
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const server: KeyServer = {
    port: (http.address() as AddressInfo).port,
    answer,
    asked,
    authorization: () => authorization,
    stop: () =>
      new Promise((resolve) => {
        http.close(() => resolve());
        http.closeAllConnections();
      }),
  };
  return server;
}
