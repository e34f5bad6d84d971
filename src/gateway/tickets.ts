import { createHash } from 'node:crypto';
import type { Clock } from '../lib/clock.ts';
import { type RateLimit, RateLimiter } from '../lib/rate-limiter.ts';
import { err, ok, type Result } from '../lib/result.ts';
import { isGroupName, namesIn } from '../protocol/groups.ts';
import { isJsonObject, parseJson } from '../protocol/json-text.ts';
import type { TokenFault, UserIdentity } from './credentials.ts';

/** A ticket is valid for this time. */
export const TICKET_TTL_MS = 30_000;
/** The form of 32 bytes in base64url. Anything else is not looked up. */
const TICKET_FORM = /^[\w-]{43}$/;
/** Largest number of tickets that one user may request. */
const USER_LIMIT: RateLimit = { perSecond: 1, burst: 30 };
/** Limit for all users of this node: 100,000 tickets at once, and as many again over the time that they are valid. */
const NODE_LIMIT: RateLimit = { perSecond: 100_000 / (TICKET_TTL_MS / 1000), burst: 100_000 };

/** Keeps texts for a limited time, for all nodes. Calls reject while the store is unreachable. */
export interface TicketStore {
  put(key: string, text: string, ttlMs: number): Promise<void>;
  read(key: string): Promise<string | undefined>;
  /** Moves a text out of reach of {@link read}, in one step: of two calls only one gets true. False: there is no such text. */
  take(key: string): Promise<boolean>;
  /** Undoes {@link take}. The text keeps its end. */
  giveBack(key: string): Promise<void>;
}

export interface TicketsOptions {
  readonly store: TicketStore;
  readonly clock: Clock;
  /** 32 random bytes in base64url. */
  readonly newTicket: () => string;
  /** Why an identity is void although its token has not expired. */
  readonly faultOf: (identity: UserIdentity) => TokenFault | undefined;
}

export interface Ticket {
  readonly ticket: string;
  /** Wall-clock ms. */
  readonly expiresAt: number;
}

/**
 * One-time tickets. A ticket replaces the token that it was issued for: once, for 30 s, on any node. The store has only the
 * hashes, so a reader of the store cannot use the tickets.
 */
export class Tickets {
  readonly #options: TicketsOptions;
  readonly #limiter: RateLimiter;

  constructor(options: TicketsOptions) {
    this.#options = options;
    this.#limiter = new RateLimiter(options.clock);
  }

  /** Issues a ticket for a verified token. `retryAfterS`: too many tickets were issued. */
  async issue(
    identity: UserIdentity,
  ): Promise<Result<Ticket, { readonly retryAfterS: number } | 'presence-unavailable'>> {
    const { store, clock, newTicket } = this.#options;
    const retryAfterS =
      this.#limiter.take(`user:${identity.userId}`, USER_LIMIT) || this.#limiter.take('node', NODE_LIMIT);
    if (retryAfterS > 0) return err({ retryAfterS });
    const ticket = newTicket();
    const expiresAt = Math.min(clock.now() + TICKET_TTL_MS, identity.expiresAt ?? Infinity);
    try {
      await store.put(keyOf(ticket), JSON.stringify(identity), TICKET_TTL_MS);
      return ok({ ticket, expiresAt });
    } catch {
      return err('presence-unavailable');
    }
  }

  /** The user of a ticket, which stays valid. `void-ticket`: used, expired or invented. */
  async look(ticket: string): Promise<Result<UserIdentity, TokenFault>> {
    if (!TICKET_FORM.test(ticket)) return err('invalid-token');
    const { store, clock, faultOf } = this.#options;
    let text: string | undefined;
    try {
      text = await store.read(keyOf(ticket));
    } catch {
      return err('presence-unavailable');
    }
    const identity = text === undefined ? undefined : parseIdentity(text);
    if (identity === undefined) return err('void-ticket');
    if (identity.expiresAt !== undefined && clock.now() >= identity.expiresAt) return err('void-ticket');
    const fault = faultOf(identity);
    return fault === undefined ? ok(identity) : err(fault);
  }

  /** Uses up a ticket that {@link look} found. Returns why it cannot: `void-ticket` if another upgrade was first. */
  async take(ticket: string): Promise<TokenFault | undefined> {
    try {
      return (await this.#options.store.take(keyOf(ticket))) ? undefined : 'void-ticket';
    } catch {
      return 'presence-unavailable';
    }
  }

  /** The upgrade was refused, so the ticket may be used again. If the store does not answer, it stays used. Never rejects. */
  async giveBack(ticket: string): Promise<void> {
    await this.#options.store.giveBack(keyOf(ticket)).catch(() => undefined);
  }
}

function keyOf(ticket: string): string {
  return createHash('sha256').update(ticket, 'utf8').digest('base64url');
}

/** Undefined if the text is not from one of our nodes. */
function parseIdentity(text: string): UserIdentity | undefined {
  const value = parseJson(text);
  if (!isJsonObject(value)) return undefined;
  const { userId, username, groups, expiresAt, issuedAt } = value as Readonly<
    Record<keyof UserIdentity, unknown>
  >;
  const isWhole = Number.isSafeInteger(userId) && typeof username === 'string' && isGroups(groups);
  return isWhole && isTime(expiresAt) && isTime(issuedAt) ? (value as unknown as UserIdentity) : undefined;
}

function isGroups(value: unknown): boolean {
  return value === undefined || (typeof value === 'string' && namesIn(value).every(isGroupName));
}

function isTime(value: unknown): boolean {
  return value === undefined || Number.isSafeInteger(value);
}
