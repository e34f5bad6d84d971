import { expect } from 'vitest';
import { PresenceWorld } from '../../src/presence/rules/claims.ts';
import type { Moment } from '../../src/presence/rules/record.ts';
import type { WorldRules } from '../../src/presence/rules/session-policy.ts';
import type { Claim, ClaimAnswer, EndAnswer, Loss } from '../../src/presence/store/port.ts';
import { RedisPresenceStore } from '../../src/presence/store/redis/store.ts';
import type { Duty } from '../../src/protocol/periods.ts';
import type { RedisLink } from '../../src/redis/link.ts';
import { claimOf, takeLease } from './presence-subject.ts';

/** Longer than any run: whether a deadline has passed never depends on how fast the machine is. */
const LONG_MS = 3_600_000;
/** Less than this is left of the deadline of a socket that is silent. */
const LIVELY_LEFT_MS = LONG_MS / 2;
const NODES = 3;
const USERS = 3;

let runs = 0;

export const OPERATIONS = [
  ...['socket', 'http', 'beat', 'held', 'silent', 'linger', 'nothing', 'restate', 'repeat', 'stale'],
  ...['record', 'withdraw', 'end', 'renew', 'acknowledge'],
] as const;

export interface ModelCommand {
  readonly operation: (typeof OPERATIONS)[number];
  readonly node: number;
  readonly user: number;
  readonly pick: number;
}

/** A period or an epoch as both sides number it: their clocks differ, the order does not. */
interface Numbered {
  readonly world: number;
  readonly redis: number;
}

function momentNow(): Moment {
  return { wall: Date.now(), observed: performance.now() };
}

/** The rules of presence and the scripts of Redis, given the same commands. Throws where they disagree. */
export class PresenceModel {
  /** Breaks the model on purpose: ends carry no epoch on its side. */
  forgetEpochs = false;
  readonly #world: PresenceWorld;
  readonly #nodes: readonly string[];
  readonly #stores: readonly RedisPresenceStore[];
  readonly #users: readonly number[];
  readonly #worldDuties: Omit<Duty, 'id'>[] = [];
  readonly #redisDuties: Duty[] = [];
  readonly #periods = new Map<number, Numbered[]>();
  readonly #epochs = new Map<number, Numbered[]>();
  readonly #last = new Map<string, Claim>();
  readonly #rev: number[] = Array.from({ length: NODES }, () => 10);

