import type { Config } from '../config/config.ts';
import type { Registration } from '../connection/connection-info.ts';
import { unreachable } from '../lib/assert.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../logging/log.ts';
import type { Counters } from '../metrics/counters.ts';
import { type LoginRefusal, loginRetryAfterS, type Presence } from '../presence/api.ts';
import { SUBPROTOCOL } from '../protocol/envelope.ts';
import { type ErrorCode, type Exactness, errorBody, errorStatus } from '../protocol/error-codes.ts';
import { inBandClose } from '../protocol/in-band.ts';
import type { ClientAddress } from './client-address.ts';
import { ConnectionPlaces } from './connection-places.ts';
import {
  type Credentials,
  codeOfTokenFault,
  exactnessOfTokenFault,
  type TokenFault,
  type UserIdentity,
  type Verified,
} from './credentials.ts';
import type { FailedCredentials } from './failed-credentials.ts';
import {
  camePastProxy,
  formFault,
  type HandshakeRequest,
  type Offer,
  offersInBand,
  readOffer,
} from './handshake.ts';
import type { InBandClose } from './in-band-refusals.ts';
import { preferredLanguage } from './language.ts';
import { LoginGate } from './login-gate.ts';
import { createOriginCheck, type OriginCheck } from './origin.ts';
import { RefusalLimits } from './refusal-limits.ts';
import { RefusedProofs } from './refused-proofs.ts';
import type { Tickets } from './tickets.ts';

export type { HandshakeRequest } from './handshake.ts';

export interface Acceptance {
  readonly kind: 'accept';
  /** The subprotocol to select; undefined: select none. */
  readonly protocol: typeof SUBPROTOCOL | undefined;
  readonly registration: Registration;
}

export interface UpgradeRefusal {
  readonly kind: 'refuse';
  /** How to refuse a browser, which cannot read the status. Undefined: refuse by the status. */
  readonly inBand?: InBandClose | undefined;
  readonly status: number;
  readonly code: ErrorCode;
  readonly retryAfterS?: number;
  /** JSON text. */
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

export type Decision = Acceptance | UpgradeRefusal;

export interface AdmissionOptions {
  readonly config: Pick<
    Config,
    | 'allowedOrigins'
    | 'queryToken'
    | 'maxConnections'
    | 'maxConnectionsPerIp'
    | 'language'
    | 'loginsPerMinute'
  >;
  readonly credentials: Credentials;
  readonly tickets: Pick<Tickets, 'look' | 'take' | 'giveBack'>;
  readonly failedCredentials: Pick<FailedCredentials, 'note'>;
  readonly clientAddress: ClientAddress;
  readonly presence: Presence;
  readonly clock: Clock;
  /** A number in [0, 1). */
  readonly random: () => number;
  readonly log: Log;
  readonly counters: Counters;
}

/** The server spreads the return of clients with a temporary refusal over this many seconds. */
const RETRY_SPREAD_S = 5;
/** Largest number of characters of a client's header in a log line. */
const MAX_LOGGED_CHARS = 100;

const VERSION_DETAIL = { en: '(Sec-WebSocket-Version: 13)', zh: '（Sec-WebSocket-Version: 13）' };

/** Why a request is refused, and the user if known. */
interface Reason extends Exactness {
  readonly code: ErrorCode;
  readonly userId?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** The client left while its login was in progress, so nobody reads this answer. */
  readonly isUnread?: boolean;
  /** The wait, if known. Otherwise the client gets a random number of seconds. */
  readonly retryAfterS?: number;
}

/** The user of the request, if its token names one. */
interface KnownUser {
  readonly offer: Offer;
  readonly identity: UserIdentity;
  readonly ip: string;
}

/**
 * Decides whether an upgrade request becomes a connection. The order of the checks is part of the contract. An accepted
 * connection keeps a place until {@link release}.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #allowsOrigin: OriginCheck;
  readonly #places: ConnectionPlaces;
  readonly #proofs: RefusedProofs;
  readonly #refusals: RefusalLimits;
  readonly #gate: LoginGate;
  #draining = false;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#allowsOrigin = createOriginCheck(options.config.allowedOrigins);
    this.#places = new ConnectionPlaces(options.config);
    this.#proofs = new RefusedProofs(options);
    this.#refusals = new RefusalLimits(options.clock);
    this.#gate = new LoginGate(options);
  }

  async decide(request: HandshakeRequest): Promise<Decision> {
    const ip = this.#options.clientAddress(request.peer, request.header('x-forwarded-for'));
    const fault = this.#formFault(request) ?? this.#stateFault(request);
    if (fault !== undefined) return this.#refuse(request, ip, fault);
    const full = this.#places.take(ip);
    if (full !== undefined) return this.#refuse(request, ip, { code: full });
    let decision: Acceptance | Reason | undefined;
    try {
      decision = await this.#identify(request, ip);
    } finally {
      this.#places.settle();
      if (decision === undefined || !('kind' in decision)) this.#places.release(ip);
    }
    return 'kind' in decision ? decision : this.#refuse(request, ip, decision);
  }

  /** Frees the place of an accepted connection after its socket ended, or never opened. Call it once for each. */
  release(registration: Registration): void {
    this.#places.release(registration.ip);
  }

