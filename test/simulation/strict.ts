import type { AdmittedLogin } from '../../src/presence/api.ts';
import type { Caller } from '../../src/presence/rules/lease.ts';
import { isOnline } from '../../src/presence/rules/record.ts';
import type { Claim, ClaimAnswer, EndAnswer, EndRequest } from '../../src/presence/store/port.ts';
import type { Duty, PeriodRow } from '../../src/protocol/periods.ts';
import { RECONCILE_AFTER_MS } from '../../src/settlement/reconciler.ts';
import type { ClientSocket } from './client.ts';
import type { RedisEvents } from './contents.ts';
import type { Fault } from './faults.ts';
import { type Scheduler, wallAt } from './scheduler.ts';
import {
  HEARTBEAT_TIMEOUT_MS,
  HTTP_TIMEOUT_MS,
  RESPONSIVE_FOR_MS,
  type Rules,
  type SimulatedNode,
} from './simulated-node.ts';
import type { SimulatedRedis } from './simulated-redis.ts';
import type { SimulatedSql } from './simulated-sql.ts';
import { Spells, troubledSince } from './spells.ts';
import { ASKED_WITHIN_MS, REPEATED_WITHIN_MS } from './troubles.ts';
import type { Witness } from './witness.ts';
import { nextLoginAfter, type Stay } from './witness-facts.ts';

/** The slowest tick, the way to Redis, and a call in progress. */
const FOUND_WITHIN_MS = 600;
/** A node that is gone refuses nobody any more, and a living node has reported a close by then (rule PR4). */
const RESPONSIVE_MS = 3500;
/** A silent socket refuses nobody (rule PR4). This includes time for the way to Redis. */
const SILENT_MS = RESPONSIVE_FOR_MS + 300;
/** Nodes write signs of life this often (rule ST5), unless their connection to SQL is bad. */
const LIFE_NOTED_MS = 6500;
/** A node reports to SQL within this time that a period has moved. */
const MOVED_WITHIN_MS = 1000;
/** After an outage of SQL: a hanging statement fails after 5 s, and a sign of life follows within another 5 s. */
const WRITTEN_AFTER_MS = 10_500;
/** From a reconciler's look at presence to its settlement: two statements, of at most 5 s and 3 s, and the way to Redis. */
const RECONCILED_WITHIN_MS = 9000;
const ROUNDING_MS = 30;
/** The clocks of nodes differ a little. */
const SKEW_MS = 50;
/** Answers after which a claim counts. */
const TAKEN: ReadonlySet<string> = new Set(['opened', 'joined', 'held', 'released', 'ended']);
const SQL_FAULTS = ['sql-down', 'sql-hangs', 'sql-slow', 'sql-replies-lost'] as const;

interface StrictWorld {
  readonly scheduler: Scheduler;
  readonly redis: () => SimulatedRedis;
  readonly sql: SimulatedSql;
  readonly rules: Rules;
  readonly witness: Witness;
  readonly nodes: () => readonly SimulatedNode[];
  /** The faults that may happen in this history. */
  readonly faults: readonly Fault[];
}

/** Rules that need no tolerance in histories without certain faults. */
export class Strict implements RedisEvents {
  readonly #world: StrictWorld;
  readonly #sockets = new Map<number, ClientSocket[]>();
  /** For each user, the newest opened period that a client knows. */
  readonly #openings = new Map<number, number>();
  /** For each user, the newest period that Redis had since it last lost its data. */
  readonly #periods = new Map<number, number>();
  #periodsSince = Number.NEGATIVE_INFINITY;
  /** For each user, the latest deadline in any claim since the last period ended, on the clock of Redis. */
  readonly #until = new Map<number, number>();
  readonly #mintedFor = new Map<string, number>();
  readonly #newestMinted = new Map<number, number>();
  readonly #mintedAt = new Map<number, number>();
  /** For each period, where its user came last, and the last proof of life there. */
  readonly #stays = new Map<string, Stay>();
  readonly #visits = new Set<string>();
  /** For each user and node, how long the claimed proofs by HTTP count. */
  readonly #httpUntil = new Map<number, Map<string, number>>();
  readonly #duties = new Map<string, Omit<Duty, 'id'>[]>();
  /** Ended periods that a node restored while SQL was silent, until they end again. */
  readonly #cameBack = new Set<string>();
  /** When SQL last had the row of a period open that a node restored late. */
  readonly #openAt = new Map<string, number>();
  /** Includes nodes that are gone, because their last calls may still be on their way. */
  readonly #nodes = new Set<SimulatedNode>();

