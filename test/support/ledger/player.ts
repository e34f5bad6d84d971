import type { Random } from '../../simulation/random.ts';
import { Asking } from './asking.ts';
import type { UserFacts } from './facts.ts';
import { dial, type Line } from './line.ts';
import type { Site } from './site.ts';

const POLL_MS = 50;
/** A requested close comes within this time, unless there is a fault. */
const CLOSE_WAIT_MS = 2_500;
/** Fewer than the take-overs that the rules call flapping. */
const MAX_TAKEOVERS_A_MINUTE = 3;
/** Attempts for one HTTP logout, as in a page. */
const LOGOUT_TRIES = 3;

const AFTER_LIFE = {
  'return in time': 4,
  'return late': 2,
  'fall silent': 2,
  'logout by message': 2,
  'logout by HTTP': 3,
  'old logout': 2,
  'take over': 4,
  'beat by HTTP': 1,
} as const;

export interface PlayerOptions {
  readonly site: Site;
  readonly facts: UserFacts;
  readonly random: Random;
  /** Whether the run is ending: actions in progress end, and no new ones begin. */
  readonly isOver: () => boolean;
}

/** A user with a socket, who comes and goes in every possible way, one after the other. */
export class Player {
  readonly #site: Site;
  readonly #facts: UserFacts;
  readonly #random: Random;
  readonly #isOver: () => boolean;
  readonly #asking: Asking;
  readonly #speaksV1: boolean;
  readonly #takeovers: number[] = [];

  constructor(options: PlayerOptions & { readonly speaksV1: boolean }) {
    this.#site = options.site;
    this.#facts = options.facts;
    this.#random = options.random;
    this.#isOver = options.isOver;
    this.#speaksV1 = options.speaksV1;
    this.#asking = new Asking(options.site, options.facts);
  }

  async play(): Promise<void> {
    await this.#pause(0, this.#timeoutMs);
    while (!this.#isOver()) {
      const line = await this.#dial();
      if (line === undefined) await this.#pause(150, 500);
      else await this.#live(line);
    }
  }

