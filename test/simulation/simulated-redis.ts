import { PresenceWorld } from '../../src/presence/rules/claims.ts';
import { type Hold, isHolding, type Moment } from '../../src/presence/rules/record.ts';
import type { WorldRules } from '../../src/presence/rules/session-policy.ts';
import type {
  Claim,
  ClaimAnswer,
  EndAnswer,
  EndRequest,
  Loss,
  ReapAnswer,
  RenewAnswer,
  RenewRequest,
} from '../../src/presence/store/port.ts';
import type { Duty, EndedPeriod } from '../../src/protocol/periods.ts';
import { type Caller, type Contents, copyOf, type Lease, type RedisEvents } from './contents.ts';
import { DutyStream } from './duty-stream.ts';
import { type Mutation, mutatedClaim, mutatedDuty } from './mutation.ts';
import { type Scheduler, wallAt } from './scheduler.ts';

const YOUNG_MS = 2000;
const LOGINS_FIRST_MS = 500;
const MAX_CHARGED_MS = 2000;
const DEAD_AFTER_MS = 11_000;
/** A look tells of a death up to a renewal ahead, and is on its way for much less than the rest of this. */
const IDLE_LOOK_MS = 600;

/** One Redis: the scripts of `src/presence/store/redis/scripts` over the rules of `src/presence/rules`, and what may befall it. */
export class SimulatedRedis {
  skewMs = 0;
  runId = 'run-1';
  #runs = 1;
  #contents: Contents;
  readonly #scheduler: Scheduler;
  readonly #rules: WorldRules;
  readonly #mutation: Mutation;
  readonly #events: RedisEvents;

  constructor(options: {
    scheduler: Scheduler;
    rules: WorldRules;
    mutation: Mutation;
    events: RedisEvents;
  }) {
    this.#scheduler = options.scheduler;
    this.#rules = options.rules;
    this.#mutation = options.mutation;
    this.#events = options.events;
    this.#contents = this.#empty();
  }

  get world(): PresenceWorld {
    return this.#contents.world;
  }

  get duties(): DutyStream {
    return this.#contents.duties;
  }

