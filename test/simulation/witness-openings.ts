import { ASKED_WITHIN_MS, type Troubles } from './troubles.ts';
import type { ToldPeriod } from './witness-facts.ts';

/** A login waits for what SQL says of its user until the driver gives up. */
const LOOKED_UP_WITHIN_MS = 5000;

/** When each period was opened, by its user and number as one text. */
export class Openings {
  readonly #openedAt = new Map<string, number>();
  readonly #troubles: Pick<Troubles, 'now' | 'redisFell' | 'redisSteps' | 'sqlTroubles'>;

  constructor(troubles: Pick<Troubles, 'now' | 'redisFell' | 'redisSteps' | 'sqlTroubles'>) {
    this.#troubles = troubles;
  }

  /** A node that completes the opening of another one keeps its login time. */
  note(key: string, at: number): void {
    if (!this.#openedAt.has(key)) this.#openedAt.set(key, at);
  }

  /** Whether the clock of Redis was stepped since the period was opened, and before another one was. */
  hasSteppedSince(key: string, next?: string): boolean {
    const [from, until] = [this.#openedAt.get(key), this.#openedAt.get(next ?? '')];
    return this.#troubles.redisSteps.touches(
      from ?? Number.NEGATIVE_INFINITY,
      until ?? Number.POSITIVE_INFINITY,
    );
  }

  /** Whether the period was opened after another one that has a greater number (bound `stepped-number`). */
  isMisnumbered(key: string, next: string): boolean {
    const [opened, nextOpened] = [this.#openedAt.get(key), this.#openedAt.get(next)];
    return (
      this.#troubles.redisFell && opened !== undefined && nextOpened !== undefined && nextOpened < opened
    );
  }

  /** Whether a login that opens now may have come in without a word of SQL. */
  mayBeUnasked(): boolean {
    const { now, sqlTroubles } = this.#troubles;
    return sqlTroubles.touches(now - LOOKED_UP_WITHIN_MS, now);
  }

  /** Whether a later period was told to somebody, and SQL was silent then, or is silent now (bound `followed`). */
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
