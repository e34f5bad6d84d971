import { join } from 'node:path';
import type { Config } from './config/config.ts';
import type { ClientConnection } from './connection/client-connection.ts';
import type { OpenedPresenceStore } from './create-presence.ts';
import { type ClientAddress, createClientAddress } from './gateway/client-address.ts';
import type { TokenFault, UserIdentity } from './gateway/credentials.ts';
import { FailedCredentials } from './gateway/failed-credentials.ts';
import { MemoryTickets } from './gateway/memory-tickets.ts';
import { RevocationFile } from './gateway/revocation-file.ts';
import { type Revocation, Revocations } from './gateway/revocations.ts';
import { Tickets } from './gateway/tickets.ts';
import { createCredentials, type OwnCredentials } from './gateway/token-credentials.ts';
import type { Clock } from './lib/clock.ts';
import type { Log } from './logging/log.ts';
import type { PresenceOptions } from './presence/node/options.ts';

/** The parts that identify a caller, by handshake and by HTTP. */
export interface Identification {
  readonly credentials: OwnCredentials;
  readonly tickets: Tickets;
  readonly revocations: Revocations;
  readonly failedCredentials: FailedCredentials;
  readonly clientAddress: ClientAddress;
  readonly renewToken: PresenceOptions['renewToken'];
  /** If the token of a new connection was revoked after its verification, closes the connection. Returns the connection. */
  checkAgain(connection: ClientConnection): ClientConnection;
  stop(): void;
}

/** Stores revocations in the data folder, for a deployment with one node. */
const REVOCATIONS_FILE = 'revocations.json';
const DAY_MS = 86_400_000;

/** Joins the parts that check credentials and addresses, so that handshakes and HTTP share one count of failures. */
export function createIdentification(parts: {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly presence: OpenedPresenceStore;
  /** A ticket that nobody can guess. */
  readonly newTicket: () => string;
  /** Closes the connections here whose tokens are revoked. */
  readonly revoked: (revocation: Revocation) => void;
}): Identification {
  const { config, clock, log, newTicket, revoked } = parts;
  const stores = parts.presence.credentialStores;
  const revocations = new Revocations({
    store: stores?.revocations ?? new RevocationFile(join(config.dataDir, REVOCATIONS_FILE)),
    clock,
    log,
    retentionMs: config.revocationsRetentionDays * DAY_MS,
    revoked,
  });
  const faultOf = (identity: UserIdentity): TokenFault | undefined => {
    if (!revocations.isLoaded) return 'credentials-unavailable';
    return revocations.isRevoked(identity) ? 'token-revoked' : undefined;
  };
  const credentials = createCredentials({ config, clock, log, faultOf });
  credentials.start();
  return {
    credentials,
    tickets: new Tickets({
      store: stores?.tickets ?? new MemoryTickets(clock),
      clock,
      newTicket,
      faultOf,
    }),
    revocations,
    failedCredentials: new FailedCredentials(clock),
    clientAddress: createClientAddress(config.trustedProxies, warnOnce(log)),
    async renewToken(userId, token) {
      const identity = await credentials.verifyUser(token);
      if (identity.ok) {
        const { expiresAt, issuedAt, groups = '' } = identity.value;
        return identity.value.userId === userId ? { expiresAt, issuedAt, groups } : undefined;
      }
      return identity.error === 'credentials-unavailable' ? identity.error : undefined;
    },
    checkAgain(connection) {
      const { userId, tokenIssuedAt: issuedAt } = connection;
      if (revocations.isRevoked({ userId, issuedAt })) connection.close('token-revoked');
      return connection;
    },
    stop() {
      credentials.stop();
      revocations.stop();
    },
  };
}

/** Behind an untrusted proxy all clients count as one address. This is logged once, not for each request. */
function warnOnce(log: Log): (peer: string) => void {
  let isSaid = false;
  return (peer) => {
    if (isSaid) return;
    isSaid = true;
    log.warn(
      { event: 'config', variable: 'LINGXI_TRUSTED_PROXIES', ip: peer },
      `${peer} sent X-Forwarded-For and is no trusted proxy: the header is ignored, and all clients that come through ${peer} count as one address. If it is your proxy, add it to LINGXI_TRUSTED_PROXIES`,
    );
  };
}