  constructor(world: StrictWorld) {
    this.#world = world;
  }

  /** A node accepted a login. */
  accepted({ userId, period, resumed }: AdmittedLogin): void {
    const { sql, rules, witness } = this.#world;
    if (rules.loginResetsTime && !resumed && !sql.rows.has(`${userId}:${period}`))
      witness.violated(`[ST9] ${userId}:${period} is answered before SQL has it`);
    if (resumed || this.#mayFail(...SQL_FAULTS)) return;
    const newest = this.#openings.get(userId) ?? 0;
    this.#openings.set(userId, Math.max(newest, period));
    // Only SQL knew it, and SQL did not answer (bound `stepped-number`).
    const isKnown = !witness.redisFell || witness.lostMemoryAt < 0;
    if (period < newest && isKnown) witness.violated(`[PR2] ${userId}:${period} is opened after ${newest}`);
  }

  connected(socket: ClientSocket): void {
    const { userId } = socket.device;
    const ofUser = this.#sockets.get(userId)?.filter((known) => this.#isThere(known)) ?? [];
    this.#sockets.set(userId, [...ofUser, socket]);
  }

  /** A node refused a connection. */
  refused(userId: number, code: string): void {
    const { witness } = this.#world;
    if (!this.#mayFail() && (code === 'presence-unavailable' || code === 'settlement-unavailable'))
      witness.violated(`[PR1] user ${userId} is refused: ${code}, and nothing had happened`);
    const { policy } = this.#world.rules;
    const byPolicy = policy === 'reject' ? 'session-exists' : policy === 'replace' ? 'session-flapping' : '';
    if (code !== byPolicy || this.#isTroubled()) return;
    // If no node checks the clock, its time is not charged.
    const since = this.#world.scheduler.now - RESPONSIVE_MS;
    if (!this.#world.nodes().some(({ isUp, startedAt }) => isUp && startedAt < since)) return;
    if ((this.#mintedAt.get(userId) ?? 0) > this.#world.scheduler.now - SILENT_MS) return;
    if (!(this.#sockets.get(userId) ?? []).some((socket) => this.#mayRefuse(socket)))
      witness.violated(`[PR4] user ${userId} is refused (${code}), and has no socket that shows life`);
  }

  /** The user came to a node, by a socket or by HTTP. The node reports to SQL that it has the period now. */
  came(userId: number, period: number, node: string): void {
    const present = this.#world.nodes().find(({ name }) => name === node);
    if (present !== undefined) this.#nodes.add(present);
    const key = `${userId}:${period}`;
    const visit = `${key} ${node}`;
    // If the node already has the period, it reports nothing when its user comes back.
    if (this.#visits.has(visit)) this.#stays.delete(key);
    else this.#stays.set(key, { node, since: this.#world.scheduler.now, provenAt: 0 });
    this.#visits.add(visit);
  }

  /** A proof counts only if it comes before SQL has the end of the period. */
  proved(userId: number, period: number, node: string): void {
    const stay = this.#stays.get(`${userId}:${period}`);
    const isOpen = this.#world.sql.rows.get(`${userId}:${period}`)?.settledAt == null;
    if (isOpen && stay?.node === node) stay.provenAt = this.#world.scheduler.now;
  }

  /** Another node has the user too (bound `two-holders`). Only a login by socket shows that the user stays there. */
  #joined(key: string, node: string): void {
    const stay = this.#stays.get(key);
    if (stay !== undefined && stay.node !== node) this.#stays.delete(key);
  }

  /** Two nodes have the user, and SQL knows one of them. Nobody can say which one (bound `two-holders`). */
  isInTwoPlaces(userId: number, period: number, node: string): void {
    this.came(userId, period, node);
    this.#stays.delete(`${userId}:${period}`);
  }

  minted({ userId }: Claim, answer: Extract<ClaimAnswer, { kind: 'opened' | 'joined' }>): void {
    this.#newestMinted.set(userId, Math.max(this.#newestMinted.get(userId) ?? 0, answer.epoch));
    this.#mintedAt.set(userId, this.#world.scheduler.now);
  }

  claimed(claim: Claim, answer: ClaimAnswer, { node }: Caller): void {
    if (answer.kind === 'joined' && claim.mode !== 'restate')
      this.#joined(`${claim.userId}:${answer.period}`, node);
    // The node holds nothing: it gave up the opening that it had claimed.
    if (answer.kind === 'gone') this.#httpUntil.get(claim.userId)?.delete(node);
    if (!TAKEN.has(answer.kind)) return;
    this.#noteHttp(claim, node);
    const until = this.#wall + claim.untilMs;
    this.#until.set(claim.userId, Math.max(this.#until.get(claim.userId) ?? 0, until));
    if (answer.kind !== 'opened' && answer.kind !== 'joined') return;
    const { witness } = this.#world;
    const { userId, mode, rev, floor } = claim;
    if (answer.kind === 'opened' && answer.period < floor)
      witness.violated(`[PR2] ${userId}:${answer.period} is opened on ${node}, and SQL knows of ${floor}`);
    if (this.#periodsSince !== witness.lostMemoryAt) this.#periods.clear();
    this.#periodsSince = witness.lostMemoryAt;
    const newest = this.#periods.get(userId) ?? 0;
    // A period that a node restores while SQL is silent is the newest one from then on (bound `silent-sql`).
    const mayBeOld = mode === 'restate' && this.#isSqlSilent();
    // An opening that was given up does not count.
    if (answer.kind === 'joined')
      this.#periods.set(userId, mayBeOld ? answer.period : Math.max(newest, answer.period));
    if (answer.period < newest && !mayBeOld)
      witness.violated(`[PR2] ${userId}:${answer.period} is joined on ${node} after ${newest}`);
    if (witness.lostMemoryAt >= 0) return;
    if (mode === 'restate') this.#judgeRestored(claim, answer.period, node);
    if (mode !== 'socket') return;
    const claimKey = `${node} ${userId} ${rev}`;
    const before = this.#mintedFor.get(claimKey);
    this.#mintedFor.set(claimKey, answer.epoch);
    if (before !== undefined && before !== answer.epoch)
      witness.violated(`[PR3] one claim of ${node} got user ${userId} epochs ${before}, ${answer.epoch}`);
  }

  /**
   * If a node thaws while SQL is silent, it restores all its periods (bound `silent-sql`). From then on Redis runs that period, and
   * the next restore returns its groups.
   */
  #judgeRestored({ userId, serviceGroups }: Claim, period: number, node: string): void {
    const key = `${userId}:${period}`;
    if (!this.#duties.has(key)) return;
    if (this.#isSqlSilent()) this.#cameBack.add(key);
    else if (serviceGroups === '' || !this.#cameBack.has(key))
      this.#world.witness.violated(`[PR7] ${key} is restored by ${node} and had ended`);
  }

  withdrawn(userId: number, { node }: Caller): void {
    this.#httpUntil.get(userId)?.delete(node);
  }

  ended(duty: Omit<Duty, 'id'>): void {
    const { witness } = this.#world;
    const key = `${duty.userId}:${duty.period}`;
    this.#duties.set(key, [...(this.#duties.get(key) ?? []), duty]);
    this.#cameBack.delete(key);
    this.#checkHttp(duty);
    this.#checkUntil(duty);
    if (this.#mayFail() || duty.reason !== 'timeout') return;
    const late = this.#wall - duty.logoutAt;
    if (late > FOUND_WITHIN_MS) witness.violated(`[HB4] ${key} is ended ${late} ms after its deadline`);
  }

  endAsked({ userId, epoch }: EndRequest, answer: EndAnswer): void {
    const { witness } = this.#world;
    const newest = this.#newestMinted.get(userId) ?? 0;
    if (answer.kind === 'superseded' && epoch >= newest)
      witness.violated(`[PR7] user ${userId}: a logout of the newest epoch ${epoch} is refused`);
  }

  /** Runs between any two steps. */
  check(): void {
    const { redis, sql, witness, nodes } = this.#world;
    for (const node of nodes()) this.#nodes.add(node);
    for (const key of witness.restoredLate.keys())
      if (sql.rows.get(key)?.settledAt == null) this.#openAt.set(key, this.#world.scheduler.now);
    for (const { userId, period, recorded } of redis().world.records.values()) {
      const key = `${userId}:${period}`;
      // Bounds `rollback` and `silent-sql`, `lost-duty`, `early-logout`.
      const { broughtBack, dutiesLost, restoredLate } = witness;
      const mayRun = broughtBack.has(key) || dutiesLost.has(key) || restoredLate.has(key);
      if (recorded && sql.rows.get(key)?.settledAt != null && !mayRun)
        witness.violated(`[ST4] ${key} is settled while it runs`);
    }
  }

  /** After a calm time SQL has what it could not take before (rule ST4). */
  checkCalm(): void {
    const { redis, sql, witness } = this.#world;
    // If a node died before it wrote a row, the duty of the end writes it.
    if (witness.nodeDied) return;
    for (const record of redis().world.records.values()) {
      const key = `${record.userId}:${record.period}`;
      if (isOnline(record) && !sql.rows.has(key)) witness.violated(`[ST4] ${key} runs and is not in SQL`);
    }
  }

  /** Whether SQL may have been silent when a node asked for ended periods. The node waits only for this long. */
  #isSqlSilent(): boolean {
    const { scheduler, witness } = this.#world;
    return witness.sqlTroubles.touches(scheduler.now - ASKED_WITHIN_MS, scheduler.now);
  }

  /** Runs after everything has ended and is settled. */
  checkHealed(): void {
    const { witness } = this.#world;
    for (const [key, duties] of this.#duties)
      if (!witness.dutiesLost.has(key)) this.#checkSettled(key, duties);
    for (const [key, stay] of this.#stays) this.#checkReconciled(key, stay);
  }

  #noteHttp({ userId, httpMs }: Claim, node: string): void {
    const ofUser = this.#httpUntil.get(userId) ?? new Map<string, number>();
    this.#httpUntil.set(userId, ofUser);
    ofUser.set(node, httpMs > 0 ? this.#world.scheduler.now + httpMs : 0);
  }

  /** A claimed proof by HTTP counts until its end, even if its node dies (rules HB1, PR1). */
  #checkHttp({ userId, period, reason, node }: Omit<Duty, 'id'>): void {
    const { scheduler, witness } = this.#world;
    const ofUser = this.#httpUntil.get(userId) ?? new Map<string, number>();
    this.#httpUntil.delete(userId);
    // The claim that ends the period may withdraw a proof that was not accepted.
    if (reason === 'timeout') ofUser.delete(node);
    else if (reason !== 'node-lost') return;
    const left = Math.max(0, ...ofUser.values()) - scheduler.now;
    const wasLate = witness.slowUntil > scheduler.now - 2 * HTTP_TIMEOUT_MS;
    // Bounds `restoring` and `rollback`. After a step of Redis's clock, bound `charged`.
    const hasStepped = witness.redisSteps.touches(scheduler.now - HTTP_TIMEOUT_MS, scheduler.now);
    const isForgotten = scheduler.now < witness.returnedAt + HTTP_TIMEOUT_MS;
    if (left > ROUNDING_MS && !isForgotten && !hasStepped && !wasLate)
      witness.violated(
        `[HB1] ${userId}:${period} ends (${reason}) ${left} ms before a claimed proof by HTTP`,
      );
  }

  /** The holds of a dead node end no later than some claim has said (rule ST5). */
  #checkUntil({ userId, period, reason, loginAt, logoutAt }: Omit<Duty, 'id'>): void {
    const { witness, scheduler } = this.#world;
    const latest = Math.max(loginAt, this.#until.get(userId) ?? 0);
    this.#until.delete(userId);
    // A rollback may bring back a hold whose proof a logout had voided (bound `rollback`). A step of Redis's clock changes the
    // wall-clock time of earlier claims (bound `wall-clock`).
    const hasStepped = witness.redisSteps.touches(scheduler.now - HTTP_TIMEOUT_MS, scheduler.now);
    const isBack = witness.rolledBack && scheduler.now < witness.returnedAt + HTTP_TIMEOUT_MS;
    if (reason !== 'node-lost' || hasStepped || isBack || witness.broughtBack.has(`${userId}:${period}`))
      return;
    if (logoutAt > latest + ROUNDING_MS)
      witness.violated(
        `[ST5] ${userId}:${period} (${reason}) ends ${logoutAt - latest} ms later than claimed`,
      );
  }

  #checkSettled(key: string, duties: readonly Omit<Duty, 'id'>[]): void {
    const { sql, witness } = this.#world;
    const row = sql.rows.get(key);
    const due = duties.reduce((latest, { logoutAt }) => Math.max(latest, logoutAt), 0);
    if (row === undefined || row.settledAt === null) return;
    // A period that was reconciled and came back by a rollback has two logout times. The later one counts (rule ST2).
    if (witness.broughtBack.has(key) && (row.logoutAt ?? 0) >= due) return;
    // So has a period that its node restored while another node reconciled it (bound `crossed`).
    if (row.reason === 'reconciled' && (row.logoutAt ?? 0) > due && this.#wasCrossed(key)) return;
    if (row.reason === 'reconciled' || row.logoutAt !== due)
      witness.violated(
        `[ST2] ${key} ended for ${duties[0]?.reason} at ${due}, in SQL for ${row.reason} at ${row.logoutAt}`,
      );
  }

  /** Whether the row was settled by a look at presence that may be older than the restore of its period. */
  #wasCrossed(key: string): boolean {
    const restoredAt = this.#world.witness.restoredLate.get(key);
    if (restoredAt === undefined) return false;
    const openAt = this.#openAt.get(key) ?? restoredAt;
    const frozenMs = [...this.#nodes].map(({ frozen }) => frozen.msWithin(restoredAt, openAt));
    return openAt - restoredAt - Math.max(0, ...frozenMs) < RECONCILED_WITHIN_MS;
  }

  /** A reconciled period ends no sooner than one timeout after its node's last known life (rule ST5). */
  #checkReconciled(key: string, { node, since, provenAt }: Stay): void {
    const { sql, witness, redis } = this.#world;
    const row = sql.rows.get(key);
    // A node reconciles by its own clock (bound `wall-clock`).
    if (row?.reason !== 'reconciled' || row.logoutAt === null || witness.stepped) return;
    // While SQL took nothing or the node was frozen, the node could write neither a sign of life nor the move (bound
    // `unwritten-life`).
    const hindered = [witness.sqlTroubles, this.#nodeOf(node)?.frozen ?? new Spells()];
    const untouched = troubledSince(provenAt, WRITTEN_AFTER_MS, ...hindered);
    if (untouched < since + MOVED_WITHIN_MS) return;
    const noted = untouched - LIFE_NOTED_MS;
    const early = wallAt(noted, redis().skewMs) + HEARTBEAT_TIMEOUT_MS - row.logoutAt;
    const next = nextLoginAfter(sql.rows.values(), row);
    if (early > 0 && row.logoutAt < next - SKEW_MS && !this.#isEndedAtOnce(row, node))
      witness.violated(`[ST5] ${key} is reconciled ${early} ms too early, on ${row.node}`);
  }

  /**
   * A reconciled logout is never later than its settlement. It may count to that moment while the user still shows life on the node.
   * The node was frozen or cut off, and could not restore the period, for the 12 s after which a row is settled (bound `early-logout`).
   */
  #isEndedAtOnce({ logoutAt, settledAt }: PeriodRow, name: string): boolean {
    const node = this.#nodeOf(name);
    if (node === undefined || logoutAt === null || logoutAt !== settledAt) return false;
    const at = settledAt - wallAt(0, this.#world.redis().skewMs);
    return troubledSince(at, REPEATED_WITHIN_MS, node.troubles) <= at - RECONCILE_AFTER_MS;
  }

  #nodeOf(name: string): SimulatedNode | undefined {
    return [...this.#nodes].find((node) => node.name === name);
  }

  get #wall(): number {
    return wallAt(this.#world.scheduler.now, this.#world.redis().skewMs);
  }

  /** Whether some of `kinds`, or any fault at all, may happen in this history. */
  #mayFail(...kinds: readonly Fault[]): boolean {
    const { faults } = this.#world;
    return kinds.length === 0 ? faults.length > 0 : kinds.some((kind) => faults.includes(kind));
  }

  /** Whether Redis, SQL or a node was in trouble lately. Redis may still know a socket that is gone (bound `stale-rival`). */
  #isTroubled(): boolean {
    const { scheduler, witness } = this.#world;
    const [since, now] = [scheduler.now - SILENT_MS - REPEATED_WITHIN_MS, scheduler.now];
    if (witness.returnedAt > since) return true;
    const spells = [witness.redisAway, witness.redisSteps, witness.sqlTroubles];
    for (const { troubles, badLine } of this.#nodes) spells.push(troubles, badLine);
    return spells.some((some) => some.touches(since, now));
  }

  #mayRefuse(socket: ClientSocket): boolean {
    return this.#isThere(socket) && socket.provenAt > this.#world.scheduler.now - SILENT_MS;
  }

  #isThere(socket: ClientSocket): boolean {
    const goneAt = socket.goneAt ?? socket.node.diedAt;
    return goneAt === undefined || goneAt > this.#world.scheduler.now - RESPONSIVE_MS;
  }
}
