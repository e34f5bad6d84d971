import type { Case, Kind, Part } from './case.ts';
import { DEAF } from './play-bus.ts';
import { KEPT, SILENT } from './play-socket.ts';
import type { Stage, Trouble } from './stage.ts';
import { Tally } from './tally.ts';

/** One kind of input, and the way to play it. */
export interface Plan {
  readonly kind: Kind;
  readonly seed: number;
  /** Frames, messages, handshakes or texts to send. */
  readonly count: number;
  /** Number of cases that are played at the same time. */
  readonly concurrency: number;
  make(index: number): Case;
  unitsOf(input: Case): number;
  play(input: Case): Promise<string>;
}

/** A fault with the smallest input that was found to cause it. */
export interface Finding {
  readonly kind: Kind;
  readonly trouble: Trouble;
  /** The number of the case, which replays it. */
  readonly seed: number;
  /** Undefined if no single case was the cause. */
  readonly index: number | undefined;
  /** The required parts, in words. */
  readonly parts: readonly string[];
  /** How often the fault was seen. */
  times: number;
}

export interface AttackReport {
  readonly kind: Kind;
  readonly units: number;
  readonly cases: number;
  readonly seconds: number;
  /** Number of cases by the answer of the product. */
  readonly answers: ReadonlyMap<string, number>;
  readonly findings: readonly Finding[];
  /** Waits over the limit that did not repeat when the same cases were played again. */
  readonly unrepeated: readonly Trouble[];
  /** Whether the attack ended early because it found too much. */
  readonly gaveUp: boolean;
}

/** After each round of this size, the attack checks whether the product is well. */
const ROUND_MS = 400;
/** After this many faults, the attack skips the rest of a kind. */
const MAX_TROUBLES = 40;
/** Largest number of faults of one kind whose causes are searched. */
const MAX_SEARCHES = 6;
/** Answers that are findings even if the process is well. */
const ODD_ANSWERS: ReadonlySet<string> = new Set([SILENT, KEPT, DEAF]);
/** Largest number of shown characters of one case among several. */
const SHOWN_CHARS = 160;
/** Largest number of replays to find one cause. */
const MAX_PROBES = 60;

/** Plays the cases of a plan in rounds, and finds the cause of each fault. */
export class Attack {
  readonly #stage: Stage;
  readonly #plan: Plan;
  readonly #answers = new Tally();
  readonly #findings: Finding[] = [];
  readonly #unrepeated: Trouble[] = [];
  /** Cases that may cause a fault long after their round. */
  readonly #patient: Case[] = [];
  readonly #waiting = new Set<Promise<void>>();
  readonly #odd: { readonly input: Case; readonly answer: string }[] = [];
  #turn: Promise<unknown> = Promise.resolve();
  #next = 0;
  #units = 0;
  #troubles = 0;
  #searches = 0;
  #probesLeft = 0;

  constructor(stage: Stage, plan: Plan) {
    this.#stage = stage;
    this.#plan = plan;
  }

  /** Plays all cases. `progress` gets the number of sent units after each round. */
  async run(progress: (units: number) => void = () => undefined): Promise<AttackReport> {
    const { kind, count } = this.#plan;
    const began = performance.now();
    while (this.#units < count && this.#troubles < MAX_TROUBLES) {
      await this.#judge(await this.#round());
      progress(this.#units);
    }
    await Promise.all(this.#waiting);
    await this.#judge([]);
    return {
      kind,
      units: this.#units,
      cases: this.#next,
      seconds: (performance.now() - began) / 1000,
      answers: this.#answers.counts,
      findings: this.#findings,
      unrepeated: this.#unrepeated,
      gaveUp: this.#troubles >= MAX_TROUBLES,
    };
  }

  /** Plays one case alone, and shrinks it if it causes a fault. */
  async runOne(index: number): Promise<Finding | undefined> {
    const input = this.#plan.make(index);
    const trouble = await this.#probe([input]);
    return trouble === undefined ? undefined : this.#shrunk(input, trouble);
  }

  async #round(): Promise<readonly Case[]> {
    const played: Case[] = [];
    const until = performance.now() + ROUND_MS;
    const isOver = (): boolean =>
      performance.now() > until ||
      this.#units >= this.#plan.count ||
      this.#stage.witness.closed() !== undefined;
    const work = async (): Promise<void> => {
      while (!isOver()) {
        await this.#ownTurn();
        if (isOver()) return;
        const input = this.#plan.make(this.#next);
        this.#next += 1;
        this.#units += this.#plan.unitsOf(input);
        played.push(input);
        const answered = this.#plan.play(input).then((answer) => {
          this.#answers.add(answer);
          if (ODD_ANSWERS.has(answer)) this.#odd.push({ input, answer });
        });
        // It takes seconds until the server cuts such a client. The attack does not wait for that.
        if (input.leaving === 'wait') this.#follow(input, answered);
        else await answered;
      }
    };
    await Promise.all(Array.from({ length: this.#plan.concurrency }, work));
    return played;
  }

  #follow(input: Case, answered: Promise<void>): void {
    this.#patient.push(input);
    const followed = answered.finally(() => this.#waiting.delete(followed));
    this.#waiting.add(followed);
  }

  /** One case is created in each turn of the loop, so that this program does not block by creating many at once. */
  #ownTurn(): Promise<unknown> {
    const turn = this.#turn.then(() => new Promise((resolve) => setImmediate(resolve)));
    this.#turn = turn;
    return turn;
  }

  async #judge(played: readonly Case[]): Promise<void> {
    const trouble = await this.#stage.look();
    const odd = this.#odd.splice(0);
    if (trouble === undefined) return odd.forEach(({ input, answer }) => this.#report(input, answer));
    this.#troubles += 1;
    await this.#stage.recover(trouble);
    const known = this.#findings.find((finding) => isSame(finding.trouble, trouble));
    if (known !== undefined && (trouble.what !== 'stall' || this.#searches >= MAX_SEARCHES)) {
      known.times += 1;
      return;
    }
    this.#searches += 1;
    const finding = await this.#search([...new Set([...played, ...this.#patient])], trouble);
    if (finding === undefined) {
      this.#unrepeated.push(trouble);
      return;
    }
    this.#add(finding);
  }

  #add(finding: Finding): void {
    const alike = this.#findings.find(
      (other) => withoutNumbers(other.parts.join()) === withoutNumbers(finding.parts.join()),
    );
    if (alike === undefined) this.#findings.push(finding);
    else alike.times += 1;
  }