  get #timeoutMs(): number {
    return this.#site.options.timeoutMs;
  }

  #dial(): Promise<Line | undefined> {
    const token = this.#site.token(this.#facts.userId);
    const client = { facts: this.#facts, token, speaksV1: this.#speaksV1 };
    return dial(this.#site.pick(this.#random), client);
  }

  /** Waits until this user has no socket any more. */
  async #live(first: Line): Promise<void> {
    let line: Line | undefined = first;
    while (line !== undefined) {
      const isPatient = this.#random.chance(0.5);
      await this.#stay(line, isPatient ? Number.POSITIVE_INFINITY : this.#random.int(800, 1_500));
      if (!line.isOpen || line.unansweredMs > 800) {
        line.terminate();
        await this.#wander();
        return;
      }
      if (this.#isOver()) return this.#leave(line);
      line = await this.#act(line);
    }
  }

  /** Sends heartbeats for a while. Ends early with the socket, or when an answer takes longer than the client waits. */
  async #stay(line: Line, patienceMs: number): Promise<void> {
    const until = Date.now() + this.#random.int(300, Math.round(this.#timeoutMs * 1.2));
    while (line.isOpen && !this.#isOver() && line.unansweredMs < patienceMs) {
      if (Date.now() >= until && (line.unansweredMs < POLL_MS || patienceMs < Number.POSITIVE_INFINITY))
        return;
      await pause(POLL_MS);
    }
  }

  /** Returns the socket with which the user continues. */
  async #act(line: Line): Promise<Line | undefined> {
    const action = this.#random.weighted(AFTER_LIFE);
    switch (action) {
      case 'return in time':
      case 'return late':
        if (this.#random.chance(0.5)) line.close();
        else line.terminate();
        await (action === 'return late'
          ? this.#pause(1.1 * this.#timeoutMs, 2 * this.#timeoutMs)
          : this.#wander());
        return undefined;
      case 'fall silent':
        line.silence();
        await this.#closedWithin(line, 3 * this.#timeoutMs);
        await this.#pause(0, this.#timeoutMs);
        return undefined;
      case 'logout by message':
        await this.#logoutByMessage(line);
        return undefined;
      case 'logout by HTTP':
        await this.#logoutByHttp(line);
        return undefined;
      case 'old logout':
        await this.#logoutOfAnOldEpoch();
        return line;
      case 'take over':
        return this.#takeOver(line);
      case 'beat by HTTP':
        if (this.#random.chance(0.5)) await this.#asking.heartbeat(this.#site.pick(this.#random));
        else await this.#asking.login(this.#site.pick(this.#random));
        return line;
    }
  }

  async #logoutByMessage(line: Line): Promise<void> {
    const from = Date.now();
    line.silence();
    line.logOut();
    await this.#closedWithin(line, CLOSE_WAIT_MS);
    this.#facts.logouts.push({
      ...{ by: 'message', life: line.life, from, to: Date.now() },
      // The socket is closed, whatever the outcome of the logout.
      outcome: 'unknown',
      logoutTime: undefined,
      epoch: 'newest',
    });
    await this.#pause(0, this.#timeoutMs / 2);
  }

  async #logoutByHttp(line: Line): Promise<void> {
    line.silence();
    const epoch = line.welcome?.epoch;
    const named = epoch === undefined || this.#random.chance(0.5) ? undefined : { epoch, isOld: false };
    for (let attempt = 0; attempt < LOGOUT_TRIES; attempt += 1) {
      if ((await this.#asking.logout(this.#site.pick(this.#random), named)) !== 'unknown') break;
      await this.#pause(100, 300);
    }
    await this.#closedWithin(line, this.#random.chance(0.5) ? 0 : CLOSE_WAIT_MS);
    await this.#pause(0, this.#timeoutMs / 2);
  }

  /** The late messages of a reloaded page: they must not affect the newer connection. */
  async #logoutOfAnOldEpoch(): Promise<void> {
    const { epochs } = this.#facts;
    const epoch = epochs.at(-2);
    if (epoch === undefined) return;
    const outcome = await this.#asking.logout(this.#site.pick(this.#random), { epoch, isOld: true });
    if (outcome === 'ended')
      this.#facts.complaints.push(`stale: a logout of epoch ${epoch} ended ${epochs.at(-1)}`);
  }

  async #takeOver(line: Line): Promise<Line | undefined> {
    const now = Date.now();
    while (this.#takeovers[0] !== undefined && this.#takeovers[0] < now - 60_000) this.#takeovers.shift();
    if (this.#takeovers.length >= MAX_TAKEOVERS_A_MINUTE) return line;
    this.#takeovers.push(now);
    // A node that has already lost the user may receive the further messages of the old socket.
    line.silence();
    const newer = await this.#dial();
    if (newer === undefined) {
      line.terminate();
      await this.#pause(50, 300);
      return undefined;
    }
    this.#facts.takeovers += 1;
    void this.#closedWithin(line, 2 * CLOSE_WAIT_MS);
    return newer;
  }

  /** The last action of this user. */
  async #leave(line: Line): Promise<void> {
    if (this.#random.chance(0.3)) return this.#logoutByHttp(line);
    if (this.#random.chance(0.3)) return this.#logoutByMessage(line);
    line.silence();
    await this.#closedWithin(line, 3 * this.#timeoutMs);
  }

  async #closedWithin(line: Line, timeoutMs: number): Promise<void> {
    await Promise.race([line.closed, pause(timeoutMs)]);
    line.terminate();
  }

  /** Leaves, and returns before any node could log the user out. */
  #wander(): Promise<void> {
    return this.#pause(0, 0.7 * this.#timeoutMs);
  }

  #pause(from: number, to: number): Promise<void> {
    return pause(this.#random.int(Math.round(from), Math.round(to)));
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
