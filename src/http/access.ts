import type { Credentials, UserIdentity } from '../gateway/credentials.ts';
import { ok, type Result } from '../lib/result.ts';
import { type Refusal, refused } from './outcome.ts';

/** Who asks, after verification. */
export type Caller =
  | { readonly kind: 'anonymous' }
  /** Nobody in particular, on an endpoint that `LINGXI_LEGACY_OPEN_API` opened. */
  | { readonly kind: 'open' }
  | { readonly kind: 'user'; readonly identity: UserIdentity }
  | { readonly kind: 'service' };

/** Who may call a route. `open-…` widens to everybody under `LINGXI_LEGACY_OPEN_API`. */
export type Access = 'anyone' | 'user' | 'service' | 'open-user' | 'open-service';

/** Longest credential that is looked at; a longer one is invalid. */
const MAX_CREDENTIAL_LENGTH = 8_192;

/** Finds out who calls, and whether the route is for them. Never looks at the body. */
export async function admit(
  authorization: string | undefined,
  options: { readonly access: Access; readonly openApi: boolean; readonly credentials: Credentials },
): Promise<Result<Caller, Refusal>> {
  const { access, credentials } = options;
  const presented = bearer(authorization);
  if (presented !== undefined && credentials.isServiceKey(presented)) return ok({ kind: 'service' });
  if (access === 'anyone') return ok({ kind: 'anonymous' });
  if (options.openApi && access.startsWith('open-')) return ok({ kind: 'open' });
  if (authorization === undefined || authorization.trim() === '') return refused('unauthorized');
  if (presented === undefined) return refused('invalid-token');
  const verified = await credentials.verifyUser(presented);
  if (!verified.ok) return refused('invalid-token');
  if (access === 'service' || access === 'open-service') return refused('forbidden');
  return ok({ kind: 'user', identity: verified.value });
}

/** Whether the caller may speak for this user; a user's token speaks for its own user alone. */
export function mayActFor(caller: Caller, userId: number): boolean {
  return caller.kind !== 'user' || caller.identity.userId === userId;
}

function bearer(authorization: string | undefined): string | undefined {
  if (authorization === undefined || authorization.length > MAX_CREDENTIAL_LENGTH) return undefined;
  const match = /^bearer +([^\s]+) *$/i.exec(authorization);
  return match?.[1];
}
