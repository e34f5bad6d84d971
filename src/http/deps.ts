import type { NodeInfo, NodeRefusal } from '../cluster/nodes.ts';
import type { Pushes } from '../cluster/router.ts';
import type { Config } from '../config/config.ts';
import type { ShownKey } from '../config/shown-config.ts';
import type { Credentials, UserIdentity } from '../gateway/credentials.ts';
import type { Clock } from '../lib/clock.ts';
import type { Result } from '../lib/result.ts';
import type { Log } from '../logging/log.ts';
import type { Counters, Gauges } from '../metrics/counters.ts';
import type { Dashboard } from '../overview/api.ts';
import type { Presence } from '../presence/api.ts';
import type { Language } from '../protocol/error-codes.ts';

/** Everything that the HTTP module uses of other modules, as ports. */
export interface HttpDeps {
  readonly presence: Presence;
  readonly pushes: Pushes;
  /** The dashboard's data, of all nodes. */
  readonly dashboard: Dashboard;
  /** The present configuration, without secrets. */
  readonly shownConfig: () => readonly ShownKey[];
  readonly credentials: Credentials;
  readonly tickets: {
    /** A one-time ticket for a verified user. `retryAfterS`: too many tickets were issued. */
    issue(
      identity: UserIdentity,
    ): Promise<
      Result<
        { readonly ticket: string; readonly expiresAt: number },
        { readonly retryAfterS: number } | 'presence-unavailable'
      >
    >;
  };
  readonly revocations: {
    /** Voids the tokens of a user that were issued at `at` (ms) or earlier. `isKept`: the revocation survives this process. */
    revoke(userId: number): Promise<{ readonly at: number; readonly isKept: boolean }>;
  };
  readonly failedCredentials: {
    /** A credential from this address failed. Returns 0, or the seconds to wait if too many failed. */
    note(address: string): number;
  };
  readonly counters: Counters;
  readonly gauges: Gauges;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  /** Name of this node, shown beside its connections. */
  readonly node: string;
  /** The version in `/openapi.json`. */
  readonly version: string;
  /** Whether `/metrics` also has the process and its event loop. At most one app in a process should have them. */
  readonly processMetrics: boolean;
  /** Ends the process at once. Absent if the process belongs to another program. */
  readonly kill: (() => void) | undefined;
  isDraining(): boolean;
  readonly nodes: {
    /** Rejects while the store is unreachable. */
    list(): Promise<readonly NodeInfo[]>;
    /** Drains a node or cancels its drain (rule DR1); absent: this node. Rejects while it cannot look up another one. */
    drain(
      node: string | undefined,
      draining: boolean,
    ): Promise<Result<{ readonly node: string; readonly draining: boolean }, NodeRefusal>>;
  };
  /** Whether SQL answers. */
  settlementAvailable(): boolean;
  /** False while no keys could be fetched from `JWT_JWKS_URL`. */
  credentialsAvailable(): boolean;
  /** The client's address: the peer's, or the one in `X-Forwarded-For` if the peer is a trusted proxy. */
  clientAddress(peer: string, forwardedFor: string | undefined): string;
  /** Whether a page of this `Origin` may act here. A browser always sends one. `host` is the request's `Host` header. */
  allowsOrigin(origin: string | undefined, host: string | undefined): boolean;
  /** The language of the error sentences for a client that sent this `Accept-Language`. */
  language(acceptLanguage: string | undefined): Language;
}
