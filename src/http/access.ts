import {
  type Credentials,
  codeOfTokenFault,
  exactnessOfTokenFault,
  type UserIdentity,
} from '../gateway/credentials.ts';
import { ok, type Result } from '../lib/result.ts';
import type { Bilingual, Exactness } from '../protocol/error-codes.ts';
import { type Refusal, refused, refusedExactly } from './outcome.ts';

/** The verified caller. */
export type Caller =
  | { readonly kind: 'anonymous' }
  /** An anonymous caller of an endpoint that `LINGXI_LEGACY_OPEN_API` opens. */
  | { readonly kind: 'open' }
  | { readonly kind: 'user'; readonly identity: UserIdentity }
  | { readonly kind: 'service' }
  /** The caller has a view key, and may read what the service may read. */
  | { readonly kind: 'viewer' };

/** Who may call a route. `LINGXI_LEGACY_OPEN_API` opens `open-…` to everybody. */
export type Access = 'anyone' | 'user' | 'service' | 'open-user' | 'open-service';

/** Longest credential. A longer one is invalid. */
const MAX_CREDENTIAL_LENGTH = 8_192;

/** Three parts in base64url: a user's token, hardly ever a service key. */
const TOKEN_FORM = /^[\w-]+\.[\w-]+\.[\w-]*$/;

interface AdmitOptions {
  readonly access: Access;
  /** Whether the route only reads, so that a view key may call it. */
  readonly onlyReads: boolean;
  readonly openApi: boolean;
  readonly credentials: Credentials;
  /** Counts a failed credential. Returns 0, or the seconds to wait if too many failed from that address. */
  readonly failed: () => number;
}

const NO_KEY: Bilingual = {
  en: 'It is not the service key of this server either.',
  zh: '它也不是本服务器的服务密钥。',
};

/** Identifies the caller and checks the access to the route. Never reads the body. */
export async function admit(
  authorization: string | undefined,
  options: AdmitOptions,
): Promise<Result<Caller, Refusal>> {
  const { access, credentials } = options;
  const presented = bearer(authorization);
  if (presented !== undefined && credentials.isServiceKey(presented)) return ok({ kind: 'service' });
  if (presented !== undefined && credentials.isViewKey(presented))
    return options.onlyReads
      ? ok({ kind: 'viewer' })
      : refusedExactly('forbidden', { sentence: 'read-only-key' });
  if (access === 'anyone') return admitAnyone(presented, options);
  if (options.openApi && access.startsWith('open-')) return ok({ kind: 'open' });
  if (authorization === undefined || authorization.trim() === '') return refused('unauthorized');
  if (presented === undefined)
    return failedCredential(options, {
      sentence: isTooLong(authorization) ? 'not-signed-here' : 'no-bearer',
    });
  const verified = await credentials.verifyUser(presented);
  if (!verified.ok) {
    const exact = exactnessOfTokenFault(verified.error);
    // A text without the form of a token is probably a wrong service key.
    if (verified.error === 'invalid-token')
      return failedCredential(options, TOKEN_FORM.test(presented) ? exact : { ...exact, detail: NO_KEY });
    // Here a malformed id is a fault of the token, not of the request.
    const code = codeOfTokenFault(verified.error);
    return refusedExactly(code === 'invalid-user-id' ? 'invalid-token' : code, exact);
  }
  if (access === 'service' || access === 'open-service') return refused('forbidden');
  return ok({ kind: 'user', identity: verified.value });
}

/** Some of these routes return more to the service. So a wrong key counts as a failure here too, but a user token does not. */
function admitAnyone(presented: string | undefined, options: AdmitOptions): Result<Caller, Refusal> {
  if (presented === undefined || TOKEN_FORM.test(presented)) return ok({ kind: 'anonymous' });
  const waitS = options.failed();
  return waitS === 0 ? ok({ kind: 'anonymous' }) : tooManyFailures(waitS);
}

function failedCredential(options: AdmitOptions, exact: Exactness): Result<Caller, Refusal> {
  const waitS = options.failed();
  return waitS === 0 ? refusedExactly('invalid-token', exact) : tooManyFailures(waitS);
}

function tooManyFailures(waitS: number): Result<Caller, Refusal> {
  return { ok: false, error: { code: 'rate-limited', headers: { 'retry-after': String(waitS) } } };
}

/** Whether the caller may act for this user. A user's token acts only for its own user. */
export function mayActFor(caller: Caller, userId: number): boolean {
  return caller.kind !== 'user' || caller.identity.userId === userId;
}

function isTooLong(authorization: string): boolean {
  return authorization.length > MAX_CREDENTIAL_LENGTH;
}

/** The credential of an `Authorization` header, if its form is valid. */
export function bearer(authorization: string | undefined): string | undefined {
  if (authorization === undefined || isTooLong(authorization)) return undefined;
  const match = /^bearer +([^\s]+) *$/i.exec(authorization);
  return match?.[1];
}

/** Whether the caller may see the data that the service may see. */
export function seesAll({ kind }: Caller): boolean {
  return kind === 'service' || kind === 'viewer';
}
