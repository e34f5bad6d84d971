interface Spell {
  readonly from: number;
  readonly until: number;
}

/** Stretches of simulated time in which something is wrong. */
export class Spells {
  #spells: Spell[] = [];

  add(from: number, until: number): void {
    this.#spells.push({ from, until });
  }

  /** All is well from `at` on. */
  heal(at: number): void {
    this.#spells = this.#spells
      .filter(({ from }) => from <= at)
      .map(({ from, until }) => ({ from, until: Math.min(until, at) }));
  }

  /** Whether some of it lies between `from` and `until`. */
  touches(from: number, until: number): boolean {
    return this.#spells.some((spell) => spell.from <= until && spell.until >= from);
  }

  /** How much of the time between `from` and `until` it takes. */
  msWithin(from: number, until: number): number {
    let ms = 0;
    let counted = from;
    for (const spell of [...this.#spells].sort((left, right) => left.from - right.from)) {
      const end = Math.min(spell.until, until);
      const start = Math.max(spell.from, counted);
      if (end <= start) continue;
      ms += end - start;
      counted = end;
    }
    return ms;
  }

  /** How many there are between `from` and `until`; those that overlap are one. */
  countWithin(from: number, until: number): number {
    let count = 0;
    let reached = Number.NEGATIVE_INFINITY;
    for (const spell of [...this.#spells].sort((left, right) => left.from - right.from)) {
      if (spell.from > until || spell.until < from) continue;
      if (spell.from > reached) count += 1;
      reached = Math.max(reached, spell.until);
    }
    return count;
  }

  /** When it is over that reaches to `at`, or begins before that is over; `at`: nothing does. */
  endAfter(at: number): number {
    let end = at;
    for (const spell of [...this.#spells].sort((left, right) => left.from - right.from))
      if (spell.from <= end && spell.until > end) end = spell.until;
    return end;
  }

  /** The earliest beginning of a spell that reaches to `at` but for a pause of `pauseMs`. */
  earliestReaching(at: number, pauseMs: number): number {
    return this.#spells.reduce(
      (earliest, { from, until }) =>
        from < at && until >= at - pauseMs ? Math.min(earliest, from) : earliest,
      at,
    );
  }
}

/** When the trouble of any kind began that reaches to `at`; pauses of less than `pauseMs` count as none. */
export function troubledSince(at: number, pauseMs: number, ...kinds: readonly Spells[]): number {
  let since = at;
  for (;;) {
    const earlier = Math.min(since, ...kinds.map((spells) => spells.earliestReaching(since, pauseMs)));
    if (earlier === since) return since;
    since = earlier;
  }
}