  get wall(): number {
    return wallAt(this.#scheduler.now, this.skewMs);
  }

  /** FLUSHALL: the same server without a memory. */
  wipe(): void {
    this.#contents = this.#empty();
  }

  snapshot(): () => void {
    const kept = copyOf(this.#contents, this.#createWorld());
    return () => {
      this.#contents = copyOf(kept, this.#createWorld());
    };
  }

  /** Another server from now on: a restart, or a replica that was promoted. */
  restart(): void {
    this.#runs += 1;
    this.runId = `run-${this.#runs}`;
  }

  renew(
    caller: Caller,
    request: RenewRequest,
    restatedIn: string | undefined,
  ): RenewAnswer & { readonly birth: string } {
    const contents = this.#contents;
    const { world, leases } = contents;
    const moment = this.#moment();
    if (Number(leases.get(caller.node)?.lease ?? 0) > Number(caller.lease))
      return { restore: false, losses: [], world: '', onlineCount: 0, foreign: [], birth: '' };
    const lived = restatedIn === contents.name ? contents.generation : Number(restatedIn?.split(':')[2] ?? 0);
    if (!contents.known || contents.run !== caller.runId || contents.generation < lived) {
      contents.generation = Math.max(contents.generation, lived) + 1;
      for (const node of leases.keys())
        this.#keepLease(node, { lease: '', seen: moment.observed, restored: false });
      contents.birth = moment.observed;
      contents.run = caller.runId;
      contents.known = true;
      contents.name = `${caller.runId}:${contents.birth}:${contents.generation}`;
    }
    this.#keepClock(moment);
    if (!this.#mutation.forgetsHighestEpoch)
      world.highestEpoch = Math.max(world.highestEpoch, request.highestEpoch);
    const birth = contents.name;
    const credited = request.restored && (restatedIn ?? birth) === birth;
    const restored =
      credited || leases.get(caller.node)?.restored === true || this.#mutation.neverRestores === true;
    this.#keepLease(caller.node, { lease: caller.lease, seen: moment.observed, restored });
    contents.dead.delete(caller.node);
    const waiting = world.losses.get(caller.node);
    for (const { userId, rev } of request.acknowledged) {
      if (waiting?.get(userId)?.rev === rev) waiting.delete(userId);
    }
    const losses = [...(waiting?.values() ?? [])];
    if (this.#mutation.lossesToldOnce) waiting?.clear();
    return { restore: !restored, losses, world: birth, onlineCount: world.onlineCount, foreign: [], birth };
  }

  claim(caller: Caller, batch: readonly Claim[]): readonly ClaimAnswer[] {
    const moment = this.#moment();
    if (!this.#hasLease(caller, moment)) return batch.map(() => ({ kind: 'no-lease' }));
    return batch.map((claim) => {
      const before = this.world.records.get(claim.userId)?.epoch;
      const answer = this.#take(caller, claim, moment);
      const minted = answer.kind === 'opened' || (answer.kind === 'joined' && claim.mode === 'socket');
      // A repeated statement gets its old answer.
      const after = this.world.records.get(claim.userId)?.epoch;
      if (minted && before !== after) this.#events.minted(claim, answer);
      this.#events.claimed(claim, answer, caller);
      return answer;
    });
  }

  record(caller: Caller, batch: readonly { userId: number; period: number }[]): readonly boolean[] {
    const valid = this.#hasLease(caller, this.#moment());
    return batch.map(({ userId, period }) => {
      return valid && this.world.record(caller.node, { userId, period });
    });
  }

  /** False where some are still held. */
  withdraw(caller: Caller, batch: readonly { userId: number; period: number }[]): boolean {
    if (!this.#hasLease(caller, this.#moment())) return false;
    let isDone = true;
    for (const opening of batch) {
      if (this.world.withdraw(caller.node, opening)) this.#events.withdrawn(opening.userId, caller);
      else isDone = false;
      this.#expireOffline(opening.userId);
    }
    return isDone;
  }

  end(caller: Caller, batch: readonly EndRequest[]): readonly EndAnswer[] {
    const moment = this.#moment();
    const valid = this.#hasLease(caller, moment);
    return batch.map((request) => {
      if (!valid) return { kind: 'no-lease' };
      if (this.#isYoung(moment)) return { kind: 'young' };
      const own = this.world.losses.get(caller.node)?.get(request.userId);
      const epoch = this.#mutation.endIgnoresEpoch ? 0 : request.epoch;
      const asked =
        this.#mutation.strictEnd && epoch > 0 ? { ...request, epoch: epoch - 1 } : { ...request, epoch };
      const answer = this.world.end(asked, moment);
      this.#restoreLoss(caller.node, request.userId, own);
      this.#events.endAsked(request, answer);
      return answer;
    });
  }

  /** Whether a look at dead nodes would find none, now and for as long as one is on its way. */
  hasNothingToReap(): boolean {
    const { leases, dead } = this.#contents;
    if (dead.size > 0) return false;
    const { observed } = this.#moment();
    for (const { seen } of leases.values()) if (observed - seen >= this.#silence - IDLE_LOOK_MS) return false;
    return true;
  }

  /** Whether a renewal changes nothing but the time of the last sign of life. */
  isSettledIn({ node, lease, runId }: Caller): boolean {
    const { known, run, leases } = this.#contents;
    const held = leases.get(node);
    return known && run === runId && held?.lease === lease && held.restored;
  }

  reap(caller: Caller, limit: number): ReapAnswer {
    const moment = this.#moment();
    const { world, leases, dead } = this.#contents;
    if (!this.#hasLease(caller, moment) || this.#isYoung(moment, true))
      return { ended: [], ghosts: 0, nextDeathMs: undefined };
    let nextDeathMs: number | undefined;
    for (const [node, { seen }] of leases) {
      const rest = this.#silence - (moment.observed - seen);
      if (rest > 0) {
        nextDeathMs = Math.min(rest, nextDeathMs ?? rest);
        continue;
      }
      leases.delete(node);
      world.nodes.delete(node);
      dead.add(node);
    }
    const ended: EndedPeriod[] = [];
    let ghosts = 0;
    for (const node of dead) {
      const { reapIgnoresDeadlines, reapIgnoresHttp } = this.#mutation;
      if (reapIgnoresDeadlines) this.#passDeadlines(node, { socketUntil: 0, httpUntil: 0 });
      if (reapIgnoresHttp) this.#passDeadlines(node, { httpUntil: 0 });
      if (!this.#mutation.neverReaps) ended.push(...world.reap(node, limit, moment));
      const left = world.heldBy(node).length;
      this.duties.requeue(node, this.wall);
      // What it lost it must hear if it was only frozen.
      if (left === 0) dead.delete(node);
      ghosts += left;
    }
    return { ended, ghosts, nextDeathMs };
  }

  unstated(caller: Caller, rev: number): readonly number[] {
    return this.#hasLease(caller, this.#moment()) ? this.world.heldBy(caller.node, rev) : [];
  }

  acknowledge(duties: readonly Duty[]): void {
    for (const { id, userId, period } of duties) {
      this.duties.remove(id);
      this.world.acknowledgeDuty(userId, period);
      this.#expireOffline(userId);
    }
  }

  #take(caller: Caller, asked: Claim, moment: Moment): ClaimAnswer {
    const { world, expiries } = this.#contents;
    this.#expire(asked.userId);
    const call = { node: caller.node, claim: asked, wall: moment.wall };
    const claim = mutatedClaim(this.#mutation, world, call);
    const held = world.records.get(claim.userId)?.holds.get(caller.node);
    const loss = world.losses.get(caller.node)?.get(claim.userId);
    const decided =
      (held !== undefined && claim.rev <= held.rev) || (loss !== undefined && claim.rev <= loss.rev);
    const isEnd = claim.mode === 'state' && !isHolding(claim);
    const mustWait = this.#isYoung(moment, isEnd) || (claim.mode !== 'state' && this.#hasToRestore(caller));
    if (!decided && claim.mode !== 'restate' && mustWait) return { kind: 'young' };
    const answer = world.claim(caller.node, claim, moment);
    const opened = world.records.get(claim.userId);
    if (this.#mutation.takeOverTellsNobody && claim.mode === 'socket') {
      for (const [node, losses] of world.losses) if (node !== caller.node) losses.delete(claim.userId);
    }
    if (opened !== undefined && opened.holds.size > 0) expiries.delete(claim.userId);
    else this.#expireOffline(claim.userId);
    return answer;
  }

  #passDeadlines(node: string, passed: Partial<Hold>): void {
    for (const record of this.world.records.values()) {
      const hold = record.holds.get(node);
      if (hold !== undefined) Object.assign(hold, passed);
    }
  }

  #restoreLoss(node: string, userId: number, loss: Loss | undefined): void {
    const losses = this.world.losses.get(node);
    if (loss === undefined) losses?.delete(userId);
    else losses?.set(userId, loss);
  }

  #moment(): Moment {
    const { clock, reading, known } = this.#contents;
    const { wall } = this;
    if (!known) return { wall, observed: wall };
    const gap = wall - reading;
    const charged = this.#mutation.chargesWholeGaps ? gap : Math.max(0, Math.min(MAX_CHARGED_MS, gap));
    return { wall, observed: clock + charged };
  }

  #keepClock(moment: Moment): void {
    const { wall, observed } = moment;
    const { known, clock, reading, birth } = this.#contents;
    if (known && wall - reading > MAX_CHARGED_MS && clock < birth + YOUNG_MS) this.#contents.birth = observed;
    this.#contents.clock = observed;
    this.#contents.reading = wall;
  }

  get #silence(): number {
    return this.#mutation.reapsWithoutGrace ? DEAD_AFTER_MS - 6000 : DEAD_AFTER_MS;
  }

  #isYoung({ observed }: Moment, forEnds = false): boolean {
    const youngMs = this.#mutation.youngMs ?? YOUNG_MS;
    return observed < this.#contents.birth + youngMs + (forEnds ? LOGINS_FIRST_MS : 0);
  }

  #hasLease(caller: Caller, moment: Moment): boolean {
    const { known, run, leases } = this.#contents;
    const lease = leases.get(caller.node);
    if (this.#mutation.ignoresLeases && known && lease !== undefined) return true;
    if (!known || run !== caller.runId) return false;
    if (lease === undefined) return false;
    if (lease.lease !== caller.lease && (!this.#mutation.leasesOfAnyConnection || lease.lease === ''))
      return false;
    this.#keepClock(moment);
    this.#keepLease(caller.node, { ...lease, seen: moment.observed });
    return true;
  }

  #hasToRestore({ node }: Caller): boolean {
    return !this.#mutation.unrestoredMayOpen && this.#contents.leases.get(node)?.restored === false;
  }

  #keepLease(node: string, lease: Lease): void {
    this.#contents.leases.set(node, lease);
    this.world.nodes.set(node, lease.seen);
  }

  #expire(userId: number): void {
    const at = this.#contents.expiries.get(userId);
    if (at === undefined || at > this.wall) return;
    this.#contents.expiries.delete(userId);
    this.world.records.delete(userId);
  }

  #expireOffline(userId: number): void {
    const record = this.world.records.get(userId);
    if (record === undefined || record.holds.size > 0 || record.unsettled.length > 0) return;
    this.world.highestEpoch = Math.max(this.world.highestEpoch, record.epoch);
    const { expiries } = this.#contents;
    if (!expiries.has(userId)) expiries.set(userId, this.wall + Math.max(1, this.#rules.lastSeenTtlMs));
  }

  #empty(): Contents {
    const contents: Contents = {
      ...{ world: this.#createWorld(), duties: new DutyStream(), leases: new Map(), dead: new Set() },
      ...{
        expiries: new Map(),
        known: false,
        clock: 0,
        reading: 0,
        run: '',
        birth: 0,
        generation: 0,
        name: '',
      },
    };
    return contents;
  }

  #createWorld(): PresenceWorld {
    return new PresenceWorld(this.#rules, (duty) => {
      const recorded = mutatedDuty(this.#mutation, duty, this.wall);
      this.#events.ended(recorded ?? duty);
      if (recorded !== undefined) this.duties.append(recorded, this.wall);
    });
  }
}
