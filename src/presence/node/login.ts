import { LATE_PROOF_MS } from '../../connection/connection-host.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import type { AdmissionRequest, AdmittedLogin, LoginRefusal, LoginRequest } from '../api.ts';
import { responsiveForMs } from '../rules/session-policy.ts';
import type { Claim } from '../store/port.ts';
import type { UserHold } from './hold.ts';
import { newer, type Proof, tokenGroups } from './hold-state.ts';
import type { EntryParts, PeriodEntry } from './join-or-open.ts';
import { LoginLimits } from './login-limits.ts';
import type { PresenceOptions, StoreCalls } from './options.ts';

type LoginOptions = Pick<
  PresenceOptions,
  'clock' | 'time' | 'sessionPolicy' | 'pingIntervalMs' | 'loginsPerMinute' | 'newId'
> &
  StoreCalls<'renewalMs'>;

interface LoginParts extends Pick<EntryParts, 'holds' | 'changed' | 'lease' | 'calls'> {
  readonly entry: PeriodEntry;
}

/** Logins by socket and by HTTP, and heartbeats by HTTP. */
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
    return this.#parts.holds.exclusively(request.userId, (hold) => this.#admit(hold, request));
  }

  async #admit(hold: UserHold, request: AdmissionRequest): Promise<Result<AdmittedLogin, LoginRefusal>> {
    const { holds, entry } = this.#parts;
    const { newId, sessionPolicy } = this.#options;
    const { userId, groups = '' } = request;
    hold.introduce(request);
    let rev = 0;
    const accepted = await entry.joinOrOpen(hold, {
      makeClaim: (floor) => {
        rev = holds.nextRev();
        return this.#socketClaim(hold, { rev, floor, groups });
      },
      client: request.client,
      mayOpen: () => this.#limits.allows(request),
    });
    if (!accepted.ok) return accepted;
    const { kind, epoch, period, loginTime, earlierSettled } = accepted.value;
    const connectionId = newId();
    // Under `reject` the sockets on this node are silent, otherwise the store would have refused the login.
    if (sessionPolicy !== 'multi') holds.evict(hold);
    hold.addSocket({ kind: 'admitted', connectionId, epoch, rev, groups, admitted: holds.now() });
    holds.watch(hold);
    if (earlierSettled !== undefined) await earlierSettled;
    return ok({ userId, connectionId, epoch, period, loginTime, resumed: kind === 'joined' });
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
          makeClaim: (floor) => {
            rev.current = holds.nextRev();
            return this.#httpClaim(hold, { mode: 'http', rev: rev.current, floor });
          },
          mayOpen: (facts) => this.#limits.allows(request, facts),
        });
        if (!accepted.ok) {
          hold.restoreHttp(httpProof);
          return accepted;
        }
        // Taken again now, so that it is not older than the login time, which the store chose meanwhile.
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
    const { holds, changed, lease } = this.#parts;
    const { clock, time, store } = this.#options;
    const held = holds.get(userId);
    // If the period may have ended, only the store knows the answer.
    if (held?.isSettled === true && held.isAlive(time.now())) {
      const isLate = time.monotonic - held.newestProof().monotonic > LATE_PROOF_MS;
      if (isLate && store.renewalMs !== undefined) changed.claimSoon(held);
      held.beat(holds.now());
      holds.watch(held);
      return ok({ lastHeartbeat: clock.now() });
    }
    const arrival = { proof: holds.now(), at: clock.now() };
    if (lease.isRestoring) await lease.restored();
    if (!lease.available) return err('presence-unavailable');
    return holds.exclusively(userId, (hold) => this.#beat(hold, arrival));
  }

  /**
   * Asks the store about a heartbeat, because this node holds no period or one that may have ended. That may take seconds. The
   * heartbeat still proves life at its arrival (rule ST5), and hides no newer proof.
   */
  async #beat(
    hold: UserHold,
    arrival: { readonly proof: Proof; readonly at: number },
  ): Promise<Result<{ lastHeartbeat: number }, 'not-online' | 'presence-unavailable'>> {
    const { holds, calls, entry } = this.#parts;
    const { httpProof } = hold;
    let rev = 0;
    const answer = await calls.claim({
      makeClaim: () => {
        rev = holds.nextRev();
        const http = newer(hold.httpProof.proof, arrival.proof);
        hold.proveByHttp(http, rev);
        return hold.claim(this.#options.time, { mode: 'beat', rev, http });
      },
    });
    if (answer?.kind === 'joined') {
      entry.adopt(hold, answer);
      hold.proveByHttp(newer(hold.httpProof.proof, arrival.proof), rev);
      holds.watch(hold);
      return ok({ lastHeartbeat: arrival.at });
    }
    hold.restoreHttp(httpProof);
    if (answer === undefined) entry.correctLater(hold);
    return err(answer?.kind === 'not-online' ? 'not-online' : 'presence-unavailable');
  }

  #socketClaim(
    hold: UserHold,
    details: { readonly rev: number; readonly floor: number; readonly groups: string },
  ): Claim {
    const { time, sessionPolicy } = this.#options;
    const { rev, floor, groups } = details;
    const isMulti = sessionPolicy === 'multi';
    const rivals = isMulti
      ? hold.sockets.length
      : hold.responsiveSockets(time.now(), responsiveForMs(this.#options));
    const sockets = isMulti ? hold.sockets.length + 1 : 1;
    const stated = tokenGroups([...(isMulti ? hold.sockets : []), { groups }]);
    return hold.claim(time, { mode: 'socket', rev, floor, rivals, sockets, tokenGroups: stated });
  }

  /** A claim with a new proof of life by HTTP. The proof counts at once; a refusal takes it back. */
  #httpClaim(
    hold: UserHold,
    details: { readonly mode: 'http'; readonly rev: number; readonly floor: number },
  ): Claim {
    const http = this.#parts.holds.now();
    hold.proveByHttp(http, details.rev);
    return hold.claim(this.#options.time, { ...details, http });
  }
}
