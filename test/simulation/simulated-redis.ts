import type { PresenceChange } from '../../src/presence/api.ts';
import { PresenceWorld } from '../../src/presence/rules/claims.ts';
import { versionOf } from '../../src/presence/rules/groups.ts';
import { ANY_WORLD, type Caller, type Sighting } from '../../src/presence/rules/lease.ts';
import type { Hold, Moment } from '../../src/presence/rules/record.ts';
import type { WorldRules } from '../../src/presence/rules/session-policy.ts';
import { runningPeriod, visibleRecord } from '../../src/presence/rules/view.ts';
import type {
  Claim,
  ClaimAnswer,
  EndAnswer,
  EndRequest,
  GroupAnswer,
  GroupChange,
  Loss,
  LostByNodes,
  PresenceStore,
  ReapAnswer,
  RenewAnswer,
  RenewRequest,
  RunningPeriod,
  UserRecord,
} from '../../src/presence/store/port.ts';
import type { Duty, PeriodKey } from '../../src/protocol/periods.ts';
import { type Contents, copyInto, type RedisEvents } from './contents.ts';
import { type DutyKey, DutyStream } from './duty-stream.ts';
import { type Mutation, mutatedClaim, mutatedDuty, mutateLeases } from './mutation.ts';
import { type Scheduler, wallAt } from './scheduler.ts';
import { RevocationKeys } from './simulated-revocations.ts';
import type { LineOptions, StoreLine } from './store-line.ts';
import { StoreLink } from './store-link.ts';

export const DEAD_AFTER_MS = 11_000;
/** A look may report a death one renewal ahead, and takes much less time than the rest of this. */
const IDLE_LOOK_MS = 600;

/** A node's connection to Redis, and its store over that connection. */
export interface Connected {
  readonly link: StoreLine;
  readonly store: PresenceStore;
}

export interface SimulatedRedisOptions {
  readonly scheduler: Pick<Scheduler, 'now'>;
  readonly rules: WorldRules;
  readonly mutation: Mutation;
  readonly events: RedisEvents;
  /** Whether the entries of the timelines are kept. */
  readonly keepsChanges?: boolean;
  readonly deadAfterMs?: number;
}

/**
 * One Redis: the scripts of `src/presence/store/redis/scripts` as the rules of `src/presence/rules` compute them, and its faults.
 */
export class SimulatedRedis {
  skewMs = 0;
  runId = 'run-1';
  #runs = 1;
  #contents: Contents;
  #lost = new Map<string, Loss[]>();
  readonly #options: SimulatedRedisOptions;
  readonly #mutation: Mutation;
  readonly #events: RedisEvents;

