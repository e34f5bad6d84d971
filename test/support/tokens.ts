import { createHmac } from 'node:crypto';

/** The contents of a test's token. It is made without the product's own code, as an external issuer would. */
export interface TokenOptions {
  /** The claim with the user id. Default `sub`; the Go server writes `id`. */
  readonly claim?: 'sub' | 'id';
  /** Writes the id as a JSON number. Default: `sub` is a string, `id` a number. */
  readonly numeric?: boolean;
  readonly name?: string;
  /** Seconds from now, negative for the past. Default 3600; `null` omits `exp`. */
  readonly expiresInS?: number | null;
  readonly secret?: string;
  readonly header?: Readonly<Record<string, unknown>>;
  /** Further claims, which have priority over the others. */
  readonly claims?: Readonly<Record<string, unknown>>;
}

/** Signs a token for `userId` with HS256. */
export function signToken(secret: string, userId: unknown, options: TokenOptions = {}): string {
  const claim = options.claim ?? 'sub';
  const now = Math.floor(Date.now() / 1000);
  const numeric = options.numeric ?? claim === 'id';
  const id = typeof userId === 'number' && !numeric ? String(userId) : userId;
  const payload = {
    [claim]: id,
    iat: now,
    ...(options.expiresInS === null ? {} : { exp: now + (options.expiresInS ?? 3600) }),
    ...(options.name === undefined ? {} : { name: options.name }),
    ...options.claims,
  };
  const header = { alg: 'HS256', typ: 'JWT', ...options.header };
  const signed = `${encode(header)}.${encode(payload)}`;
  if (header.alg === 'none') return `${signed}.`;
  const signature = createHmac('sha256', options.secret ?? secret)
    .update(signed)
    .digest('base64url');
  return `${signed}.${signature}`;
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
