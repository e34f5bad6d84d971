import type { StoredChange } from '../../src/presence/api.ts';
import type {
  Claim,
  ClaimAnswer,
  EndAnswer,
  EndRequest,
  GroupAnswer,
  GroupChange,
  LostByNodes,
  PresenceStore,
  ReapAnswer,
  RenewAnswer,
  RenewRequest,
  RunningPeriod,
  UserRecord,
} from '../../src/presence/store/port.ts';
import type { Duty, PendingDuties } from '../../src/protocol/periods.ts';
import { NOTHING_REAPED } from './contents.ts';
import { type LineOptions, StoreLine, type Work } from './store-line.ts';

/** As in `redis/duties.ts`. */
const RECHECK_EVERY = 16;
/** On a good line only one renewal in this many travels. Renewals are the most common calls, and the others take no time. */
const TRAVELS_EVERY = 4;

type Row = { readonly userId: number; readonly period: number };

/** A store over one node's connection to a Redis that is the rules, as `redis/store.ts` is one over the scripts. */
export class StoreLink extends StoreLine implements PresenceStore {
  readonly keepsDuties = true;
  readonly renewalMs = 3000;
  readonly #node: string;
  readonly #inHand = new Set<string>();
  /** As in `redis/duties.ts`. */
  #mayHaveMore = false;
  #takes = 0;
  #renewals = 0;
  /** The world of the newest renewal. */
  #world: string | undefined;
  readonly #lost: (lost: LostByNodes) => void;

  /** `lost` receives what a call took from other nodes. */
  constructor(options: LineOptions, lost: (lost: LostByNodes) => void) {
    super(options);
    this.#node = options.node;
    this.#lost = lost;
  }

  async renew(request: RenewRequest): Promise<RenewAnswer> {
    const restatedIn = this.#world;
    this.#renewals += 1;
    const known = this.isGood && this.#renewals % TRAVELS_EVERY !== 0 ? this.known : undefined;
    const answer =
      known !== undefined && this.redis.isSettledIn(known)
        ? this.redis.renew(known, request, restatedIn)
        : await this.#script((redis, caller) => redis.renew(caller, request, restatedIn));
    if (answer === undefined) throw new Error('STALE this node has renewed on a newer connection');
    this.#world = answer.world;
    return answer;
  }
  claim(batch: readonly Claim[]): Promise<readonly ClaimAnswer[]> {
    return this.#taking((redis, caller) => redis.claim(caller, batch));
  }
  record(batch: readonly Row[]): Promise<readonly boolean[]> {
    return this.#script((redis, caller) => redis.record(caller, batch));
  }
  async withdraw(batch: readonly Row[]): Promise<void> {
    if ((await this.#script((redis, caller) => redis.withdraw(caller, batch))) !== 0)
      throw new Error('still held');
  }
  end(batch: readonly EndRequest[]): Promise<readonly EndAnswer[]> {
    return this.#taking((redis, caller) => redis.end(caller, batch));
  }
  changeGroup(change: GroupChange): Promise<readonly GroupAnswer[]> {
    return this.#script((redis, caller) => redis.changeGroup(caller, change));
  }
  groupPage(): ReturnType<PresenceStore['groupPage']> {
    return Promise.resolve({ online: 0, userIds: [], cursor: undefined });
  }
  unstated(rev: number): Promise<readonly number[]> {
    return this.#script((redis, caller) => redis.unstated(caller, rev));
  }
  reap(limit: number): Promise<ReapAnswer> {
    if (this.isGood && this.redis.hasNothingToReap()) return Promise.resolve(NOTHING_REAPED);
    return this.#script((redis, caller) => redis.reap(caller, limit));
  }
  read(userIds: readonly number[]): Promise<readonly (UserRecord | undefined)[]> {
    return this.#script((redis) => redis.read(this.#node, userIds));
  }
  running(userId: number): Promise<RunningPeriod | undefined> {
    return this.#script((redis) => redis.running(userId));
  }
  blockLeftMs(userId: number): Promise<number> {
    return this.#script((redis) => redis.blockLeftMs(userId));
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
    if (this.isGood && this.redis.duties.size === 0) return [];
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
  /** Without the time of a call. Only metrics use this, and a stopping node that decides whether to wait longer. */
  pendingDuties(): Promise<PendingDuties> {
    if (!this.isReady) return Promise.reject(new Error("Stream isn't writeable"));
    return Promise.resolve({ count: this.redis.duties.size, oldestAgeMs: 0, setAside: 0 });
  }
  close(): Promise<void> {
    return Promise.resolve();
  }

  override disconnect(afterMs?: number): void {
    this.#mayHaveMore = true;
    super.disconnect(afterMs);
  }

  /** A script that appends the losses of other nodes to its answer. */
  async #taking<Value>(run: Work<Value>): Promise<Value> {
    const { value, lost } = await this.#script((redis, caller) => ({
      value: run(redis, caller),
      lost: redis.takeLost(),
    }));
    this.#lost(lost);
    return value;
  }

  #script<Value>(run: Work<Value>): Promise<Value> {
    const { known } = this;
    if (known !== undefined) return this.send(run, known);
    return this.caller().then((caller) => this.send(run, caller));
  }
}
