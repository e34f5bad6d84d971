/** Times of the ledger are wall-clock milliseconds of this machine, which nodes, Redis and PostgreSQL share. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** After Redis answers again, a node may count the state before the outage as valid for this time (rules PR10, PR11). */
export const RESTORE_MS = 2_000;
/** Rule PR9 has no time. A node that returns to a backlog, on two cores, connects its users anew within this time. */
const REOPEN_MS = 6_000;
/** The newest recorded proof is at most this much older than the true one (rule ST5). */
export const RECORD_MS = 5_000;
/** Without a fault, a call that was sent and not answered takes effect within this time. */
const UNDER_WAY_MS = 1_000;
/** Two faults that are this close count as one: no call could succeed between them. */
const CLOSE_MS = 1_000;

/** Without a fault, a duty waits this long for its transaction. */
const SETTLED_WITHIN_MS = 1_500;
/** With a fault: until the duty is taken from a node that did not finish it, and tried again. */
const SETTLED_IN_TROUBLE_MS = 15_000;

/** Times in which something was away. */
export class Spans {
  readonly #spans: { readonly from: number; to: number }[] = [];

  begin(): void {
    this.#spans.push({ from: Date.now(), to: Number.POSITIVE_INFINITY });
  }

  end(): void {
    const last = this.#spans.at(-1);
    if (last !== undefined && last.to === Number.POSITIVE_INFINITY) last.to = Date.now();
  }

  get all(): readonly Span[] {
    return this.#spans;
  }
}

/** One start of a node. */
export class NodeLife {
  readonly name: string;
  readonly from = Date.now();
  readonly freezes = new Spans();
  endedAt = Number.POSITIVE_INFINITY;
  /** A stopped node has reported its state; a killed one has not. */
  end: 'killed' | 'stopped' | undefined;

  constructor(name: string) {
    this.name = name;
  }
}

/** The faults of the deployment, and exactly what they excuse by the bounds of the protocol. */
export class World {
  readonly timeoutMs: number;
  readonly redis = new Spans();
  readonly postgres = new Spans();
  readonly wipes = new Spans();
  readonly lives: NodeLife[] = [];

  constructor(timeoutMs: number) {
    this.timeoutMs = timeoutMs;
  }

  /** Until when a call without an answer, sent to `life` until `at`, may take effect. */
  latestEffect(life: NodeLife, at: number): number {
    let latest = at + UNDER_WAY_MS;
    for (const span of life.freezes.all)
      if (span.from <= latest && span.to > at) latest = Math.max(latest, span.to + UNDER_WAY_MS);
    for (const span of this.redis.all)
      if (span.from <= latest && span.to > at) latest = Math.max(latest, span.to + RESTORE_MS);
    return latest;
  }

  /**
   * Times in which `life` may look dead although it lives: it was frozen, or also cut off, for longer than the timeout. Its users
   * may be logged out once, and are connected anew when it returns.
   */
  looksDead(life: NodeLife): readonly Span[] {
    const away = [
      ...life.freezes.all.map((span) => ({ ...span, frozen: true })),
      ...this.redis.all.map((span) => ({ ...span, frozen: false })),
    ].sort((left, right) => left.from - right.from);
    const merged: { from: number; to: number; frozen: boolean }[] = [];
    for (const span of away) {
      const last = merged.at(-1);
      if (last !== undefined && span.from <= last.to + CLOSE_MS) {
        last.to = Math.max(last.to, span.to);
        last.frozen ||= span.frozen;
      } else merged.push({ ...span });
    }
    return merged
      .filter((span) => span.frozen && span.to - span.from > this.timeoutMs)
      .map(({ from, to }) => ({ from, to: this.healedAfter(to) }));
  }

  /** When all users that were lost until `at` are connected anew. Opening a period needs Redis and PostgreSQL. */
  healedAfter(at: number): number {
    let healed = at + REOPEN_MS;
    for (const span of [...this.redis.all, ...this.postgres.all].sort(
      (left, right) => left.from - right.from,
    ))
      if (span.from < healed && span.to > at) healed = Math.max(healed, span.to + REOPEN_MS);
    return healed;
  }

  /** Milliseconds between two times in which Redis could record nothing. */
  unrecorded(from: number, to: number): number {
    return overlap(this.redis.all, { from, to, healMs: RESTORE_MS });
  }

  unwritten(from: number, to: number): number {
    return overlap(this.postgres.all, { from, to, healMs: RESTORE_MS });
  }

  /**
   * How `life` was lost between two times, and by how much its records may be older than the truth. Undefined if it lived and was
   * reachable.
   */
  lossOf(
    life: NodeLife,
    from: number,
    until: number,
  ): { readonly at: number; readonly spareMs: number } | undefined {
    const dead =
      life.end !== undefined && life.endedAt >= from && life.endedAt <= until ? life.endedAt : undefined;
    const dark = this.looksDead(life).find((span) => span.to >= from && span.from <= until);
    const at = Math.min(dead ?? Number.POSITIVE_INFINITY, dark?.from ?? Number.POSITIVE_INFINITY);
    if (at === Number.POSITIVE_INFINITY) return undefined;
    return { at, spareMs: RECORD_MS + this.unrecorded(from - RECORD_MS, at) };
  }

  /** Whether an end at some time from `from` to `to` may have been wiped before its settlement. */
  wasWiped(from: number, to = from): boolean {
    const isCalm = this.wasCalm(from - SETTLED_WITHIN_MS, to + SETTLED_WITHIN_MS);
    const withinMs = isCalm ? SETTLED_WITHIN_MS : SETTLED_IN_TROUBLE_MS;
    return this.wipes.all.some((wipe) => to >= wipe.from - withinMs && from <= wipe.to);
  }

  /** Whether there was no fault at all between two times. */
  wasCalm(from: number, to: number): boolean {
    const spans = [
      ...this.redis.all,
      ...this.postgres.all,
      ...this.lives.flatMap(({ freezes }) => freezes.all),
    ];
    return (
      spans.every((span) => span.to + RESTORE_MS < from || span.from > to) &&
      this.lives.every(({ endedAt }) => endedAt < from || endedAt > to)
    );
  }
}

function overlap(spans: readonly Span[], { from, to, healMs }: Span & { readonly healMs: number }): number {
  return spans.reduce(
    (sum, span) => sum + Math.max(0, Math.min(to, span.to + healMs) - Math.max(from, span.from)),
    0,
  );
}
