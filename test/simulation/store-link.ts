import type { Timer } from '../../src/lib/clock.ts';
import type { StoredChange } from '../../src/presence/api.ts';
import type { Caller } from '../../src/presence/rules/lease.ts';
import type {
  Claim,
  ClaimAnswer,
  EndAnswer,
  EndRequest,
  PresenceStore,
  ReapAnswer,
  RenewAnswer,
  RenewRequest,
  UserRecord,
} from '../../src/presence/store/port.ts';
import type { Duty, PendingDuties } from '../../src/protocol/periods.ts';
import { befalls, GOOD_LINE, type LineQuality, type RedisHost } from './network.ts';
import type { Random } from './random.ts';
import type { NodeClock, Scheduler } from './scheduler.ts';
import type { SimulatedRedis } from './simulated-redis.ts';

const COMMAND_TIMEOUT_MS = 1000;
/** As in `redis-duties.ts`. */
const RECHECK_EVERY = 16;
/** Of the renewals over a good line, the most common of all calls: the others take no time. */
const TRAVELS_EVERY = 4;
const RECONNECT_MS = 50;
const RETRY_CONNECT_MS = 500;

type Row = { readonly userId: number; readonly period: number };

const NOTHING_REAPED: ReapAnswer = { ended: [], ghosts: 0, nextDeathMs: undefined };

/** Before a connection has learnt whose it is. */
const NOBODY: Caller = { node: '', lease: '', runId: '' };

/** One node's connection to Redis as `redis-link.ts` keeps it, with a store on it as `redis-store.ts` is one. */
export class StoreLink implements PresenceStore {
  readonly keepsDuties = true;
  readonly renewalMs = 3000;
  quality: LineQuality = { ...GOOD_LINE };
  /** Nothing gets through in either direction. */
  cut = false;
  readonly #node: string;
  readonly #host: RedisHost;
  readonly #clock: NodeClock;
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #inHand = new Set<string>();
  /** As in `redis-duties.ts`. */
  #mayHaveMore = false;
  #takes = 0;
  #renewals = 0;
  #name = 0;
  /** The world of the newest renewal. */
  #birth: string | undefined;
  #caller: Caller | undefined;
  #ready = true;
  /** Calls on the present TCP connection, oldest first, some of them answered; replaced with it. */
  #calls: AnyCall[] = [];
  #toResend: AnyCall[] = [];
  #timer: Timer | undefined;
  #lastArrival = 0;
  #lastReply = 0;

  constructor(options: {
    node: string;
    host: RedisHost;
    clock: NodeClock;
    scheduler: Scheduler;
    random: Random;
  }) {
    this.#node = options.node;
    this.#host = options.host;
    this.#clock = options.clock;
    this.#scheduler = options.scheduler;
    this.#random = options.random;
  }