  /** The process is well, but it accepts a client that it must refuse, or refuses one that it must accept. */
  #report(input: Case, answer: string): void {
    const cause = { index: input.index, parts: summary(input.parts) };
    this.#add(this.#finding({ what: 'wrong answer', detail: answer }, cause));
  }

  /** Replays the cases, first all together and then in halves. A stall that does not repeat came from the machine. */
  async #search(played: readonly Case[], trouble: Trouble): Promise<Finding | undefined> {
    this.#probesLeft = MAX_PROBES;
    const comesAgain = await this.#causes(played, trouble);
    if (trouble.what === 'stall') {
      // Twice in a row, because a busy machine stalls now and then.
      if (!comesAgain || !(await this.#causes(played, trouble))) return undefined;
    } else if (!comesAgain) {
      return this.#finding(trouble, { parts: [`one of ${played.length} cases; it did not come again`] });
    }
    const suspects = await this.#reduced(played, (fewer) => this.#causes(fewer, trouble));
    const [only] = suspects;
    if (only !== undefined && suspects.length === 1) return this.#shrunk(only, trouble);
    const parts = suspects.map((input) =>
      `case ${input.index}: ${summary(input.parts).join(', ')}`.slice(0, SHOWN_CHARS),
    );
    return this.#finding(trouble, { parts: [`${suspects.length} cases together`, ...parts] });
  }

  /** Removes parts as long as the fault remains. */
  async #shrunk(input: Case, trouble: Trouble): Promise<Finding> {
    this.#probesLeft = Math.max(this.#probesLeft, MAX_PROBES / 2);
    const parts = await this.#reduced(input.parts, (fewer) =>
      this.#causes([{ ...input, parts: fewer }], trouble),
    );
    return this.#finding(trouble, { index: input.index, parts: summary(parts) });
  }

  /** Removes halves, quarters and so on, down to single items, as long as the rest still causes the fault. */
  async #reduced<Item>(
    all: readonly Item[],
    causes: (fewer: readonly Item[]) => Promise<boolean>,
  ): Promise<readonly Item[]> {
    let items = all;
    for (let size = Math.ceil(items.length / 2); size >= 1 && items.length > 1; size = Math.floor(size / 2)) {
      for (let at = 0; at < items.length && items.length > 1 && this.#probesLeft > 0; ) {
        const fewer = items.toSpliced(at, size);
        if (fewer.length > 0 && (await causes(fewer))) items = fewer;
        else at += size;
      }
    }
    return items;
  }

  #finding(trouble: Trouble, cause: { readonly index?: number; readonly parts: readonly string[] }): Finding {
    const { kind, seed } = this.#plan;
    return { kind, seed, trouble, index: cause.index, parts: cause.parts, times: 1 };
  }

  async #causes(cases: readonly Case[], trouble: Trouble): Promise<boolean> {
    if (cases.length === 0) return false;
    const seen = await this.#probe(cases);
    return seen?.what === trouble.what;
  }

  async #probe(cases: readonly Case[]): Promise<Trouble | undefined> {
    this.#probesLeft -= 1;
    // If a client only waits for the cut, only its sent bytes can be the cause.
    const impatient = cases.map(
      (input): Case => (input.leaving === 'wait' ? { ...input, leaving: 'reset' } : input),
    );
    const trouble = await this.#stage.lookAfter(async () => {
      if (this.#plan.concurrency > 1) await Promise.all(impatient.map((input) => this.#plan.play(input)));
      else for (const input of impatient) await this.#plan.play(input);
    });
    if (trouble !== undefined) await this.#stage.recover(trouble);
    return trouble;
  }
}

function isSame(left: Trouble, right: Trouble): boolean {
  return (
    left.what === right.what &&
    (left.what === 'stall' || withoutNumbers(left.detail) === withoutNumbers(right.detail))
  );
}

function withoutNumbers(text: string): string {
  return text.replaceAll(/\d+/g, '#');
}

/** Consecutive equal parts are shown once. */
function summary(parts: readonly Part[]): readonly string[] {
  const lines: { readonly what: string; times: number }[] = [];
  for (const { what } of parts) {
    const last = lines.at(-1);
    if (last?.what === what) last.times += 1;
    else lines.push({ what, times: 1 });
  }
  return lines.map(({ what, times }) => (times === 1 ? what : `${times} × ${what}`));
}
