import { isOnline, type RecordState } from '../../src/presence/core/records.ts';
import type { StoredChange } from '../../src/presence/presence.ts';
import type {
  Claim,
  ClaimAnswer,
  EndAnswer,
  EndRequest,
  PresenceStore,
  RenewAnswer,
  RenewRequest,
  UserRecord,
} from '../../src/presence/presence-store.ts';
import type { Duty } from '../../src/settlement/user-store.ts';
import type { Caller } from './contents.ts';
import { befalls, GOOD_LINE, type LineQuality, type RedisHost } from './network.ts';
import type { Random } from './random.ts';
import { type NodeClock, Phase, type Scheduler } from './scheduler.ts';
import type { SimulatedRedis } from './simulated-redis.ts';

const COMMAND_TIMEOUT_MS = 1000;
const RECONNECT_MS = 50;
const RETRY_CONNECT_MS = 500;

type Row = { readonly userId: number; readonly period: number };

interface Pending {
  reject(error: Error): void;
}

/** One node's connection to Redis as `redis-link.ts` keeps it, with a store on it as `redis-store.ts` is one. */
export class StoreLink implements PresenceStore {
  readonly keepsDuties = true;
  readonly renewalMs = 4000;
  quality: LineQuality = { ...GOOD_LINE };
  /** Nothing gets through in either direction. */
  cut = false;
  readonly #node: string;
  readonly #host: RedisHost;
  readonly #clock: NodeClock;
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #inHand = new Set<string>();
  #name = 0;
  /** The world of the newest renewal. */
  #birth: string | undefined;
  #runId: string | undefined;
  #ready = true;
  /** Calls on the present TCP connection; replaced with it. */
  #pending = new Set<Pending>();
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
    const answer = await this.#script((redis, caller) => redis.renew(caller, request, restatedIn));
    this.#birth = answer.birth;
    return answer;
  }
  claim(batch: readonly Claim[]): Promise<readonly ClaimAnswer[]> {
    return this.#script((redis, caller) => redis.claim(caller, batch));
  }
  record(batch: readonly Row[]): Promise<readonly boolean[]> {
    return this.#script((redis, caller) => redis.record(caller, batch));
  }
  withdraw(batch: readonly Row[]): Promise<void> {
    return this.#script((redis) => redis.withdraw(batch));
  }
  end(batch: readonly EndRequest[]): Promise<readonly EndAnswer[]> {
    return this.#script((redis, caller) => redis.end(caller, batch));
  }
  reap(limit: number): ReturnType<PresenceStore['reap']> {
    return this.#script((redis, caller) => redis.reap(caller, limit));
  }
  read(userIds: readonly number[]): Promise<readonly (UserRecord | undefined)[]> {
    return this.#script((redis) => userIds.map((userId) => visible(redis.world.records.get(userId))));
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
    return this.#script((redis) =>
      rows.map(({ userId, period }) => {
        const record = redis.world.records.get(userId);
        if (record === undefined) return false;
        return (record.holds.size > 0 && record.period === period) || record.unsettled === period;
      }),
    );
  }
  async takeDuties(limit: number): Promise<readonly Duty[]> {
    const given = await this.#script((redis) => redis.duties.take(limit, redis.wall));
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
  pendingDuties(): Promise<{ count: number; oldestAgeMs: number }> {
    return this.#script((redis) => ({ count: redis.duties.size, oldestAgeMs: 0 }));
  }
  close(): Promise<void> {
    return Promise.resolve();
  }

  /** The TCP connection broke, or was given up: what was under way fails, and a new one is made. */
  disconnect(afterMs = RECONNECT_MS): void {
    const pending = this.#pending;
    this.#pending = new Set();
    this.#runId = undefined;
    this.#lastArrival = 0;
    this.#lastReply = 0;
    this.#ready = false;
    this.#scheduler.touched = true;
    for (const call of pending) call.reject(new Error('Connection is closed.'));
    this.#connectLater(afterMs);
  }

  #connectLater(delayMs: number): void {
    this.#clock.after(delayMs, () => {
      if (this.#ready) return;
      if (this.cut || this.#host.down || this.#host.stalled) this.#connectLater(RETRY_CONNECT_MS);
      else this.#ready = true;
    });
  }

  async #script<Value>(run: (redis: SimulatedRedis, caller: Caller) => Value): Promise<Value> {
    const runId = this.#runId ?? (await this.#identify());
    const caller = { node: this.#node, lease: String(this.#name), runId };
    return this.#send((redis) => run(redis, caller));
  }

  async #identify(): Promise<string> {
    const runId = await this.#send((redis) => redis.runId);
    if (this.#runId !== runId) this.#name += 1;
    this.#runId = runId;
    return runId;
  }

  #send<Value>(run: (redis: SimulatedRedis) => Value): Promise<Value> {
    this.#scheduler.touched = true;
    if (!this.#ready) return Promise.reject(new Error("Stream isn't writeable"));
    return new Promise((resolve, reject) => {
      const connection = this.#pending;
      const done = (then: () => void): void => {
        if (!connection.delete(call)) return;
        timer.cancel();
        then();
      };
      const call: Pending = {
        reject: (error) => {
          timer.cancel();
          reject(error);
        },
      };
      connection.add(call);
      const timer = this.#clock.after(COMMAND_TIMEOUT_MS, () =>
        done(() => {
          reject(new Error('Command timed out'));
          this.#name += 1;
          this.disconnect();
        }),
      );
      this.#travel(run, (value) => done(() => resolve(value)));
    });
  }

  /** In order on one connection, both ways. */
  #travel<Value>(run: (redis: SimulatedRedis) => Value, answered: (value: Value) => void): void {
    const { lostRequests, lostReplies, doubled, late } = this.quality;
    const random = this.#random;
    const delay = befalls(random, late) ? random.int(200, 2500) : random.int(1, 3);
    this.#lastArrival = Math.max(this.#lastArrival, this.#scheduler.now + delay);
    const isLost = befalls(random, lostRequests);
    const isUnanswered = befalls(random, lostReplies);
    const isDoubled = befalls(random, doubled);
    this.#scheduler.schedule(this.#lastArrival, () => {
      if (this.cut || isLost) return;
      this.#host.submit(() => {
        const value = run(this.#host.redis);
        if (isDoubled) run(this.#host.redis);
        if (this.cut || isUnanswered) return;
        this.#lastReply = Math.max(this.#lastReply, this.#scheduler.now + random.int(1, 2));
        const place = { owner: this.#clock, phase: Phase.read };
        this.#scheduler.schedule(this.#lastReply, () => !this.cut && answered(value), place);
      });
    });
  }
}

function visible(record: RecordState | undefined): UserRecord | undefined {
  if (record === undefined) return undefined;
  const { userId, username, ip, epoch, last, loginTime, proof, period } = record;
  const known = { userId, username, ip, epoch, sockets: 0 };
  if (isOnline(record))
    return { ...known, status: 'online', loginTime, lastHeartbeat: proof, logoutTime: undefined, period };
  return last === undefined ? undefined : { ...known, ...last, status: 'offline' };
}