  constructor(options: SimulatedRedisOptions) {
    this.#options = options;
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

  get revocations(): RevocationKeys {
    return this.#contents.revocations;
  }

  /** Entries of the timelines and the feed, oldest first. */
  get changes(): readonly PresenceChange[] {
    return this.#contents.changes;
  }

  get wall(): number {
    return wallAt(this.#options.scheduler.now, this.skewMs);
  }

  /** A node connects. `lost` receives what its calls take from other nodes. */
  connect(options: LineOptions, lost: (lost: LostByNodes) => void): Connected {
    const link = new StoreLink(options, lost);
    return { link, store: link };
  }

  /** With the rules alone there is nothing to compare. */
  compareState(): void {}

  protected get rules(): WorldRules {
    return this.#options.rules;
  }

  /** FLUSHALL: the same server without its data. */
  wipe(): void {
    this.#contents = this.#empty();
  }

  snapshot(): () => void {
    const kept = copyInto(this.#empty(), this.#contents);
    return () => {
      this.#contents = copyInto(this.#empty(), kept);
    };
  }

  /** Another server from now on: after a restart, or a promoted replica. */
  restart(): void {
    this.#runs += 1;
    this.runId = `run-${this.#runs}`;
  }

  /** `world` names the newest world of the node. Returns undefined if the node has renewed on a newer connection. */
  renew(caller: Caller, request: RenewRequest, world: string | undefined): RenewAnswer | undefined {
    const { leases, losses, onlineCount } = this.world;
    const { wall } = this;
    const { neverRestores, forgetsHighestEpoch } = this.#mutation;
    const restated = request.restored ? (world ?? ANY_WORLD) : undefined;
    const renewal = {
      restatedIn: neverRestores ? ANY_WORLD : restated,
      lived: Number(world?.split(':')[2] ?? 0),
      highestEpoch: forgetsHighestEpoch ? 0 : request.highestEpoch,
    };
    const renewed = leases.renew(caller, renewal, leases.momentAt(wall));
    if (renewed.kind === 'stale') return undefined;
    const waiting = losses.renewed(caller.node, request.acknowledged, wall);
    if (this.#mutation.lossesToldOnce) losses.renewed(caller.node, waiting, wall);
    return { restore: renewed.restore, world: renewed.world, losses: waiting, onlineCount, foreign: [] };
  }

  claim(caller: Caller, batch: readonly Claim[]): readonly ClaimAnswer[] {
    const moment = this.#leased(caller);
    if (moment === undefined) return batch.map(() => ({ kind: 'no-lease' }));
    return batch.map((claim) => {
      const { userId } = claim;
      const record = this.world.recordOf(userId, moment.wall);
      const { epoch: before, period, groups = '' } = record ?? {};
      // A repeated claim gets its old answer.
      const isRepeated = record?.holds.get(caller.node)?.rev === claim.rev;
      const answer = this.#noting(userId, () => this.#take(caller, claim, moment));
      const minted = answer.kind === 'opened' || (answer.kind === 'joined' && claim.mode === 'socket');
      const after = this.world.records.get(userId);
      if (claim.mode === 'restate' && after?.period === period)
        if (versionOf(after?.groups ?? '') > versionOf(groups)) this.#events.groupsReturned?.(userId);
      if (minted && before !== after?.epoch) this.#events.minted(claim, answer);
      else if (answer.kind === 'opened' && !isRepeated)
        this.#events.continued?.({ userId, period: answer.period });
      this.#events.claimed(claim, answer, caller);
      return answer;
    });
  }

  record(caller: Caller, batch: readonly PeriodKey[]): readonly boolean[] {
    const valid = this.#leased(caller) !== undefined;
    return batch.map((opening) => valid && this.world.record(caller.node, opening));
  }

  /** Returns how many are still held. */
  withdraw(caller: Caller, batch: readonly PeriodKey[]): number | 'no-lease' {
    const moment = this.#leased(caller);
    if (moment === undefined) return 'no-lease';
    let left = 0;
    for (const opening of batch) {
      if (this.world.withdraw(caller.node, opening, moment)) this.#events.withdrawn(opening.userId, caller);
      else left += 1;
    }
    return left;
  }

  end(caller: Caller, batch: readonly EndRequest[]): readonly EndAnswer[] {
    const moment = this.#leased(caller);
    if (moment === undefined) return batch.map(() => ({ kind: 'no-lease' }));
    return batch.map((request) => {
      const epoch = this.#mutation.endIgnoresEpoch ? 0 : request.epoch;
      const asked = { ...request, epoch: this.#mutation.strictEnd && epoch > 0 ? epoch - 1 : epoch };
      const answer = this.#noting(request.userId, () => this.world.end(caller.node, asked, moment));
      this.#events.endAsked(request, answer);
      return answer;
    });
  }

  changeGroup(caller: Caller, change: GroupChange): readonly GroupAnswer[] {
    const moment = this.#leased(caller);
    const { add, remove } = change;
    if (moment === undefined) return [...add, ...remove].map(() => ({ kind: 'no-lease' }));
    const answers = this.world.changeGroup(change, moment);
    [...add, ...remove].forEach((userId, index) => {
      const answer = answers[index];
      if (answer !== undefined && 'step' in answer) this.#events.groupsChanged?.(userId);
    });
    return answers;
  }

  /** Whether a look at dead nodes would find none, now and until it is done. */
  hasNothingToReap(): boolean {
    const { leases } = this.world;
    if (leases.dead.size > 0) return false;
    const { observed } = leases.momentAt(this.wall);
    for (const { seen } of leases.nodes.values())
      if (observed - seen >= this.#silence - IDLE_LOOK_MS) return false;
    return true;
  }

  /** Whether a renewal changes nothing but the time of the last sign of life. */
  isSettledIn({ node, lease, runId }: Caller): boolean {
    const { world, nodes } = this.world.leases;
    const held = nodes.get(node);
    return world?.run === runId && held?.lease === lease && held.restored;
  }

  reap(caller: Caller, limit: number): ReapAnswer {
    const { world } = this;
    const moment = this.#leased(caller);
    if (moment === undefined || world.leases.isYoung(moment, true))
      return { ended: [], orphans: 0, nextDeathMs: undefined };
    const { nextDeathMs } = world.leases.buryDead(this.#silence, moment);
    const { reapIgnoresDeadlines, reapIgnoresHttp, neverReaps } = this.#mutation;
    for (const node of world.leases.dead) {
      if (reapIgnoresDeadlines) this.#passDeadlines(node, { socketUntil: 0, httpUntil: 0 });
      if (reapIgnoresHttp) this.#passDeadlines(node, { httpUntil: 0 });
    }
    const reaped = world.reap(neverReaps ? 0 : limit, moment, (node) =>
      this.duties.requeue(node, moment.wall),
    );
    return { ...reaped, nextDeathMs };
  }

  unstated(caller: Caller, rev: number): readonly number[] {
    return this.#leased(caller) === undefined ? [] : this.world.heldBy(caller.node, rev);
  }

  read(node: string, userIds: readonly number[]): readonly (UserRecord | undefined)[] {
    return userIds.map((userId) => visibleRecord(this.world.recordOf(userId, this.wall), node));
  }

  running(userId: number): RunningPeriod | undefined {
    return runningPeriod(this.world.recordOf(userId, this.wall));
  }

  blockLeftMs(userId: number): number {
    const { observed } = this.world.leases.momentAt(this.wall);
    return Math.max(0, (this.world.recordOf(userId, this.wall)?.blockedUntil ?? 0) - observed);
  }

  knows(rows: readonly PeriodKey[]): readonly boolean[] {
    return rows.map((row) => this.world.knows(row, this.wall));
  }

  /** The nodes, and the number of users that each one holds. */
  nodes(): readonly (Sighting & { readonly users: number })[] {
    const { leases } = this.world;
    return leases
      .sightings(leases.momentAt(this.wall))
      .map((sighting) => ({ ...sighting, users: this.world.heldBy(sighting.node).length }));
  }

  acknowledge(duties: readonly DutyKey[]): void {
    const moment = this.world.leases.momentAt(this.wall);
    for (const duty of duties) {
      this.duties.remove(duty);
      this.world.acknowledgeDuty(duty, moment);
    }
  }

  /** What nodes lost by the claims and ends since the last call. */
  takeLost(): LostByNodes {
    const lost = this.#lost;
    this.#lost = new Map();
    return lost;
  }

  /** Records what nodes lose by `work`, which concerns one user. */
  #noting<Answer>(userId: number, work: () => Answer): Answer {
    const { losses } = this.world;
    const before = new Map([...losses].map(([node, ofNode]) => [node, ofNode.get(userId)]));
    const answer = work();
    for (const [node, ofNode] of losses) {
      const loss = ofNode.get(userId);
      if (loss === undefined || loss === before.get(node)) continue;
      this.#lost.set(node, [...(this.#lost.get(node) ?? []), loss]);
    }
    return answer;
  }

  #take(caller: Caller, asked: Claim, moment: Moment): ClaimAnswer {
    const { world } = this;
    const claim = mutatedClaim(this.#mutation, world, {
      node: caller.node,
      claim: asked,
      wall: moment.wall,
    });
    const answer = world.claim(caller.node, claim, moment);
    if (this.#mutation.takeOverTellsNobody && claim.mode === 'socket') {
      for (const [node] of world.losses) if (node !== caller.node) world.losses.forget(node, claim.userId);
    }
    return answer;
  }

  #passDeadlines(node: string, passed: Partial<Hold>): void {
    for (const record of this.world.records.values()) {
      const hold = record.holds.get(node);
      if (hold !== undefined) Object.assign(hold, passed);
    }
  }

  /** The moment of a script under a valid lease. Undefined without a lease. */
  #leased(caller: Caller): Moment | undefined {
    const { leases } = this.world;
    const moment = leases.momentAt(this.wall);
    return leases.signOfLife(caller, moment) ? moment : undefined;
  }

  get #silence(): number {
    const { deadAfterMs = DEAD_AFTER_MS } = this.#options;
    return this.#mutation.reapsWithoutGrace ? deadAfterMs - 6000 : deadAfterMs;
  }

  #empty(): Contents {
    const changes: PresenceChange[] = [];
    const { rules, keepsChanges } = this.#options;
    const duties = new DutyStream();
    const record = (duty: Omit<Duty, 'id'>): void => {
      const recorded = mutatedDuty(this.#mutation, duty, this.wall);
      this.#events.ended(recorded ?? duty);
      if (recorded !== undefined) duties.append(recorded, this.wall);
    };
    const world = new PresenceWorld(rules, record, (change) => {
      if (keepsChanges) changes.push(change);
    });
    mutateLeases(this.#mutation, world.leases);
    return { world, duties, revocations: new RevocationKeys(), changes };
  }
}
