import type { NodeInfo, NodeRefusal } from '../cluster/nodes.ts';
import type { Router } from '../cluster/router.ts';
import type { Config } from '../config/config.ts';
import type { ConnectionInfo } from '../connection/connection-info.ts';
import type { Credentials } from '../gateway/credentials.ts';
import type { Clock } from '../lib/clock.ts';
import type { Result } from '../lib/result.ts';
import type { Log } from '../logging/log.ts';
import type { Counters, Gauges } from '../metrics/counters.ts';
import type { Presence } from '../presence/api.ts';
import type { Language } from '../protocol/error-codes.ts';

/** Everything that the HTTP room needs of the others, by their ports. */
export interface HttpDeps {
  readonly presence: Presence;
  readonly router: Router;
  /** The connections of this node. */
  readonly connections: { ofUser(userId: number): readonly ConnectionInfo[] };
  readonly credentials: Credentials;
  readonly failedCredentials: {
    /** A credential from this address failed. Answers 0, or the seconds to wait where too many failed. */
    note(address: string): number;
  };
  readonly counters: Counters;
  readonly gauges: Gauges;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  /** Name of this node as it is shown beside its connections. */
  readonly node: string;
  /** Version in `/openapi.json`. */
  readonly version: string;
  /** Whether `/metrics` also shows the process and its event loop; at most one app in a process should. */
  readonly processMetrics: boolean;
  isDraining(): boolean;
  readonly nodes: {
    /** Rejects while the store is unreachable. */
    list(): Promise<readonly NodeInfo[]>;
    /** Takes a node out of service, or back (rule DR1); absent: this one. Rejects while another cannot be looked up. */
    drain(
      node: string | undefined,
      draining: boolean,
    ): Promise<Result<{ readonly node: string; readonly draining: boolean }, NodeRefusal>>;
  };
  /** Whether SQL answers. */
  settlementAvailable(): boolean;
  /** The client's address: the peer's, or that of its `X-Forwarded-For` where the peer is a trusted proxy. */
  clientAddress(peer: string, forwardedFor: string | undefined): string;
  /** Whether a page of this `Origin` may act here; no browser's request has none. `host` is the request's `Host`. */
  allowsOrigin(origin: string | undefined, host: string | undefined): boolean;
  /** The language of sentences for a client that sent this `Accept-Language`. */
  language(acceptLanguage: string | undefined): Language;
}
