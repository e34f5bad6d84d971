import type { Clock, Timer } from '../lib/clock.ts';
import { inBackground } from '../logging/internal-error.ts';
import type { Log } from '../logging/log.ts';
import type { Presence, WaitingClient } from '../presence/api.ts';

/**
 * Largest number of users with a login in progress. More would not come in faster: they only make each turn of the event loop
 * longer, and delay the open connections.
 */
const MAX_IN_PROGRESS = 1_024;
/** This many users may always have a login in progress, however busy the event loop is. */
const MIN_IN_PROGRESS = 64;
/** Longest time that a login waits for its turn. After it, it gets 503 `overloaded`. */
const MAX_WAIT_MS = 2_000;
/**
 * Largest number of waiting users that this node does not hold. One more gets 503 `overloaded` at once. The other line is bounded
 * by the number of handshakes in progress, and always has room.
 */
const MAX_OTHERS_WAITING = 10_000;
/** Largest number of waiting logins of one user. */
const MAX_OF_ONE_USER = 16;
/** While logins wait, the gate checks them and the event loop at this interval. */
const LOOK_MS = 50;
/** If a check is this late, the event loop is busy. */
const BUSY_MS = 100;
/** A busy check reduces the number of users in progress by this factor, and a calm check adds this many. */
const BUSY_SHARE = 0.7;
const CALM_STEP = 64;

interface LoginGateOptions {
  readonly clock: Clock;
  readonly presence: Pick<Presence, 'holdsHere' | 'heartbeat'>;
  readonly log: Log;
}

/** A waiting login. */
interface AskingLogin {
  readonly userId: number;
  /** If the client has left, its login gets no turn. */
  readonly client: WaitingClient;
}

/**
 * Admits as many logins at a time as the node can handle (rule DR3). In calm times each login gets its turn at once. In a storm
 * of reconnects the others wait in two lines. Users who linger come first, because they are online. The waiting time is the only
 * sign of overload: the gate refuses a login that has waited too long.
 */
export class LoginGate {
  readonly #options: LoginGateOptions;
  readonly #held = new Line();
  readonly #others = new Line();
  /** Logins in progress by user. Presence works on one login of a user at a time, so each user counts once. */
  readonly #inProgress = new Map<number, number>();
  #limit = MAX_IN_PROGRESS;
  #ticker: Timer | undefined;
  #lookedAt = 0;

  constructor(options: LoginGateOptions) {
    this.#options = options;
  }

  /** Users who wait for their turn. */
  get waiting(): number {
    return this.#held.length + this.#others.length;
  }

  /** Gives the login its turn. Returns false if the node is overloaded. The caller must end each turn by {@link leave}. */
  enter(login: AskingLogin): boolean | Promise<boolean> {
    const { userId } = login;
    const isFree = this.#inProgress.size < this.#limit && this.waiting === 0;
    if (isFree || this.#inProgress.has(userId)) {
      this.#begin(userId);
      return true;
    }
    const waiter = this.#held.get(userId) ?? this.#others.get(userId) ?? this.#join(userId);
    if (waiter === undefined || waiter.logins.length >= MAX_OF_ONE_USER) return false;
    return new Promise((decide) => {
      waiter.logins.push({ decide, client: login.client });
    });
  }

  /** Ends a turn of the user. */
  leave(userId: number): void {
    const left = (this.#inProgress.get(userId) ?? 1) - 1;
    if (left > 0) this.#inProgress.set(userId, left);
    else this.#inProgress.delete(userId);
    this.#admit();
  }

  #begin(userId: number): void {
    this.#inProgress.set(userId, (this.#inProgress.get(userId) ?? 0) + 1);
  }

