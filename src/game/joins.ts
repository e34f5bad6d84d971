import type { Language } from './player.ts';

/** If this many wait, further requests are ignored. A page asks again. */
const MAX_WAITING = 10_000;

/** The data that a player sent with `game:join`. */
export interface Join {
  readonly userId: number;
  readonly username: string;
  readonly language: Language;
}

/**
 * The users who have asked to join, and the time of their last answers. Each user gets at most one answer in `pause` ticks.
 * Requests of a user in between count as one, which is answered after the pause. The cost of a call does not depend on the number
 * of users.
 */
export class Joins {
  readonly #pause: number;
  readonly #waiting = new Map<number, Join>();
  /** The tick of each user's last answer, the oldest first. */
  readonly #answered = new Map<number, number>();

  constructor(pause: number) {
    this.#pause = pause;
  }

  add(join: Join): void {
    if (this.#waiting.size >= MAX_WAITING) return;
    this.#waiting.set(join.userId, join);
  }

  /** Takes the users whose turn has come, at most `most`. They count as answered. */
  take(tick: number, most: number): readonly Join[] {
    for (const [userId, at] of this.#answered) {
      if (tick - at < this.#pause) break;
      this.#answered.delete(userId);
    }
    const taken: Join[] = [];
    for (const join of this.#waiting.values()) {
      if (taken.length >= most) break;
      if (this.#answered.has(join.userId)) continue;
      this.#waiting.delete(join.userId);
      this.#answered.set(join.userId, tick);
      taken.push(join);
    }
    return taken;
  }
}
