import type { Timer } from '../../src/lib/clock.ts';
import type { Caller } from '../../src/presence/rules/lease.ts';
import { GOOD_LINE, isHit, type LineQuality, type RedisHost } from './network.ts';
import type { Random } from './random.ts';
import type { NodeClock, Scheduler } from './scheduler.ts';
import type { SimulatedRedis } from './simulated-redis.ts';

export interface LineOptions {
  readonly node: string;
  readonly host: RedisHost;
  readonly clock: NodeClock;
  readonly scheduler: Scheduler;
  readonly random: Random;
}

/** The work of a call at the server. What it throws is an error that the server answers. */
export type Work<Value> = (redis: SimulatedRedis, caller: Caller) => Value;

const COMMAND_TIMEOUT_MS = 1000;
const RECONNECT_MS = 50;
const RETRY_CONNECT_MS = 500;

/** Used before a connection knows its caller, and for calls that name the caller themselves. */
const NOBODY: Caller = { node: '', lease: '', runId: '' };

/** One node's connection to Redis as `redis/link.ts` keeps it, with the faults of its calls. */
export class StoreLine {
  quality: LineQuality = { ...GOOD_LINE };
  /** Nothing passes in either direction. */
  cut = false;
  readonly #node: string;
  readonly #host: RedisHost;
  readonly #clock: NodeClock;
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  #name = 0;
  #caller: Caller | undefined;
  #ready = true;
  /** Calls on the current TCP connection, oldest first. Some have answers. A new connection starts a new list. */
  #calls: AnyCall[] = [];
  #toResend: AnyCall[] = [];
  #timer: Timer | undefined;
  #lastArrival = 0;
  #lastReply = 0;

  constructor(options: LineOptions) {
    this.#node = options.node;
    this.#host = options.host;
    this.#clock = options.clock;
    this.#scheduler = options.scheduler;
    this.#random = options.random;
  }