  private constructor(rules: WorldRules, link: RedisLink) {
    runs += 1;
    this.#world = new PresenceWorld(rules, (duty) => this.#worldDuties.push(duty));
    this.#nodes = Array.from({ length: NODES }, (_, index) => `model-${runs}-${index}`);
    this.#users = Array.from({ length: USERS }, (_, index) => 1_000_000 + runs * USERS + index);
    this.#stores = this.#nodes.map(
      (node) =>
        new RedisPresenceStore({
          ...rules,
          ...{
            link,
            node,
            prefix: '',
            deadAfterMs: LONG_MS,
            feedLength: 1000,
            timelineTtlMs: LONG_MS,
            now: () => Date.now(),
          },
        }),
    );
  }

  static async begin(link: RedisLink, policy: WorldRules['policy']): Promise<PresenceModel> {
    const limits = { maxConnectionsPerUser: 3, lastSeenTtlMs: LONG_MS, livelyLeftMs: LIVELY_LEFT_MS };
    const model = new PresenceModel({ policy, ...limits }, link);
    for (const store of model.#stores) await takeLease(store);
    return model;
  }

  async apply(command: ModelCommand): Promise<void> {
    const user = this.#user(command);
    for (const node of this.#nodes) this.#world.leases.note(node, momentNow());
    switch (command.operation) {
      case 'socket':
      case 'http':
      case 'beat':
      case 'held':
      case 'silent':
      case 'linger':
      case 'nothing':
      case 'restate':
        return this.#claim(command, this.#statement(command));
      case 'repeat':
      case 'stale':
        return this.#repeat(command);
      case 'record':
        return this.#record(command, user);
      case 'withdraw':
        return this.#withdraw(command, user);
      case 'end':
        return this.#end(command, user);
      case 'renew':
        return this.#renew(command);
      case 'acknowledge':
        return this.#acknowledge(command);
    }
  }

  /** What both sides show in the end: who is online, how, and which duties were recorded. */
  async compareAll(): Promise<void> {
    await this.#takeDuties(0);
    const shape = (duty: Omit<Duty, 'id'>, side: keyof Numbered) => ({
      ...{ user: duty.userId, reason: duty.reason },
      period: this.#indexOf(this.#periods, { userId: duty.userId, value: duty.period }, side),
    });
    const ours = new Set(this.#users);
    const redis = this.#redisDuties
      .filter(({ userId }) => ours.has(userId))
      .map((duty) => shape(duty, 'redis'));
    expect(redis).toEqual(this.#worldDuties.map((duty) => shape(duty, 'world')));
    for (const user of this.#users) await this.#compare(user);
  }

  #user({ user }: ModelCommand): number {
    return this.#users[user] ?? 0;
  }

  #store({ node }: ModelCommand): RedisPresenceStore {
    const store = this.#stores[node];
    if (store === undefined) throw new Error('no such node');
    return store;
  }

  #node({ node }: ModelCommand): string {
    return this.#nodes[node] ?? '';
  }

  #nextRev(node: number): number {
    const rev = (this.#rev[node] ?? 0) + 1;
    this.#rev[node] = rev;
    return rev;
  }

  #statement(command: ModelCommand): { readonly world: Claim; readonly redis: Claim } {
    const userId = this.#user(command);
    const rev = this.#nextRev(command.node);
    const { pick } = command;
    const lasting = { untilMs: LONG_MS, socketMs: LONG_MS, httpMs: pick % 3 === 0 ? LONG_MS : 0 };
    const both = (claim: Claim) => ({ world: claim, redis: claim });
    switch (command.operation) {
      case 'socket':
        return both(
          claimOf(userId, { mode: 'socket', rev, ...lasting, rivals: pick % 3, sockets: 1 + (pick % 3) }),
        );
      case 'http':
        return both(claimOf(userId, { mode: 'http', rev, ...lasting, socketMs: 0, httpMs: LONG_MS }));
      case 'beat':
        return both(claimOf(userId, { mode: 'beat', rev, ...lasting, socketMs: 0, httpMs: LONG_MS }));
      case 'held':
        return both(claimOf(userId, { mode: 'state', rev, ...lasting, sockets: 1 }));
      case 'silent':
        return both(
          claimOf(userId, { mode: 'state', rev, ...lasting, socketMs: LIVELY_LEFT_MS / 2, sockets: 1 }),
        );
      case 'linger':
        return both(claimOf(userId, { mode: 'state', rev, ...lasting, sockets: 0 }));
      case 'restate': {
        const known = this.#periods.get(userId) ?? [];
        const period = known[pick % Math.max(1, known.length)] ?? { world: 5, redis: 5 };
        const restated = (value: number) =>
          claimOf(userId, { mode: 'restate', rev, ...lasting, period: value, loginTime: value, epoch: 0 });
        return { world: restated(period.world), redis: restated(period.redis) };
      }
      default:
        return both(claimOf(userId, { mode: 'state', rev, sockets: 0, socketMs: 0, httpMs: 0, untilMs: 0 }));
    }
  }

  /** The same statement again, or one whose time is over. */
  async #repeat(command: ModelCommand): Promise<void> {
    const last = this.#last.get(`${command.node}:${command.user}`);
    if (last === undefined) return;
    const claim = {
      ...last,
      rev: command.operation === 'repeat' ? last.rev : last.rev - 1 - (command.pick % 3),
    };
    // A statement that names a period means another number to each side.
    if (claim.mode !== 'restate') await this.#claim(command, { world: claim, redis: claim });
  }

  async #claim(
    command: ModelCommand,
    claims: { readonly world: Claim; readonly redis: Claim },
  ): Promise<void> {
    const ours = this.#world.claim(this.#node(command), claims.world, momentNow());
    const [theirs] = await this.#store(command).claim([claims.redis]);
    this.#last.set(`${command.node}:${command.user}`, claims.world);
    this.#agree(claims.world.userId, ours, theirs);
    await this.#compare(claims.world.userId);
  }

  async #record(command: ModelCommand, userId: number): Promise<void> {
    const period = this.#periodOf(userId, command.pick);
    if (period === undefined) return;
    const ours = this.#world.record(this.#node(command), { userId, period: period.world });
    expect(await this.#store(command).record([{ userId, period: period.redis }])).toEqual([ours]);
    await this.#compare(userId);
  }

  async #withdraw(command: ModelCommand, userId: number): Promise<void> {
    const period = this.#periodOf(userId, command.pick);
    if (period === undefined) return;
    const isDone = this.#world.withdraw(this.#node(command), { userId, period: period.world }, momentNow());
    const given = this.#store(command).withdraw([{ userId, period: period.redis }]);
    expect(
      await given.then(
        () => true,
        () => false,
      ),
    ).toBe(isDone);
    await this.#compare(userId);
  }

  async #end(command: ModelCommand, userId: number): Promise<void> {
    const epochs = this.#epochs.get(userId) ?? [];
    const epoch = command.pick === 0 ? undefined : epochs.at(-1 - (command.pick % 3));
    const isKick = command.pick % 2 === 1;
    // Blocks are lifted more often than set: otherwise little else would happen.
    const blockMs = new Map([
      [4, 0],
      [5, LONG_MS],
      [6, 0],
    ]).get(command.pick);
    const request = {
      ...{ userId, reason: isKick ? ('kick' as const) : ('logout' as const) },
      ...(isKick ? { note: 'a|b 作弊' } : {}),
      ...(blockMs === undefined ? {} : { blockMs }),
    };
    const ask = (value: number | undefined) => ({
      ...request,
      epoch: value ?? 0,
      proofAgeMs: -1,
    });
    const node = this.#node(command);
    const ours = this.#world.end(node, ask(this.forgetEpochs ? 0 : epoch?.world), momentNow());
    const [theirs] = await this.#store(command).end([ask(epoch?.redis)]);
    this.#agree(userId, ours, theirs);
    await this.#compare(userId);
  }

  async #renew(command: ModelCommand): Promise<void> {
    const store = this.#store(command);
    const told = this.#world.losses.renewed(this.#node(command), [], Date.now());
    const { losses } = await store.renew({ highestEpoch: 0, restored: true, acknowledged: [] });
    const sorted = (list: Iterable<Loss>) => [...list].sort((left, right) => left.userId - right.userId);
    expect(sorted(losses)).toEqual(sorted(told));
    if (command.pick % 2 === 0) return;
    await store.renew({ highestEpoch: 0, restored: true, acknowledged: losses });
    this.#world.losses.renewed(this.#node(command), told, Date.now());
  }

  async #acknowledge(command: ModelCommand): Promise<void> {
    await this.#takeDuties(command.node);
    const ours = new Set(this.#users);
    const mine = this.#redisDuties.filter(({ userId }) => ours.has(userId));
    const index = command.pick % Math.max(1, mine.length);
    const [theirs, own] = [mine[index], this.#worldDuties[index]];
    if (theirs === undefined || own === undefined) return;
    this.#world.acknowledgeDuty(own, momentNow());
    await this.#store(command).ackDuties([theirs]);
    await this.#compare(own.userId);
  }

  async #takeDuties(node: number): Promise<void> {
    this.#redisDuties.push(...((await this.#stores[node]?.takeDuties(10_000)) ?? []));
  }

  #agree(userId: number, ours: ClaimAnswer | EndAnswer, theirs: ClaimAnswer | EndAnswer | undefined): void {
    expect(theirs?.kind).toBe(ours.kind);
    if (ours.kind === 'refused' && theirs?.kind === 'refused') expect(theirs.code).toBe(ours.code);
    if ((ours.kind === 'opened' || ours.kind === 'joined') && theirs?.kind === ours.kind) {
      this.#same(this.#periods, userId, { world: ours.period, redis: theirs.period });
      this.#same(this.#epochs, userId, { world: ours.epoch, redis: theirs.epoch });
    }
    if (ours.kind === 'opened' && theirs?.kind === 'opened') {
      expect(theirs.unsettled === undefined).toBe(ours.unsettled === undefined);
      if (ours.unsettled !== undefined && theirs.unsettled !== undefined)
        this.#same(this.#periods, userId, { world: ours.unsettled, redis: theirs.unsettled });
    }
    if (ours.kind === 'ended' && theirs?.kind === 'ended') {
      expect(theirs.end.reason).toBe(ours.end.reason);
      this.#same(this.#periods, userId, { world: ours.end.period, redis: theirs.end.period });
      this.#same(this.#epochs, userId, { world: ours.end.epoch, redis: theirs.end.epoch });
    }
  }

  /** Two numbers are the same period or epoch: new on both sides, and greater than all before, or known as a pair. */
  #same(all: Map<number, Numbered[]>, userId: number, pair: Numbered): void {
    const known = all.get(userId) ?? [];
    all.set(userId, known);
    const index = known.findIndex(({ world }) => world === pair.world);
    if (index >= 0) {
      expect(pair).toEqual(known[index]);
      return;
    }
    expect(known.map(({ redis }) => redis)).not.toContain(pair.redis);
    known.push(pair);
    known.sort((left, right) => left.world - right.world);
    expect(known.map(({ redis }) => redis)).toEqual(known.map(({ redis }) => redis).sort((a, b) => a - b));
  }

  #periodOf(userId: number, pick: number): Numbered | undefined {
    const known = this.#periods.get(userId) ?? [];
    return pick === 6 ? known[0] : known.at(-1);
  }

  #indexOf(
    all: Map<number, Numbered[]>,
    asked: { readonly userId: number; readonly value: number | undefined },
    side: keyof Numbered,
  ): number {
    return (all.get(asked.userId) ?? []).findIndex((pair) => pair[side] === asked.value);
  }

  async #compare(userId: number): Promise<void> {
    const record = this.#world.records.get(userId);
    const [theirs] = (await this.#stores[0]?.read([userId])) ?? [];
    const isOnline = record !== undefined && record.holds.size > 0 && record.recorded;
    const status = isOnline ? 'online' : record?.last === undefined ? undefined : 'offline';
    expect(theirs?.status).toBe(status);
    if (record === undefined) {
      // An opening that was withdrawn was never accepted: its numbers may be given out again within the millisecond.
      this.#periods.delete(userId);
      this.#epochs.delete(userId);
    }
    if (record === undefined || theirs === undefined) return;
    const sockets = isOnline ? [...record.holds.values()].reduce((sum, hold) => sum + hold.sockets, 0) : 0;
    expect(theirs.sockets).toBe(sockets);
    const value = isOnline ? record.period : record.last?.period;
    expect(this.#indexOf(this.#periods, { userId, value: theirs.period }, 'redis')).toBe(
      this.#indexOf(this.#periods, { userId, value }, 'world'),
    );
    const newest = this.#periods.get(userId)?.at(-1);
    if (newest === undefined) return;
    const running = record.holds.size > 0 && record.period === newest.world;
    const [knows] = (await this.#stores[0]?.knows([{ userId, period: newest.redis }])) ?? [];
    expect(knows).toBe(running || record.unsettled.includes(newest.world));
  }
}
