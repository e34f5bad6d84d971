import type { DeletedRow, PeriodEntry } from './books.ts';
import type { Login, Logout, UserFacts } from './facts.ts';
import type { NodeLife, World } from './world.ts';

/** Clocks are read in milliseconds, at both ends, by processes that share two cores. */
export const ROUNDING_MS = 30;
/** How long a call may take on two cores. The ages in it count from its arrival. */
export const CALL_MS = 250;
/** A node learns within this time that it lost a user (rule PR4). */
const LOSS_TOLD_MS = 2_000;

export interface Timeouts {
  readonly socket: number;
  readonly http: number;
}

/** A proof of life that the server surely received, at some time from `from` to `to`. */
export interface SureProof {
  readonly kind: 'socket' | 'http';
  readonly life: NodeLife;
  readonly from: number;
  readonly to: number;
  /** A login was recorded before its answer. */
  readonly isLogin: boolean;
}

/** The facts of one user together with the rows of SQL, and the conclusions. */
export class UserCase {
  readonly facts: UserFacts;
  /** By period, oldest first. */
  readonly rows: readonly PeriodEntry[];
  /** Rows of refused logins, which were deleted. */
  readonly deleted: readonly DeletedRow[];
  readonly time: number | undefined;
  readonly world: World;
  readonly timeouts: Timeouts;
  readonly proofs: readonly SureProof[];

  constructor(options: {
    readonly facts: UserFacts;
    readonly rows: readonly PeriodEntry[];
    readonly deleted?: readonly DeletedRow[];
    readonly time: number | undefined;
    readonly world: World;
    readonly timeouts: Timeouts;
  }) {
    this.facts = options.facts;
    this.rows = options.rows;
    this.deleted = options.deleted ?? [];
    this.time = options.time;
    this.world = options.world;
    this.timeouts = options.timeouts;
    this.proofs = [...this.#loginProofs(), ...this.#beatProofs()].sort((left, right) => left.to - right.to);
  }

  latest({ life, to }: { readonly life: NodeLife; readonly to: number }): number {
    return this.world.latestEffect(life, to);
  }

  rowAt(at: number): PeriodEntry | undefined {
    return this.rows.findLast(({ loginAt }) => loginAt <= at);
  }

  proofsOf(row: PeriodEntry): readonly SureProof[] {
    return this.proofs.filter(
      (proof) => this.rowAt(proof.to) === row && (proof.isLogin || row.loginAt <= proof.from),
    );
  }

  /** How long after `proof` the user is surely online, seen at `until`. Undefined if the bounds promise nothing. */
  keptFor(proof: SureProof, until: number): number | undefined {
    const loss = this.world.lossOf(proof.life, proof.from, until);
    if (loss === undefined) return this.timeouts[proof.kind];
    const keptMs = Math.min(this.timeouts.socket, this.timeouts[proof.kind]);
    return this.world.unrecorded(proof.from, loss.at) > 0 ? undefined : keptMs;
  }

  /** Logouts between two times that may have been wiped before their settlement (bounds of the protocol). */
  wipedLogout(from: number, to: number): Logout | undefined {
    return this.facts.logouts.find((logout) => {
      const isThen = logout.to >= from && logout.from <= to;
      return isThen && logout.outcome !== 'not-online' && this.world.wasWiped(logout.from, logout.to);
    });
  }

  /** Logins that may have taken effect although no answer said so. */
  get unknownLogins(): readonly Login[] {
    return this.facts.logins.filter(({ outcome }) => outcome === 'unknown');
  }

  /** Whether a login without an answer may have taken over the user between two times, or may still do so. */
  mayBeTaken(from: number, to: number): boolean {
    return this.unknownLogins.some(
      (login) => login.via !== 'http' && login.from <= to && this.latest(login) + LOSS_TOLD_MS >= from,
    );
  }

  /** Incarnations on which this user ever was, or may have been. */
  get lives(): ReadonlySet<NodeLife> {
    const { logins, beats } = this.facts;
    return new Set([...logins, ...beats].map(({ life }) => life));
  }

  #loginProofs(): readonly SureProof[] {
    return this.facts.logins
      .filter(({ outcome }) => outcome === 'in')
      .map(({ via, life, from, to }) => ({
        kind: via === 'http' ? 'http' : 'socket',
        ...{ life, from, to, isLogin: true },
      }));
  }

  /** Proofs that a node received while it looked dead, or after it lost the user, do not count. */
  #beatProofs(): readonly SureProof[] {
    return this.facts.beats.flatMap(({ via: kind, life, from, to }) => {
      if (to === undefined) return [];
      if (this.world.looksDead(life).some((span) => to >= span.from && to <= span.to)) return [];
      if (kind === 'socket' && this.mayBeTaken(from, to)) return [];
      return [{ kind, life, from, to, isLogin: false }];
    });
  }
}
