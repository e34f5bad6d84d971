const INTERVAL_MS = 1000;

/** Limits the log lines about losses: a slow client that loses a thousand messages a second causes one line a second. */
export class LossLog {
  #unlogged = 0;
  #loggedAt = Number.NEGATIVE_INFINITY;

  /** Returns how many losses to log now. `now` is monotonic. The last loss of a connection is always logged. */
  add(count: number, moment: { readonly now: number; readonly isLast: boolean }): number {
    this.#unlogged += count;
    if (moment.now - this.#loggedAt < INTERVAL_MS && !moment.isLast) return 0;
    const losses = this.#unlogged;
    this.#unlogged = 0;
    this.#loggedAt = moment.now;
    return losses;
  }
}