  /** The name of the current connection, for the lease. */
  get connectionName(): string {
    return String(this.#name);
  }

  /** Whether a call could be sent now. */
  get isReady(): boolean {
    return this.#ready && !this.#host.isBad && !this.cut;
  }

  /** Whether calls meet no faults. Then a call that would find nothing need not travel, which is half of all calls. */
  get isGood(): boolean {
    const { lostRequests, lostReplies, doubled, late } = this.quality;
    return (
      this.#caller !== undefined &&
      !this.cut &&
      !this.#host.isBad &&
      lostRequests + lostReplies + doubled + late === 0
    );
  }

  /** The TCP connection broke, or the node gave it up. Calls in progress fail, and a new connection is made. */
  disconnect(afterMs = RECONNECT_MS): void {
    const calls = this.#calls;
    this.#calls = [];
    this.#caller = undefined;
    this.#lastArrival = 0;
    this.#lastReply = 0;
    this.#ready = false;
    if (this.quality.doubled > 0) this.#toResend = calls.filter(({ isOpen }) => isOpen);
    for (const call of calls) call.fail('Connection is closed.');
    this.#connectLater(afterMs);
  }

  /** A PUBLISH: `deliver` runs at the server. */
  publish(deliver: () => void): Promise<void> {
    return this.send(deliver, NOBODY);
  }

  /** A command that does not name its caller, like any plain command. */
  command<Value>(run: (redis: SimulatedRedis) => Value): Promise<Value> {
    return this.send(run, NOBODY);
  }

  /** The caller on the current connection. Each connection learns the run of its server, and has its own name. */
  protected caller(): Promise<Caller> {
    return this.#caller === undefined ? this.#identify() : Promise.resolve(this.#caller);
  }

  /** The same, if it is already known. */
  protected get known(): Caller | undefined {
    return this.#caller;
  }

  protected get redis(): SimulatedRedis {
    return this.#host.redis;
  }

  /** Sends a call. Rejects with the error of the server or of the line. */
  protected send<Value>(run: Work<Value>, caller: Caller): Promise<Value> {
    if (!this.#ready) return Promise.reject(new Error("Stream isn't writeable"));
    return new Promise((resolve, reject) => {
      // A call for one server never reaches the next one.
      const again = (): void =>
        void (caller.runId === this.#host.redis.runId && outcomeOf(() => run(this.#host.redis, caller)));
      const call = new Call(this.#scheduler.now + COMMAND_TIMEOUT_MS, again, { resolve, reject });
      this.#calls.push(call);
      this.#watch();
      this.#travel(call, run, caller);
    });
  }

  #connectLater(delayMs: number): void {
    this.#clock.after(delayMs, () => {
      if (this.#ready) return;
      if (this.cut || this.#host.down || this.#host.stalled) this.#connectLater(RETRY_CONNECT_MS);
      else this.#reconnected();
    });
  }

  /** A driver may send unanswered calls again, with the name of the broken connection. */
  #reconnected(): void {
    this.#ready = true;
    for (const { again } of this.#toResend.splice(0))
      this.#scheduler.schedule(this.#scheduler.now + 1, () => this.#host.submit(again));
  }

  async #identify(): Promise<Caller> {
    const runId = await this.send((redis) => redis.runId, NOBODY);
    if (this.#caller?.runId === runId) return this.#caller;
    this.#name += 1;
    this.#caller = { node: this.#node, lease: String(this.#name), runId };
    return this.#caller;
  }

  /** One timer for all calls. They time out in the order of sending. */
  #watch(): void {
    const [oldest] = this.#calls;
    if (this.#timer !== undefined || oldest === undefined) return;
    this.#timer = this.#clock.after(oldest.dueAt - this.#scheduler.now, () => {
      this.#timer = undefined;
      const open = this.#calls.findIndex((call) => call.isOpen);
      this.#calls.splice(0, open < 0 ? this.#calls.length : open);
      const late = this.#calls[0];
      if (late === undefined || late.dueAt > this.#scheduler.now) return this.#watch();
      late.fail('Command timed out');
      this.#name += 1;
      this.disconnect();
    });
  }

  /** In order on one connection, in both directions. */
  #travel<Value>(call: Call<Value>, run: Work<Value>, caller: Caller): void {
    const { lostRequests, lostReplies, doubled, late } = this.quality;
    const random = this.#random;
    const delay = isHit(random, late) ? random.int(200, 2500) : random.int(1, 3);
    this.#lastArrival = Math.max(this.#lastArrival, this.#scheduler.now + delay);
    const isLost = isHit(random, lostRequests);
    const isUnanswered = isHit(random, lostReplies);
    const isDoubled = isHit(random, doubled);
    const server = this.#host.redis.runId;
    this.#scheduler.carry(this.#lastArrival, () => {
      // A call to a server that is gone reaches no other server.
      if (this.cut || isLost || this.#host.redis.runId !== server) return;
      this.#host.submit(() => {
        const outcome = outcomeOf(() => run(this.#host.redis, caller));
        if (isDoubled) outcomeOf(() => run(this.#host.redis, caller));
        if (this.cut || isUnanswered) return;
        this.#lastReply = Math.max(this.#lastReply, this.#scheduler.now + random.int(1, 2));
        this.#scheduler.schedule(this.#lastReply, () => !this.cut && call.answer(outcome), this.#clock);
      });
    });
  }
}

type AnyCall = Pick<Call<unknown>, 'dueAt' | 'isOpen' | 'fail' | 'again'>;

type Outcome<Value> =
  | { readonly kind: 'answered'; readonly value: Value }
  | { readonly kind: 'refused'; readonly error: Error };

/** An error that the server answers, as a client library would throw it. */
export class ServerError extends Error {}

interface Settle<Value> {
  readonly resolve: (value: Value) => void;
  readonly reject: (error: Error) => void;
}

/** A call in progress on one connection. */
class Call<Value> {
  isOpen = true;
  readonly dueAt: number;
  /** Repeats the call, and ignores the answer. */
  readonly again: () => void;
  readonly #settle: Settle<Value>;

  constructor(dueAt: number, again: () => void, settle: Settle<Value>) {
    this.dueAt = dueAt;
    this.again = again;
    this.#settle = settle;
  }

  answer(outcome: Outcome<Value>): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    if (outcome.kind === 'answered') this.#settle.resolve(outcome.value);
    else this.#settle.reject(outcome.error);
  }

  fail(why: string): void {
    this.answer({ kind: 'refused', error: new Error(why) });
  }
}

/** What the server does and answers. Any other error there is a bug of the simulation. */
function outcomeOf<Value>(work: () => Value): Outcome<Value> {
  try {
    return { kind: 'answered', value: work() };
  } catch (error) {
    if (error instanceof ServerError) return { kind: 'refused', error };
    throw error;
  }
}
