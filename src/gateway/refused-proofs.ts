import type { Log } from '../logging/log.ts';
import type { Presence } from '../presence/api.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';
import type { Credentials } from './credentials.ts';
import type { FailedCredentials } from './failed-credentials.ts';
import { type HandshakeRequest, readOffer } from './handshake.ts';
import type { Tickets } from './tickets.ts';

/** Largest number of proofs in progress. A refused upgrade beyond it proves no life. */
const MAX_UNDER_WAY = 20_000;

/** A refused upgrade, and its user if already known. */
export interface RefusedUpgrade {
  readonly code: ErrorCode;
  readonly request: HandshakeRequest;
  readonly ip: string;
  readonly userId: number | undefined;
}

interface RefusedProofsOptions {
  readonly config: { readonly queryToken: boolean };
  readonly credentials: Credentials;
  readonly tickets: Pick<Tickets, 'look'>;
  readonly presence: Pick<Presence, 'heartbeat'>;
  readonly failedCredentials: Pick<FailedCredentials, 'note'>;
  readonly log: Log;
}

/**
 * The server may refuse a user for its own reasons. The request still shows that the user is alive, so it counts as a proof
 * of life by HTTP (rule DR4). The refusal goes out at once and does not wait for the proof.
 */
export class RefusedProofs {
  readonly #options: RefusedProofsOptions;
  /** Number of requests whose tokens are being verified. */
  #reading = 0;
  /** Users whose proof is on its way to presence. A client that retries often needs only one at a time. */
  readonly #telling = new Set<number>();

  constructor(options: RefusedProofsOptions) {
    this.#options = options;
  }

  /** Takes a refused upgrade as a proof, if the refusal is the server's own and the token is valid. */
  note(upgrade: RefusedUpgrade): void {
    if (!isOurs(upgrade.code) || this.#reading + this.#telling.size >= MAX_UNDER_WAY) return;
    this.#prove(upgrade).catch((error: unknown) =>
      this.#options.log.error({ event: 'internal-error', err: error }, 'a refused upgrade proved no life'),
    );
  }

  async #prove(upgrade: RefusedUpgrade): Promise<void> {
    const userId = upgrade.userId ?? (await this.#read(upgrade));
    if (userId === undefined || this.#telling.has(userId)) return;
    this.#telling.add(userId);
    try {
      // A user who is offline stays offline.
      await this.#options.presence.heartbeat(userId);
    } finally {
      this.#telling.delete(userId);
    }
  }

  /** The user of a request that was refused before its token was verified. */
  async #read({ request, ip }: RefusedUpgrade): Promise<number | undefined> {
    const { config, credentials, tickets, failedCredentials } = this.#options;
    const offer = readOffer(request, config.queryToken);
    if (typeof offer === 'string') return undefined;
    this.#reading += 1;
    try {
      const { kind, text } = offer.credential;
      // The client may use its ticket once more, on a node that accepts it.
      const identity = await (kind === 'token' ? credentials.verifyUser(text) : tickets.look(text));
      if (!identity.ok) {
        if (identity.error === 'invalid-token') failedCredentials.note(ip);
        return undefined;
      }
      const { userId } = identity.value;
      return offer.claimedUserId === undefined || offer.claimedUserId === userId ? userId : undefined;
    } finally {
      this.#reading -= 1;
    }
  }
}

/** Whether this server or the user's other connections are the cause, not this client. */
function isOurs(code: ErrorCode): boolean {
  switch (code) {
    case 'overloaded':
    case 'draining':
    case 'presence-unavailable':
    case 'settlement-unavailable':
    case 'session-exists':
    case 'session-flapping':
      return true;
    default:
      return false;
  }
}