  #join(userId: number): Waiter | undefined {
    const { presence, clock, log } = this.#options;
    const isHeldHere = presence.holdsHere(userId);
    if (!isHeldHere && this.#others.length >= MAX_OTHERS_WAITING) return undefined;
    const waiter: Waiter = { userId, since: clock.monotonic(), logins: [] };
    (isHeldHere ? this.#held : this.#others).push(waiter);
    this.#watch();
    inBackground(log, this.#prove(waiter));
    return waiter;
  }

  /**
   * Counts the wait as a proof of life, because otherwise the wait could log out a user who lingers. It brings nobody online.
   * After it, this node holds a user who lingered on another node, and the user moves to the first line.
   */
  async #prove(waiter: Waiter): Promise<void> {
    const proof = await this.#options.presence.heartbeat(waiter.userId);
    if (proof.ok && this.#others.remove(waiter)) this.#held.push(waiter);
  }

  #admit(): void {
    while (this.#inProgress.size < this.#limit) {
      const next = this.#held.shift() ?? this.#others.shift();
      if (next === undefined) return;
      for (const { decide, client } of next.logins) {
        const isHere = !client.hasLeft();
        if (isHere) this.#begin(next.userId);
        decide(isHere);
      }
    }
  }

  #watch(): void {
    if (this.#ticker !== undefined) return;
    const { clock } = this.#options;
    this.#lookedAt = clock.monotonic();
    this.#ticker = clock.every(LOOK_MS, () => this.#look());
  }

  #look(): void {
    const now = this.#options.clock.monotonic();
    const isBusy = now - this.#lookedAt - LOOK_MS > BUSY_MS;
    this.#lookedAt = now;
    this.#limit = isBusy
      ? Math.max(MIN_IN_PROGRESS, Math.floor(this.#limit * BUSY_SHARE))
      : Math.min(MAX_IN_PROGRESS, this.#limit + CALM_STEP);
    this.#admit();
    for (const line of [this.#held, this.#others])
      for (const late of line.shiftOlder(now - MAX_WAIT_MS))
        for (const { decide } of late.logins) decide(false);
    if (this.waiting > 0 || this.#limit < MAX_IN_PROGRESS) return;
    this.#ticker?.cancel();
    this.#ticker = undefined;
  }
}

/** A user who waits, with all logins of that user. */
interface Waiter {
  readonly userId: number;
  /** Monotonic ms. */
  readonly since: number;
  readonly logins: { readonly decide: (hasTurn: boolean) => void; readonly client: WaitingClient }[];
}

/** Waiting users, oldest first. Each operation takes constant time, however long the line is. */
class Line {
  readonly #ofUser = new Map<number, Waiter>();
  #waiters: Waiter[] = [];
  #start = 0;

  get length(): number {
    return this.#ofUser.size;
  }

  get(userId: number): Waiter | undefined {
    return this.#ofUser.get(userId);
  }

  push(waiter: Waiter): void {
    this.#waiters.push(waiter);
    this.#ofUser.set(waiter.userId, waiter);
  }

  shift(): Waiter | undefined {
    for (let waiter = this.#next(); waiter !== undefined; waiter = this.#next())
      if (this.remove(waiter)) return waiter;
    return undefined;
  }

  /** Removes the users that have waited since `time` or longer. */
  shiftOlder(time: number): readonly Waiter[] {
    const older: Waiter[] = [];
    while ((this.#waiters[this.#start]?.since ?? Number.POSITIVE_INFINITY) <= time) {
      const waiter = this.#next();
      if (waiter !== undefined && this.remove(waiter)) older.push(waiter);
    }
    return older;
  }

  /** Removes a waiting user from any place. Returns false if the user is not in this line. */
  remove(waiter: Waiter): boolean {
    return this.#ofUser.get(waiter.userId) === waiter && this.#ofUser.delete(waiter.userId);
  }

  /** Index of the first entry. That entry may have been removed. */
  #next(): Waiter | undefined {
    const waiter = this.#waiters[this.#start];
    if (waiter === undefined) return undefined;
    this.#start += 1;
    if (this.#start * 2 > this.#waiters.length) {
      this.#waiters = this.#waiters.slice(this.#start);
      this.#start = 0;
    }
    return waiter;
  }
}
