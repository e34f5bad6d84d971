import { LATE_PROOF_MS } from '../../connection/connection-host.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import type { AdmissionRequest, AdmittedLogin, LoginRefusal, LoginRequest } from '../api.ts';
import { responsiveForMs } from '../rules/session-policy.ts';
import type { Claim } from '../store/port.ts';
import type { UserHold } from './hold.ts';
import { NO_PROOF, tokenGroups } from './hold-state.ts';
import type { EntryParts, PeriodEntry } from './join-or-open.ts';
import { LoginLimits } from './login-limits.ts';
import type { PresenceOptions } from './options.ts';

type LoginOptions = Pick<
  PresenceOptions,
  'clock' | 'time' | 'store' | 'sessionPolicy' | 'pingIntervalMs' | 'loginsPerMinute' | 'newId'
>;

interface LoginParts extends Pick<EntryParts, 'holds' | 'unstated' | 'lease' | 'calls'> {
  readonly entry: PeriodEntry;
}

/** Lets users in by a socket or by HTTP, and takes their heartbeats by HTTP. */
export class Logins {
  readonly #options: LoginOptions;
  readonly #parts: LoginParts;
  readonly #limits: LoginLimits;

  constructor(options: LoginOptions, parts: LoginParts) {
    this.#options = options;
    this.#parts = parts;
    this.#limits = new LoginLimits(options.clock, options.loginsPerMinute);
  }

  admit(request: AdmissionRequest): Promise<Result<AdmittedLogin, LoginRefusal>> {
    const { holds, entry } = this.#parts;
    const { newId, sessionPolicy } = this.#options;
    const { userId, hasLeft } = request;
    return holds.exclusively<Result<AdmittedLogin, LoginRefusal>>(userId, async (hold) => {
      hold.introduce(request);
      const rev = { current: 0 };
      const accepted = await entry.joinOrOpen(hold, {
        statement: (floor) => {
          rev.current = holds.nextRev();
          return this.#admitted(hold, { rev: rev.current, floor, groups: request.groups ?? '' });
        },
        hasLeft,
        mayOpen: () => this.#limits.allows(request),
      });
      if (!accepted.ok) return accepted;
      const { epoch, period, loginTime } = accepted.value;
      const connectionId = newId();
      // Under `reject` those that are here are silent.
      if (sessionPolicy !== 'multi') holds.evict(hold);
      const { groups = '' } = request;
      hold.addSocket({
        kind: 'admitted',
        connectionId,
        epoch,
        rev: rev.current,
        groups,
        admitted: holds.now(),
      });
      holds.watch(hold);
      await accepted.value.earlierSettled;
      const resumed = accepted.value.kind === 'joined';
      return ok({ userId, connectionId, epoch, period, loginTime, resumed });
    });
  }

  async login(request: LoginRequest): Promise<Result<{ loginTime: number; resumed: boolean }, LoginRefusal>> {
    const { holds, entry } = this.#parts;
    return holds.exclusively<Result<{ loginTime: number; resumed: boolean }, LoginRefusal>>(
      request.userId,
      async (hold) => {
        hold.introduce(request);
        const { httpProof } = hold;
        const rev = { current: 0 };
        const accepted = await entry.joinOrOpen(hold, {
          statement: (floor) => {
            rev.current = holds.nextRev();
            return this.#statedByHttp(hold, { mode: 'http', rev: rev.current, floor });
          },
          mayOpen: (facts) => this.#limits.allows(request, facts),
        });
        if (!accepted.ok) {
          hold.restoreHttp(httpProof);
          return accepted;
        }
        // Not older than the login time, which the store gave meanwhile.
        hold.proveByHttp(holds.now(), rev.current);
        holds.watch(hold);
        await accepted.value.earlierSettled;
        return ok({ loginTime: accepted.value.loginTime, resumed: accepted.value.kind === 'joined' });
      },
    );
  }

  async heartbeat(
    userId: number,
  ): Promise<Result<{ lastHeartbeat: number }, 'not-online' | 'presence-unavailable'>> {
    const { holds, unstated, lease } = this.#parts;
    const { clock, time, store } = this.#options;
    const held = holds.get(userId);
    // If the period may have ended, the store must answer.
    if (held?.isSettled === true && held.isAlive(time.now())) {
      const isLate = time.monotonic - held.newestProof().monotonic > LATE_PROOF_MS;
      if (isLate && store.renewalMs !== undefined) unstated.stateSoon(held);
      held.beat(holds.now());
      holds.watch(held);
      return ok({ lastHeartbeat: clock.now() });
    }
    if (!lease.available) return err('presence-unavailable');
    return holds.exclusively(userId, (hold) => this.#beat(hold));
  }

  /** A heartbeat that only the store can answer: this node holds no period, or one that may have ended. */
  async #beat(
    hold: UserHold,
  ): Promise<Result<{ lastHeartbeat: number }, 'not-online' | 'presence-unavailable'>> {
    const { holds, calls, entry } = this.#parts;
    const { httpProof } = hold;
    let beat = { rev: 0, http: NO_PROOF };
    const answer = await calls.claim(() => {
      beat = { rev: holds.nextRev(), http: holds.now() };
      hold.proveByHttp(beat.http, beat.rev);
      return hold.claim(this.#options.time, { mode: 'beat', ...beat });
    });
    if (answer?.kind === 'joined') {
      entry.adopt(hold, answer);
      hold.proveByHttp(beat.http, beat.rev);
      holds.watch(hold);
      return ok({ lastHeartbeat: this.#options.clock.now() });
    }
    hold.restoreHttp(httpProof);
    if (answer === undefined) entry.correctLater(hold);
    return err(answer?.kind === 'not-online' ? 'not-online' : 'presence-unavailable');
  }

  #admitted(
    hold: UserHold,
    said: { readonly rev: number; readonly floor: number; readonly groups: string },
  ): Claim {
    const { time, sessionPolicy } = this.#options;
    const { rev, floor, groups } = said;
    const isMulti = sessionPolicy === 'multi';
    const rivals = isMulti
      ? hold.sockets.length
      : hold.responsiveSockets(time.now(), responsiveForMs(this.#options));
    const sockets = isMulti ? hold.sockets.length + 1 : 1;
    const stated = tokenGroups([...(isMulti ? hold.sockets : []), { groups }]);
    return hold.claim(time, { mode: 'socket', rev, floor, rivals, sockets, tokenGroups: stated });
  }

  /** A statement with a proof of life by HTTP, which counts from now on unless the store refuses it. */
  #statedByHttp(
    hold: UserHold,
    said: { readonly mode: 'http'; readonly rev: number; readonly floor: number },
  ): Claim {
    const http = this.#parts.holds.now();
    hold.proveByHttp(http, said.rev);
    return hold.claim(this.#options.time, { ...said, http });
  }
}
