import {
  type Credentials,
  codeOfTokenFault,
  exactnessOfTokenFault,
  type UserIdentity,
} from '../gateway/credentials.ts';
import { ok, type Result } from '../lib/result.ts';
import { type Refusal, refused, refusedExactly } from './outcome.ts';

/** The verified caller. */
export type Caller =
  | { readonly kind: 'anonymous' }
  /** An anonymous caller, on an endpoint that `LINGXI_LEGACY_OPEN_API` opened. */
  | { readonly kind: 'open' }
  | { readonly kind: 'user'; readonly identity: UserIdentity }
  | { readonly kind: 'service' }
  /** Holds a view key: reads what the service may read. */
  | { readonly kind: 'viewer' };

/** Who may call a route. `open-…` widens to everybody under `LINGXI_LEGACY_OPEN_API`. */
export type Access = 'anyone' | 'user' | 'service' | 'open-user' | 'open-service';

/** Longest credential. A longer one is invalid. */
const MAX_CREDENTIAL_LENGTH = 8_192;

/** Three parts of base64url: a user's token, hardly ever a service key. */
const TOKEN_FORM = /^[\w-]+\.[\w-]+\.[\w-]*$/;

interface AdmitOptions {
  readonly access: Access;
  /** Whether the route only reads, so that a view key may call it. */
  readonly onlyReads: boolean;
  readonly openApi: boolean;
  readonly credentials: Credentials;
  /** Notes a failed credential. Returns 0, or the seconds to wait if too many failed from that address. */
  readonly failed: () => number;
}

/** Identifies the caller and checks that the route is for them. Never reads the body. */
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
  if (presented === undefined) return failedCredential(options);
  const verified = await credentials.verifyUser(presented);
  if (!verified.ok) {
    if (verified.error === 'invalid-token') return failedCredential(options);
    // Here a malformed id is a fault of the token, not of the request.
    const code = codeOfTokenFault(verified.error);
    if (code === 'invalid-user-id') return refused('invalid-token');
    return refusedExactly(code, exactnessOfTokenFault(verified.error));
  }
  if (access === 'service' || access === 'open-service') return refused('forbidden');
  return ok({ kind: 'user', identity: verified.value });
}

/** Some of these routes return more to the service. So a wrong key is a failure here too, but no user token is. */
function admitAnyone(presented: string | undefined, options: AdmitOptions): Result<Caller, Refusal> {
  if (presented === undefined || TOKEN_FORM.test(presented)) return ok({ kind: 'anonymous' });
  const waitS = options.failed();
  return waitS === 0 ? ok({ kind: 'anonymous' }) : tooManyFailures(waitS);
}

function failedCredential(options: AdmitOptions): Result<Caller, Refusal> {
  const waitS = options.failed();
  return waitS === 0 ? refused('invalid-token') : tooManyFailures(waitS);
}

function tooManyFailures(waitS: number): Result<Caller, Refusal> {
  return { ok: false, error: { code: 'rate-limited', headers: { 'retry-after': String(waitS) } } };
}

/** Whether the caller may act for this user. A user's token acts for its own user only. */
export function mayActFor(caller: Caller, userId: number): boolean {
  return caller.kind !== 'user' || caller.identity.userId === userId;
}

/** The credential of an `Authorization` header, if its form is valid. */
export function bearer(authorization: string | undefined): string | undefined {
  if (authorization === undefined || authorization.length > MAX_CREDENTIAL_LENGTH) return undefined;
  const match = /^bearer +([^\s]+) *$/i.exec(authorization);
  return match?.[1];
}

/** Whether the caller may see what the service may see. */
export function seesAll({ kind }: Caller): boolean {
  return kind === 'service' || kind === 'viewer';
}
