import type { Timer } from '../../src/lib/clock.ts';
import type { Caller } from '../../src/presence/rules/lease.ts';
import { befalls, GOOD_LINE, type LineQuality, type RedisHost } from './network.ts';
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

/** What a call does at the server. What it throws is an error that the server answers. */
export type Work<Value> = (redis: SimulatedRedis, caller: Caller) => Value;

const COMMAND_TIMEOUT_MS = 1000;
const RECONNECT_MS = 50;
const RETRY_CONNECT_MS = 500;

/** Before a connection has learnt whose it is, and of calls that say it themselves. */
const NOBODY: Caller = { node: '', lease: '', runId: '' };

/** One node's connection to Redis as `redis/link.ts` keeps it, and what befalls its calls on their way. */
export class StoreLine {
  quality: LineQuality = { ...GOOD_LINE };
  /** Nothing gets through in either direction. */
  cut = false;
  readonly #node: string;
  readonly #host: RedisHost;
  readonly #clock: NodeClock;
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  #name = 0;
  #caller: Caller | undefined;
  #ready = true;
  /** Calls on the present TCP connection, oldest first, some of them answered; replaced with it. */
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

  /** Name of the present connection, for the lease. */
  get connectionName(): string {
    return String(this.#name);
  }

  /** Whether a call could be sent now. */
  get isReady(): boolean {
    return this.#ready && !this.#host.isBad && !this.cut;
  }

  /** Nothing can befall a call, so one that would find nothing need not travel: half of all would be such. */
  get isGood(): boolean {
    const { lostRequests, lostReplies, doubled, late } = this.quality;
    return (
      this.#caller !== undefined &&
      !this.cut &&
      !this.#host.isBad &&
      lostRequests + lostReplies + doubled + late === 0
    );
  }

  /** The TCP connection broke, or was given up: what was under way fails, and a new one is made. */
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

  /** A command that says nothing of its caller, as plain commands do. */
  command<Value>(run: (redis: SimulatedRedis) => Value): Promise<Value> {
    return this.send(run, NOBODY);
  }

  /** Who calls on the present connection: each one learns the run of its server, and has a name of its own. */
  protected caller(): Promise<Caller> {
    return this.#caller === undefined ? this.#identify() : Promise.resolve(this.#caller);
  }

  /** The same, where it is known already. */
  protected get known(): Caller | undefined {
    return this.#caller;
  }

  protected get redis(): SimulatedRedis {
    return this.#host.redis;
  }

  /** Sends a call; rejects with what the server or the way to it said. */
  protected send<Value>(run: Work<Value>, caller: Caller): Promise<Value> {
    if (!this.#ready) return Promise.reject(new Error("Stream isn't writeable"));
    return new Promise((resolve, reject) => {
      // Nothing that was meant for one server reaches the next.
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

  /** A driver may send again what was not answered: under the name of the connection that broke. */
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

  /** One timer for all calls, which time out in the order in which they were sent. */
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

  /** In order on one connection, both ways. */
  #travel<Value>(call: Call<Value>, run: Work<Value>, caller: Caller): void {
    const { lostRequests, lostReplies, doubled, late } = this.quality;
    const random = this.#random;
    const delay = befalls(random, late) ? random.int(200, 2500) : random.int(1, 3);
    this.#lastArrival = Math.max(this.#lastArrival, this.#scheduler.now + delay);
    const isLost = befalls(random, lostRequests);
    const isUnanswered = befalls(random, lostReplies);
    const isDoubled = befalls(random, doubled);
    const server = this.#host.redis.runId;
    this.#scheduler.carry(this.#lastArrival, () => {
      // What was sent to a server that is gone reaches no other.
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

/** An error that the server answers, as a client library makes one of it. */
export class ServerError extends Error {}

interface Settle<Value> {
  readonly resolve: (value: Value) => void;
  readonly reject: (error: Error) => void;
}

/** A call under way on one connection. */
class Call<Value> {
  isOpen = true;
  readonly dueAt: number;
  /** Does it once more, and nobody hears of it. */
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

/** What the server does and says. Whatever else goes wrong there is a fault of the simulation. */
function outcomeOf<Value>(work: () => Value): Outcome<Value> {
  try {
    return { kind: 'answered', value: work() };
  } catch (error) {
    if (error instanceof ServerError) return { kind: 'refused', error };
    throw error;
  }
}
