import { ASKED_WITHIN_MS, type Troubles } from './troubles.ts';
import type { ToldPeriod } from './witness-facts.ts';

/** A login waits for the SQL facts of its user until the driver gives up. */
const LOOKED_UP_WITHIN_MS = 5000;

type Known = Pick<Troubles, 'now' | 'redisFell' | 'redisSteps' | 'rolledBack' | 'sqlTroubles'>;

/** When each period was opened. The key is the user and the number as one text. */
export class Openings {
  readonly #openedAt = new Map<string, number>();
  readonly #loginTimes = new Map<string, number>();
  readonly #troubles: Known;

  constructor(troubles: Known) {
    this.#troubles = troubles;
  }

  /**
   * A node that completes the opening of another node keeps its login time. A different login time means that the number was given
   * twice: Redis had forgotten an opening that was given up.
   */
  note(key: string, at: number, loginTime = 0): void {
    if (this.#openedAt.has(key) && this.#loginTimes.get(key) === loginTime) return;
    this.#openedAt.set(key, at);
    this.#loginTimes.set(key, loginTime);
  }

  /** Whether the clock of Redis was stepped between this opening and the next one, or since this opening. */
  hasSteppedSince(key: string, next?: string): boolean {
    const [from, until] = [this.#openedAt.get(key), this.#openedAt.get(next ?? '')];
    return this.#troubles.redisSteps.touches(
      from ?? Number.NEGATIVE_INFINITY,
      until ?? Number.POSITIVE_INFINITY,
    );
  }

  /** Whether the period was opened after one with a greater number (bound `stepped-number`). */
  isMisnumbered(key: string, next: string): boolean {
    const [opened, nextOpened] = [this.#openedAt.get(key), this.#openedAt.get(next)];
    return (
      this.#troubles.redisFell && opened !== undefined && nextOpened !== undefined && nextOpened < opened
    );
  }

  /**
   * Whether a login that continues the opening brings an ended period back. A failover brought the opening back, and SQL did not
   * say that its period had ended or that a later one exists (bound `old-opening`).
   */
  comesBack(
    key: string,
    { hasEnded, told }: { readonly hasEnded: boolean; readonly told: Iterable<ToldPeriod> },
  ): boolean {
    const { now, rolledBack, sqlTroubles } = this.#troubles;
    const isOver = hasEnded || this.isFollowed(key, { isSilent: true, told });
    return isOver && rolledBack && sqlTroubles.touches(now - LOOKED_UP_WITHIN_MS, now);
  }

  /** Whether a client knew a later period, and SQL was silent then or is silent now (bound `followed`). */
  isFollowed(
    key: string,
    { isSilent, told }: { readonly isSilent: boolean; readonly told: Iterable<ToldPeriod> },
  ): boolean {
    const openedAt = this.#openedAt.get(key) ?? Number.POSITIVE_INFINITY;
    for (const { userId, period } of told) {
      const at = this.#openedAt.get(`${userId}:${period}`) ?? Number.NEGATIVE_INFINITY;
      if (!key.startsWith(`${userId}:`) || at <= openedAt) continue;
      if (isSilent || this.#troubles.sqlTroubles.touches(at - LOOKED_UP_WITHIN_MS, at + ASKED_WITHIN_MS))
        return true;
    }
    return false;
  }
}
