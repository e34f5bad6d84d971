import type { Clock, Timer } from '../lib/clock.ts';
import { inBackground } from '../logging/internal-error.ts';
import type { Log } from '../logging/log.ts';
import type { Presence } from '../presence/api.ts';

/**
 * Users with a login in progress at a time. More of them come in no faster: they only lengthen each turn of the event loop,
 * and open connections would have to wait behind them.
 */
const MAX_IN_PROGRESS = 1_024;
/** So many users may always have a login in progress, however busy the event loop is. */
const MIN_IN_PROGRESS = 64;
/** Longest time that a login waits for its turn. After it: 503 `overloaded`. */
const MAX_WAIT_MS = 2_000;
/**
 * Largest number of waiting users that this node does not hold. One more gets 503 `overloaded` at once. The other line is
 * bounded by the number of handshakes in progress, and always has room beside this one.
 */
const MAX_OTHERS_WAITING = 10_000;
/** Largest number of waiting logins of one user. */
const MAX_OF_ONE_USER = 16;
/** While logins wait, the gate looks this often at them and at the event loop. */
const LOOK_MS = 50;
/** If a look comes this late, the event loop is busy. */
const BUSY_MS = 100;
/** What one busy look leaves of the users in progress, and what one calm look adds to them. */
const BUSY_SHARE = 0.7;
const CALM_STEP = 64;

interface LoginGateOptions {
  readonly clock: Clock;
  readonly presence: Pick<Presence, 'holdsHere' | 'heartbeat'>;
  readonly log: Log;
}

/** A login that asks for its turn. */
interface AskingLogin {
  readonly userId: number;
  /** Whether the client closed its connection. Such a login gets no turn. */
  readonly hasLeft: () => boolean;
}

/**
 * Lets in as many logins at a time as the node can take (rule DR3). In calm each login gets its turn at once. In a storm of
 * reconnects the others wait in two lines. Users who linger come first, because they are online. The
 * waiting time is the one sign of overload: the gate refuses a login after too long a wait.
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

  /** Gives the login its turn, or returns false if the node is overloaded. Each turn must be ended by {@link leave}. */
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
      waiter.logins.push({ decide, hasLeft: login.hasLeft });
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
    const isHeld = presence.holdsHere(userId);
    if (!isHeld && this.#others.length >= MAX_OTHERS_WAITING) return undefined;
    const waiter: Waiter = { userId, since: clock.monotonic(), logins: [] };
    (isHeld ? this.#held : this.#others).push(waiter);
    this.#watch();
    inBackground(log, this.#prove(waiter));
    return waiter;
  }

  /**
   * Takes the wait as a proof of life, because it could log out a user who lingers. It brings nobody online. A user who
   * lingers on another node is held here after it, and moves to the first line.
   */
  async #prove(waiter: Waiter): Promise<void> {
    const proof = await this.#options.presence.heartbeat(waiter.userId);
    if (proof.ok && this.#others.remove(waiter)) this.#held.push(waiter);
  }

  #admit(): void {
    while (this.#inProgress.size < this.#limit) {
      const next = this.#held.shift() ?? this.#others.shift();
      if (next === undefined) return;
      for (const { decide, hasLeft } of next.logins) {
        const isHere = !hasLeft();
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

/** A user who waits, with all logins that came meanwhile. */
interface Waiter {
  readonly userId: number;
  /** Monotonic ms. */
  readonly since: number;
  readonly logins: { readonly decide: (hasTurn: boolean) => void; readonly hasLeft: () => boolean }[];
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

  /** Removes those that wait since `time` or longer. */
  shiftOlder(time: number): readonly Waiter[] {
    const older: Waiter[] = [];
    while ((this.#waiters[this.#start]?.since ?? Number.POSITIVE_INFINITY) <= time) {
      const waiter = this.#next();
      if (waiter !== undefined && this.remove(waiter)) older.push(waiter);
    }
    return older;
  }

  /** Removes a waiter from any place. Returns false if it is not in this line. */
  remove(waiter: Waiter): boolean {
    return this.#ofUser.get(waiter.userId) === waiter && this.#ofUser.delete(waiter.userId);
  }

  /** The first entry, which may have been removed meanwhile. */
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
