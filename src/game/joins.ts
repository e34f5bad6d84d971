import type { Language } from './player.ts';

/** While so many wait, nobody is heard: a page asks again. */
const MAX_WAITING = 10_000;

/** What a player said with `game:join`. */
export interface Join {
  readonly userId: number;
  readonly username: string;
  readonly language: Language;
}

/**
 * Who has asked to join, and who was answered when. Nobody is answered more than once in `pause` ticks: what a user sends
 * meanwhile is one question, answered after the pause. No call costs more because many users play.
 */
export class Joins {
  readonly #pause: number;
  readonly #waiting = new Map<number, Join>();
  /** The tick of the last answer of each user, the oldest first. */
  readonly #answered = new Map<number, number>();

  constructor(pause: number) {
    this.#pause = pause;
  }

  add(join: Join): void {
    if (this.#waiting.size >= MAX_WAITING) return;
    this.#waiting.set(join.userId, join);
  }

  /** Takes those whose turn has come, `most` at most. They count as answered. */
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
