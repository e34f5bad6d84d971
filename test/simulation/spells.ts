interface Spell {
  readonly from: number;
  readonly until: number;
}

/** Stretches of simulated time with a fault. */
export class Spells {
  #spells: Spell[] = [];

  add(from: number, until: number): void {
    this.#spells.push({ from, until });
  }

  /** No fault from `at` on. */
  heal(at: number): void {
    this.#spells = this.#spells
      .filter(({ from }) => from <= at)
      .map(({ from, until }) => ({ from, until: Math.min(until, at) }));
  }

  /** Whether a spell overlaps the time from `from` to `until`. */
  touches(from: number, until: number): boolean {
    return this.#spells.some((spell) => spell.from <= until && spell.until >= from);
  }

  /** How much time the spells fill between `from` and `until`. */
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

  /** The number of spells between `from` and `until`. Overlapping spells count as one. */
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

  /** The ends of spells between `from` and `until`. */
  endsWithin(from: number, until: number): readonly number[] {
    return this.#spells.map((spell) => spell.until).filter((end) => end >= from && end <= until);
  }

  /** The end of the spell at `at`, including later spells that overlap it. Without a spell: `at`. */
  endAfter(at: number): number {
    let end = at;
    for (const spell of [...this.#spells].sort((left, right) => left.from - right.from))
      if (spell.from <= end && spell.until > end) end = spell.until;
    return end;
  }

  /** The earliest start of a spell that lasts until `at`, or ends at most `pauseMs` before it. */
  earliestReaching(at: number, pauseMs: number): number {
    return this.#spells.reduce(
      (earliest, { from, until }) =>
        from < at && until >= at - pauseMs ? Math.min(earliest, from) : earliest,
      at,
    );
  }
}

/** The start of the trouble that lasts until `at`, over all kinds. Pauses of at most `pauseMs` do not end a trouble. */
export function troubledSince(at: number, pauseMs: number, ...kinds: readonly Spells[]): number {
  let since = at;
  for (;;) {
    const earlier = Math.min(since, ...kinds.map((spells) => spells.earliestReaching(since, pauseMs)));
    if (earlier === since) return since;
    since = earlier;
  }
}
