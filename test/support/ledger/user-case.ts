import type { PeriodEntry } from './books.ts';
import type { Login, Logout, UserFacts } from './facts.ts';
import type { NodeLife, World } from './world.ts';

/** Clocks are read to the millisecond, at both ends, by processes that share two cores. */
export const ROUNDING_MS = 30;
/** How long a call may be under way on two cores: what it states of ages counts from its arrival. */
export const CALL_MS = 250;
/** A node hears of a user who was taken from it within this (rule PR4). */
const LOSS_TOLD_MS = 2_000;

export interface Timeouts {
  readonly socket: number;
  readonly http: number;
}

/** A proof of life that was surely heard, at some moment from `from` to `to`. */
export interface SureProof {
  readonly kind: 'socket' | 'http';
  readonly life: NodeLife;
  readonly from: number;
  readonly to: number;
  /** A login was recorded before it was answered. */
  readonly isLogin: boolean;
}

/** One user's facts beside the rows of SQL, and what follows from them. */
export class UserCase {
  readonly facts: UserFacts;
  /** By period, oldest first. */
  readonly rows: readonly PeriodEntry[];
  readonly time: number | undefined;
  readonly world: World;
  readonly timeouts: Timeouts;
  readonly proofs: readonly SureProof[];

  constructor(options: {
    readonly facts: UserFacts;
    readonly rows: readonly PeriodEntry[];
    readonly time: number | undefined;
    readonly world: World;
    readonly timeouts: Timeouts;
  }) {
    this.facts = options.facts;
    this.rows = options.rows;
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

  /** For how long after `proof` the user is surely online, seen at `until`; undefined where the bounds promise nothing. */
  keptFor(proof: SureProof, until: number): number | undefined {
    const loss = this.world.lossOf(proof.life, proof.from, until);
    if (loss === undefined) return this.timeouts[proof.kind];
    const keptMs = Math.min(this.timeouts.socket, this.timeouts[proof.kind]);
    return this.world.unrecorded(proof.from, loss.at) > 0 ? undefined : keptMs;
  }

  /** Logouts between two moments that may have been wiped before they were settled (bounds of the protocol). */
  wipedLogout(from: number, to: number): Logout | undefined {
    return this.facts.logouts.find((logout) => {
      const isThen = logout.to >= from && logout.from <= to;
      return isThen && logout.outcome !== 'not-online' && this.world.wasWiped(logout.from, logout.to);
    });
  }

  /** Logins that may have had an effect although nobody said so. */
  get unknownLogins(): readonly Login[] {
    return this.facts.logins.filter(({ outcome }) => outcome === 'unknown');
  }

  /** Whether a login without an answer may have taken the user over between two moments, or be about to be told. */
  mayBeTaken(from: number, to: number): boolean {
    return this.unknownLogins.some(
      (login) => login.via !== 'http' && login.from <= to && this.latest(login) + LOSS_TOLD_MS >= from,
    );
  }

  /** Lives on which this user ever was, or may have been. */
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

  /** What a node heard that looked dead, or that had lost the user already, proves nothing. */
  #beatProofs(): readonly SureProof[] {
    return this.facts.beats.flatMap(({ via: kind, life, from, to }) => {
      if (to === undefined) return [];
      if (this.world.looksDead(life).some((span) => to >= span.from && to <= span.to)) return [];
      if (kind === 'socket' && this.mayBeTaken(from, to)) return [];
      return [{ kind, life, from, to, isLogin: false }];
    });
  }
}