  /** Number of logins that wait because the node is busy with others. */
  get loginsWaiting(): number {
    return this.#gate.waiting;
  }

  /** While draining, upgrades get 503 `draining`. */
  setDraining(draining: boolean): void {
    this.#draining = draining;
  }

  #formFault(request: HandshakeRequest): Reason | undefined {
    const fault = formFault(request);
    switch (fault) {
      case undefined:
        return undefined;
      case 'upgrade-required':
        return { code: 'upgrade-required', headers: { upgrade: 'websocket' } };
      case 'unsupported-version':
        return {
          code: 'upgrade-required',
          headers: { upgrade: 'websocket', 'sec-websocket-version': '13' },
          detail: VERSION_DETAIL,
        };
      case 'bad-handshake':
        return { code: 'bad-handshake' };
      default:
        return unreachable(fault);
    }
  }

  #stateFault(request: HandshakeRequest): Reason | undefined {
    if (!this.#allowsOrigin(request.header('origin'), request.header('host')))
      return { code: 'origin-not-allowed' };
    if (this.#draining) return { code: 'draining' };
    return this.#options.presence.available ? undefined : { code: 'presence-unavailable' };
  }

  #identify(request: HandshakeRequest, ip: string): Reason | Promise<Acceptance | Reason> {
    const offer = readOffer(request, this.#options.config.queryToken);
    if (offer === 'missing-credentials' && this.#options.config.queryToken)
      return { code: offer, sentence: 'no-token' };
    if (typeof offer === 'string') return { code: offer };
    const { kind, text } = offer.credential;
    const { credentials, tickets } = this.#options;
    const identity = kind === 'token' ? credentials.verifyUser(text) : tickets.look(text);
    return identity instanceof Promise
      ? identity.then((verified) => this.#admitVerified(request, { offer, ip }, verified))
      : this.#admitVerified(request, { offer, ip }, identity);
  }

  #admitVerified(
    request: HandshakeRequest,
    { offer, ip }: Pick<KnownUser, 'offer' | 'ip'>,
    identity: Verified,
  ): Reason | Promise<Acceptance | Reason> {
    if (!identity.ok) return this.#tokenRefused(identity.error, ip);
    const { userId } = identity.value;
    if (offer.claimedUserId !== undefined && offer.claimedUserId !== userId)
      return { code: 'user-mismatch', userId };
    return this.#admitInTurn(request, { offer, identity: identity.value, ip });
  }

  #tokenRefused(fault: TokenFault, ip: string): Reason {
    const retryAfterS = fault === 'invalid-token' ? this.#options.failedCredentials.note(ip) : 0;
    if (retryAfterS > 0) return { code: 'rate-limited', retryAfterS };
    return { code: codeOfTokenFault(fault), ...exactnessOfTokenFault(fault) };
  }

  async #admitInTurn(request: HandshakeRequest, known: KnownUser): Promise<Acceptance | Reason> {
    const { userId } = known.identity;
    const turn = this.#gate.enter({ userId, client: request });
    if (!(typeof turn === 'boolean' ? turn : await turn))
      return { code: 'overloaded', userId, isUnread: request.hasLeft() };
    try {
      // The drain may have begun while this login waited.
      const outcome = this.#draining
        ? ({ code: 'draining', userId } as const)
        : await this.#admitOnce(request, known);
      return 'kind' in outcome || !request.hasLeft() ? outcome : { ...outcome, isUnread: true };
    } finally {
      this.#gate.leave(userId);
    }
  }

  #admitOnce(request: HandshakeRequest, known: KnownUser): Promise<Acceptance | Reason> {
    const { kind, text } = known.offer.credential;
    return kind === 'token' ? this.#admit(request, known) : this.#admitByTicket(request, known, text);
  }

  /** A refused upgrade uses up no ticket (rule DR4). */
  async #admitByTicket(
    request: HandshakeRequest,
    known: KnownUser,
    text: string,
  ): Promise<Acceptance | Reason> {
    const { tickets } = this.#options;
    const fault = await tickets.take(text);
    if (fault !== undefined) return this.#tokenRefused(fault, known.ip);
    let decision: Acceptance | Reason | undefined;
    try {
      decision = await this.#admit(request, known);
    } finally {
      if (decision === undefined || !('kind' in decision)) await tickets.giveBack(text);
    }
    return decision;
  }

  async #admit(request: HandshakeRequest, known: KnownUser): Promise<Acceptance | Reason> {
    const { presence } = this.#options;
    const { offer, identity, ip } = known;
    const { userId, username, expiresAt, issuedAt, groups = '' } = identity;
    const { protocol } = offer;
    const admitted = await presence.admit({
      userId,
      username,
      ip,
      protocol,
      groups,
      client: request,
    });
    if (!admitted.ok) return this.#loginRefused(admitted.error, userId);
    const login = admitted.value;
    // The drain began while presence answered. This socket would miss the drain's goodbye.
    if (this.#draining) {
      presence.abandon(login);
      return { code: 'draining', userId };
    }
    const registration: Registration = {
      userId,
      username,
      connectionId: login.connectionId,
      epoch: login.epoch,
      period: login.period,
      resumed: login.resumed,
      ip,
      protocol,
      // No spread: JavaScriptCore would keep the added fields in a second object, and each connection keeps this object.
      tokenExpiresAt: expiresAt,
      tokenIssuedAt: issuedAt,
    };
    return {
      kind: 'accept',
      protocol: protocol === SUBPROTOCOL ? SUBPROTOCOL : undefined,
      registration,
    };
  }

  #loginRefused(code: LoginRefusal, userId: number): Reason {
    if (code !== 'rate-limited') return { code, userId };
    return { code, userId, retryAfterS: loginRetryAfterS(this.#options.config.loginsPerMinute) };
  }

  #refuse(request: HandshakeRequest, ip: string, reason: Reason): UpgradeRefusal {
    const { counters } = this.#options;
    const { code, userId } = reason;
    if (reason.isUnread === true) counters.handshakesLeft += 1;
    else counters.refused.set(code, (counters.refused.get(code) ?? 0) + 1);
    this.#proofs.note({ code, request, ip, userId });
    const waitS = this.#refusals.note(ip);
    if (waitS > 0) {
      const headers = { connection: 'close' };
      return byStatus(this.#answer(request, { code: 'rate-limited', retryAfterS: waitS, headers }));
    }
    if (reason.isUnread !== true) this.#log(request, ip, reason);
    const refusal = this.#answer(request, reason);
    const isInBand = refusal.inBand !== undefined && this.#refusals.allowsInBand(ip);
    return isInBand ? refusal : byStatus(refusal);
  }

  #log(request: HandshakeRequest, ip: string, { code, userId, sentence }: Reason): void {
    const unlogged = this.#refusals.linesLost();
    if (unlogged === undefined) return;
    const origin = code === 'origin-not-allowed' ? request.header('origin') : undefined;
    this.#options.log.info(
      {
        event: 'refused',
        code,
        ...(sentence === undefined ? {} : { cause: sentence }),
        ip: printable(ip),
        ...(userId === undefined ? {} : { userId }),
        ...(origin === undefined ? {} : { origin: printable(origin) }),
        ...(unlogged === 0 ? {} : { unlogged }),
      },
      'upgrade refused',
    );
  }

  #answer(request: HandshakeRequest, reason: Reason): UpgradeRefusal {
    const { random, config } = this.#options;
    const { code } = reason;
    const status = errorStatus(code);
    const language = preferredLanguage(request.header('accept-language'), config.language);
    const retryAfterS =
      reason.retryAfterS ??
      (status === 503 || status === 429 ? 1 + Math.floor(random() * RETRY_SPREAD_S) : undefined);
    // A proxy sends a request with the answer 503 to another node. A refusal in band would prevent that.
    const mayGoElsewhere = status === 503 && camePastProxy(request);
    const inBand = offersInBand(request) && !mayGoElsewhere ? inBandClose(code) : undefined;
    return {
      kind: 'refuse',
      status,
      code,
      ...(inBand === undefined ? {} : { inBand: { code: inBand, userId: reason.userId ?? 0 } }),
      ...(retryAfterS === undefined ? {} : { retryAfterS }),
      body: JSON.stringify(errorBody(code, language, reason)),
      headers: {
        'content-type': 'application/json; charset=utf-8',
        'cache-control': 'no-store',
        ...(retryAfterS === undefined ? {} : { 'retry-after': String(retryAfterS) }),
        ...reason.headers,
      },
    };
  }
}

/** This is the cheapest answer, because it goes out under a flood. */
function byStatus(refusal: UpgradeRefusal): UpgradeRefusal {
  return { ...refusal, inBand: undefined };
}

/** A client's text for a log line: bounded, and without characters that could forge a line. */
function printable(text: string): string {
  return text.slice(0, MAX_LOGGED_CHARS).replace(/[^\x20-\x7e]/g, '?');
}
