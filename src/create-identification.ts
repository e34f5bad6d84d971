import type { Config } from './config/config.ts';
import { type ClientAddress, createClientAddress } from './gateway/client-address.ts';
import { FailedCredentials } from './gateway/failed-credentials.ts';
import { createCredentials, type OwnCredentials } from './gateway/token-credentials.ts';
import type { Clock } from './lib/clock.ts';
import type { Log } from './logging/log.ts';
import type { PresenceOptions } from './presence/node/options.ts';

/** The parts that identify a caller, by handshake and by HTTP. */
export interface Identification {
  readonly credentials: OwnCredentials;
  readonly failedCredentials: FailedCredentials;
  readonly clientAddress: ClientAddress;
  readonly renewToken: PresenceOptions['renewToken'];
}

/** Joins the parts that check credentials and addresses, so that handshakes and HTTP share one count of failures. */
export function createIdentification(parts: {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
}): Identification {
  const credentials = createCredentials(parts);
  credentials.start();
  return {
    credentials,
    failedCredentials: new FailedCredentials(parts.clock),
    clientAddress: createClientAddress(parts.config.trustedProxies, warnOnce(parts.log)),
    async renewToken(userId, token) {
      const identity = await credentials.verifyUser(token);
      if (identity.ok) {
        const { expiresAt, groups = '' } = identity.value;
        return identity.value.userId === userId ? { expiresAt, groups } : undefined;
      }
      return identity.error === 'credentials-unavailable' ? identity.error : undefined;
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
      `${peer} sent X-Forwarded-For and is no trusted proxy: the header is ignored, and whoever comes through ${peer} counts as one address. If it is your proxy, add it to LINGXI_TRUSTED_PROXIES`,
    );
  };
}
