import { LATE_PROOF_MS } from '../../connection/connection-host.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import type { UserFacts } from '../../protocol/periods.ts';
import type { Dial, DialRefusal, DialRequest, LoginRequest } from '../api.ts';
import { livelyForMs } from '../rules/session-policy.ts';
import type { Claim, ClaimAnswer } from '../store/port.ts';
import type { UserHold } from './hold.ts';
import { NO_PROOF } from './hold-state.ts';
import type { NodePresence } from './holds.ts';
import { LoginLimits } from './login-limits.ts';
import { type Entrance, isAdmitted, lookUp, settleEarlier, writeOpening } from './opening.ts';
import { repeatClaim } from './repeat-claim.ts';

type Accepted = Extract<ClaimAnswer, { kind: 'opened' | 'joined' }>;

/** Lets users in: by a socket or by HTTP. Opens periods in two steps, with SQL between them (rules ST4, ST9). */
export class Logins {
  readonly #presence: NodePresence;
  readonly #limits: LoginLimits;

  constructor(presence: NodePresence) {
    this.#presence = presence;
    this.#limits = new LoginLimits(presence.options.clock, presence.options.loginsPerMinute);
  }

  async dial(request: DialRequest): Promise<Result<Dial, DialRefusal>> {
    const presence = this.#presence;
    const livelyMs = livelyForMs(presence.options);
    return this.#exclusively(request.userId, async (hold) => {
      hold.introduce(request);
      const rev = { current: 0 };
      const dialled = (floor: number): Claim => {
        rev.current = presence.nextRev();
        const isMulti = presence.options.sessionPolicy === 'multi';
        const rivals = isMulti ? hold.sockets.length : hold.livelySockets(presence.time.now(), livelyMs);
        const sockets = isMulti ? hold.sockets.length + 1 : 1;
        return hold.claim(presence.time, { mode: 'socket', rev: rev.current, rivals, floor, sockets });
      };
      const accepted = await this.#enter(hold, {
        statement: dialled,
        hasLeft: request.hasLeft,
        mayOpen: () => this.#limits.allows(request),
      });
      if (!accepted.ok) return accepted;
      const { epoch, period, loginTime } = accepted.value;
      const connectionId = presence.options.newId();
      // Under `reject` they are silent.
      if (presence.options.sessionPolicy !== 'multi') this.#presence.throwOut(hold);
      hold.addSocket({ kind: 'dialled', connectionId, epoch, rev: rev.current, dialled: presence.now() });
      presence.watch(hold);
      return ok({
        userId: request.userId,
        connectionId,
        epoch,
        period,
        loginTime,
        resumed: accepted.value.kind === 'joined',
      });
    });
  }

  async login(request: LoginRequest): Promise<Result<{ loginTime: number; resumed: boolean }, DialRefusal>> {
    const presence = this.#presence;
    return this.#exclusively(request.userId, async (hold) => {
      hold.introduce({ ip: request.ip });
      const { httpProof } = hold;
      const rev = { current: 0 };
      const accepted = await this.#enter(hold, {
        statement: (floor) => {
          rev.current = presence.nextRev();
          const http = presence.now();
          hold.proveByHttp(http, rev.current);
          return hold.claim(presence.time, { mode: 'http', rev: rev.current, floor, http });
        },
        mayOpen: (facts) => this.#limits.allows(request, facts),
      });
      if (!accepted.ok) {
        hold.restoreHttp(httpProof);
        return accepted;
      }
      // Not older than the login time, which the store gave meanwhile.
      hold.proveByHttp(presence.now(), rev.current);
      presence.watch(hold);
      return ok({ loginTime: accepted.value.loginTime, resumed: accepted.value.kind === 'joined' });
    });
  }

  async heartbeat(
    userId: number,
  ): Promise<Result<{ lastHeartbeat: number }, 'not-online' | 'presence-unavailable'>> {
    const presence = this.#presence;
    const { clock } = presence.options;
    presence.options.counters.heartbeats += 1;
    const held = presence.holds.get(userId);
    // The answer is no promise of a period whose end may have come: then the store is asked.
    if (held?.isSettled === true && held.isAlive(presence.time.now())) {
      const isLate = presence.time.monotonic - held.newestProof().monotonic > LATE_PROOF_MS;
      if (isLate && presence.options.store.renewalMs !== undefined) presence.markDirty(held);
      held.beat(presence.now());
      presence.watch(held);
      return ok({ lastHeartbeat: clock.now() });
    }
    if (!presence.available) return err('presence-unavailable');
    return this.#exclusively(userId, async (hold) => {
      const { httpProof } = hold;
      let beat = { rev: 0, http: NO_PROOF };
      const answer = await repeatClaim(presence, () => {
        beat = { rev: presence.nextRev(), http: presence.now() };
        hold.proveByHttp(beat.http, beat.rev);
        return hold.claim(presence.time, { mode: 'beat', ...beat });
      });
      if (answer?.kind === 'joined') {
        this.#adopt(hold, answer);
        hold.proveByHttp(beat.http, beat.rev);
        presence.watch(hold);
        return ok({ lastHeartbeat: clock.now() });
      }
      hold.restoreHttp(httpProof);
      if (answer === undefined) this.#correctLater(hold);
      return err(answer?.kind === 'not-online' ? 'not-online' : 'presence-unavailable');
    });
  }

  /** A hold that the store no longer has, of a user who is here: connects them anew (rule PR9). */
  async reclaim(hold: UserHold): Promise<void> {
    const { manager, time } = this.#presence;
    if (hold.sockets.length === 0) return this.#prolong(hold);
    const entered = await this.#enter(hold, {
      statement: (floor) =>
        hold.claim(time, { mode: 'socket', rev: this.#presence.nextRev(), floor, reopens: true }),
    });
    if (entered.ok) {
      hold.renewEpoch(entered.value.epoch);
      this.#presence.watch(hold);
    } else if (entered.error === 'session-exists') {
      // Another node has taken the user over (rule PR9); a proof by HTTP here stays.
      this.#presence.throwOut(hold);
      this.#presence.markDirty(hold);
    } else if (entered.error !== 'presence-unavailable' && entered.error !== 'settlement-unavailable') {
      this.#presence.forget(hold, 'presence-lost');
    } else if (manager.isUserOnline(hold.userId)) {
      this.#presence.dirty.add(hold);
    }
  }

  /** Without a socket nobody comes back by themselves: an unexpired proof counts while others hold the user. */
  async #prolong(hold: UserHold): Promise<void> {
    const presence = this.#presence;
    const answer = await repeatClaim(presence, () =>
      hold.claim(presence.time, { mode: 'beat', rev: presence.nextRev() }),
    );
    if (answer?.kind === 'joined') {
      this.#adopt(hold, answer);
      presence.watch(hold);
    } else if (answer?.kind === 'not-online') {
      presence.forget(hold, 'presence-lost');
      // The store may still have an opening of this node's that nobody was told of.
      hold.doubt();
      presence.markDirty(hold);
    } else this.#correctLater(hold);
  }

  /** Finds out what became of a login without an answer, of a user who is not held here otherwise. */
  async settleDoubt(hold: UserHold): Promise<void> {
    const presence = this.#presence;
    if (hold.isAlive(presence.time.now())) return this.#prolong(hold);
    // An opening that nobody was told of is dropped.
    hold.forget();
    const answer = await repeatClaim(presence, () =>
      hold.claim(presence.time, { mode: 'state', rev: presence.nextRev() }),
    );
    if (answer === undefined) this.#correctLater(hold);
    else if (answer.kind === 'ended') presence.periodEnded(answer.end);
  }

  async #exclusively<Value, Failure>(
    userId: number,
    work: (hold: UserHold) => Promise<Result<Value, Failure>>,
  ): Promise<Result<Value, Failure>> {
    const hold = this.#presence.holdOf(userId);
    const turn = hold.lock();
    if (turn !== undefined) await turn;
    // A hold that was dropped while this call waited lives on through it.
    this.#presence.holds.set(userId, hold);
    try {
      return await work(hold);
    } finally {
      this.#presence.release(hold);
    }
  }

  async #enter(hold: UserHold, entrance: Entrance): Promise<Result<Accepted, DialRefusal>> {
    const { statement, hasLeft, mayOpen } = entrance;
    const presence = this.#presence;
    if (!(await presence.restored())) return err('presence-unavailable');
    // A period that may have run out here may have been followed by another.
    const isRunning = hold.period > 0 && hold.isAlive(presence.time.now());
    const facts = isRunning ? undefined : await lookUp(presence.options, hold.userId);
    const known = facts?.ok === true ? facts.value : undefined;
    if (known !== undefined && !isAdmitted(known, presence.options)) return err('unknown-user');
    const answer = await repeatClaim(presence, () => statement(floorOf(known)), hasLeft);
    if (answer === undefined) {
      this.#lingerInDoubt(hold);
      return err('presence-unavailable');
    }
    switch (answer.kind) {
      case 'joined':
        this.#adopt(hold, answer);
        return ok(answer);
      case 'opened':
        // Without SQL a running period may be joined (rule ST7); none may open (rule ST9).
        if (facts?.ok === false || mayOpen?.(known) === false) {
          await this.#giveBack(hold, answer.period);
          return facts?.ok === false ? facts : err('rate-limited');
        }
        return this.#open(hold, answer, known);
      case 'refused':
        return err(answer.code);
      case 'taken':
        return err('session-exists');
      default:
        return err('presence-unavailable');
    }
  }

  async #open(
    hold: UserHold,
    answer: Extract<Accepted, { kind: 'opened' }>,
    facts: UserFacts | undefined,
  ): Promise<Result<Accepted, DialRefusal>> {
    const presence = this.#presence;
    const { userId } = hold;
    const { period, loginTime } = answer;
    // Its number is not given out again, whatever becomes of the opening.
    presence.learnEpoch(answer.epoch);
    await settleEarlier(presence.options, { userId, ...answer }, facts);
    const outcome = await writeOpening(presence.options, {
      userId,
      period,
      loginAt: loginTime,
      node: presence.options.node,
    });
    if (outcome !== 'written') {
      await this.#giveBack(hold, period);
      return err(outcome);
    }
    const visible = await presence.record(userId, period);
    if (visible !== true) {
      this.#lingerInDoubt(hold);
      return err('presence-unavailable');
    }
    presence.onlineCount += 1;
    presence.options.counters.logins += 1;
    // Another node had begun to open it and wrote its row.
    if (facts?.newest?.period === period) presence.options.ledger.moved({ userId, period });
    this.#adopt(hold, answer);
    return ok(answer);
  }

  async #giveBack(hold: UserHold, period: number): Promise<void> {
    const { userId } = hold;
    const { store } = this.#presence.options;
    await store.withdraw([{ userId, period }]).catch(() => this.#correctLater(hold));
  }

  /** A login whose answer was lost may have taken the user from another node: they linger here, and are not dropped. */
  #lingerInDoubt(hold: UserHold): void {
    hold.lingerInDoubt(this.#presence.now());
    this.#correctLater(hold);
  }

  /** What the store has of this user may be more than this node told anybody: it is told what is true. */
  #correctLater(hold: UserHold): void {
    hold.doubt();
    this.#presence.markDirty(hold);
    this.#presence.leaseDoubtful();
  }

  #adopt(hold: UserHold, accepted: Accepted): void {
    if (accepted.kind === 'joined' && accepted.period !== hold.period) {
      this.#presence.options.ledger.moved({ userId: hold.userId, period: accepted.period });
    }
    hold.adopt(accepted);
    this.#presence.learnEpoch(accepted.epoch);
  }
}

/** What SQL has closed must not open again, also where a failover has brought its opening back (rule PR2). */
function floorOf(known: UserFacts | undefined): number {
  const newest = known?.newest;
  if (newest === undefined) return 0;
  return newest.settledAt === null ? newest.period : newest.period + 1;
}
