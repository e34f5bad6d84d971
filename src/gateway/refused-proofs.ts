import type { Log } from '../logging/log.ts';
import type { Presence } from '../presence/api.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';
import type { Credentials } from './credentials.ts';
import type { FailedCredentials } from './failed-credentials.ts';
import { type HandshakeRequest, readOffer } from './handshake.ts';

/** Proofs under way at one time; who is refused beyond that proves no life by it. */
const MAX_UNDER_WAY = 20_000;

/** An upgrade that was refused, and who asked for it where that is known already. */
export interface RefusedUpgrade {
  readonly code: ErrorCode;
  readonly request: HandshakeRequest;
  readonly ip: string;
  readonly userId: number | undefined;
}

interface RefusedProofsOptions {
  readonly config: { readonly queryToken: boolean };
  readonly credentials: Credentials;
  readonly presence: Pick<Presence, 'heartbeat'>;
  readonly failedCredentials: Pick<FailedCredentials, 'note'>;
  readonly log: Log;
}

/**
 * A user whom we refuse for reasons of ours shows by the very request that they are alive: it counts as a proof of life by
 * HTTP (rule DR4). Nobody waits for it, the refusal goes out at once.
 */
export class RefusedProofs {
  readonly #options: RefusedProofsOptions;
  /** Requests whose token is being read. */
  #reading = 0;
  /** Users whose proof is being told to presence: a client that asks over and over needs one at a time. */
  readonly #telling = new Set<number>();

  constructor(options: RefusedProofsOptions) {
    this.#options = options;
  }

  /** Takes the proof out of a refused upgrade, where the refusal is ours and the token is good. */
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
      // Who is not online stays offline by it.
      await this.#options.presence.heartbeat(userId);
    } finally {
      this.#telling.delete(userId);
    }
  }

  /** The user of a request that was refused before anybody looked at its token. */
  async #read({ request, ip }: RefusedUpgrade): Promise<number | undefined> {
    const { config, credentials, failedCredentials } = this.#options;
    const offer = readOffer(request, config.queryToken);
    if (typeof offer === 'string') return undefined;
    this.#reading += 1;
    try {
      const identity = await credentials.verifyUser(offer.token);
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

/** Whether the refusal says something of us or of the user's other connections, and nothing against this client. */
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