  async renew(request: RenewRequest): Promise<RenewAnswer> {
    const restatedIn = this.#birth;
    this.#renewals += 1;
    const known = this.#isGood && this.#renewals % TRAVELS_EVERY !== 0 ? this.#caller : undefined;
    const answer =
      known !== undefined && this.#host.redis.isSettledIn(known)
        ? this.#host.redis.renew(known, request, restatedIn)
        : await this.#script((redis, caller) => redis.renew(caller, request, restatedIn));
    if (answer === undefined) throw new Error('STALE this node has renewed on a newer connection');
    this.#birth = answer.world;
    return answer;
  }
  claim(batch: readonly Claim[]): Promise<readonly ClaimAnswer[]> {
    return this.#script((redis, caller) => redis.claim(caller, batch));
  }
  record(batch: readonly Row[]): Promise<readonly boolean[]> {
    return this.#script((redis, caller) => redis.record(caller, batch));
  }
  async withdraw(batch: readonly Row[]): Promise<void> {
    if ((await this.#script((redis, caller) => redis.withdraw(caller, batch))) !== 0)
      throw new Error('still held');
  }
  end(batch: readonly EndRequest[]): Promise<readonly EndAnswer[]> {
    return this.#script((redis, caller) => redis.end(caller, batch));
  }
  unstated(rev: number): Promise<readonly number[]> {
    return this.#script((redis, caller) => redis.unstated(caller, rev));
  }
  reap(limit: number): Promise<ReapAnswer> {
    if (this.#isGood && this.#host.redis.hasNothingToReap()) return Promise.resolve(NOTHING_REAPED);
    return this.#script((redis, caller) => redis.reap(caller, limit));
  }
  read(userIds: readonly number[]): Promise<readonly (UserRecord | undefined)[]> {
    return this.#script((redis) => redis.read(this.#node, userIds));
  }
  onlinePage(): ReturnType<PresenceStore['onlinePage']> {
    return Promise.resolve({ userIds: [], cursor: undefined });
  }
  feed(): Promise<undefined> {
    return Promise.resolve(undefined);
  }
  timeline(): Promise<readonly StoredChange[]> {
    return Promise.resolve([]);
  }
  knows(rows: readonly Row[]): Promise<readonly boolean[]> {
    return this.#script((redis) => redis.knows(rows));
  }
  async takeDuties(limit: number): Promise<readonly Duty[]> {
    this.#takes += 1;
    const mayHaveMore = this.#mayHaveMore || this.#takes % RECHECK_EVERY === 0;
    if (this.#isGood && this.#host.redis.duties.size === 0) return [];
    this.#mayHaveMore = true;
    const given = await this.#script((redis) => [
      ...(mayHaveMore ? redis.duties.heldBy(this.#node) : []),
      ...redis.duties.take(this.#node, limit, redis.wall),
    ]);
    this.#mayHaveMore = false;
    const duties = given.filter(({ id }) => !this.#inHand.has(id));
    for (const { id } of duties) this.#inHand.add(id);
    return duties;
  }
  async ackDuties(duties: readonly Duty[]): Promise<void> {
    await this.#script((redis) => redis.acknowledge(duties));
    for (const { id } of duties) this.#inHand.delete(id);
  }
  setAside(duty: Duty): Promise<void> {
    return this.ackDuties([duty]);
  }
  /** Without the way to Redis and back: it feeds metrics, and tells a node that stops whether to wait on. */
  pendingDuties(): Promise<PendingDuties> {
    const { isBad, redis } = this.#host;
    if (!this.#ready || isBad || this.cut) return Promise.reject(new Error("Stream isn't writeable"));
    return Promise.resolve({ count: redis.duties.size, oldestAgeMs: 0, setAside: 0 });
  }
  close(): Promise<void> {
    return Promise.resolve();
  }

  /** The TCP connection broke, or was given up: what was under way fails, and a new one is made. */
  disconnect(afterMs = RECONNECT_MS): void {
    this.#mayHaveMore = true;
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

  /** Nothing can befall a call, so one that would find nothing need not travel: half of all would be such. */
  get #isGood(): boolean {
    const { lostRequests, lostReplies, doubled, late } = this.quality;
    return (
      this.#caller !== undefined &&
      !this.cut &&
      !this.#host.isBad &&
      lostRequests + lostReplies + doubled + late === 0
    );
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

  #script<Value>(run: (redis: SimulatedRedis, caller: Caller) => Value): Promise<Value> {
    const caller = this.#caller;
    if (caller === undefined) return this.#identify().then((known) => this.#send(run, known));
    return this.#send(run, caller);
  }

  /** Each connection learns the run of its server, and is known under a name of its own. */
  async #identify(): Promise<Caller> {
    const runId = await this.#send((redis) => redis.runId, NOBODY);
    if (this.#caller?.runId === runId) return this.#caller;
    this.#name += 1;
    this.#caller = { node: this.#node, lease: String(this.#name), runId };
    return this.#caller;
  }

  #send<Value>(run: (redis: SimulatedRedis, caller: Caller) => Value, caller: Caller): Promise<Value> {
    if (!this.#ready) return Promise.reject(new Error("Stream isn't writeable"));
    return new Promise((resolve, reject) => {
      // Nothing that was meant for one server reaches the next.
      const again = (): void =>
        void (caller.runId === this.#host.redis.runId && run(this.#host.redis, caller));
      const call = new Call(this.#scheduler.now + COMMAND_TIMEOUT_MS, again, { resolve, reject });
      this.#calls.push(call);
      this.#watch();
      this.#travel(call, run, caller);
    });
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
  #travel<Value>(
    call: Call<Value>,
    run: (redis: SimulatedRedis, caller: Caller) => Value,
    caller: Caller,
  ): void {
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
        const value = run(this.#host.redis, caller);
        if (isDoubled) run(this.#host.redis, caller);
        if (this.cut || isUnanswered) return;
        this.#lastReply = Math.max(this.#lastReply, this.#scheduler.now + random.int(1, 2));
        this.#scheduler.schedule(this.#lastReply, () => !this.cut && call.answer(value), this.#clock);
      });
    });
  }
}

type AnyCall = Pick<Call<unknown>, 'dueAt' | 'isOpen' | 'fail' | 'again'>;

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

  answer(value: Value): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#settle.resolve(value);
  }

  fail(why: string): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#settle.reject(new Error(why));
  }
}
