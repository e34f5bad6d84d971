import { isDeepStrictEqual } from 'node:util';
import type { Caller } from '../../../src/presence/rules/lease.ts';
import type { Duty } from '../../../src/protocol/periods.ts';
import { RedisLink } from '../../../src/redis/link.ts';
import { bringBack, type DumpedKey, dump, expireDue, keepCopy, setTime, wipe } from '../timed-scripts.ts';
import { Difference } from './difference.ts';
import { ExpectedRedis, type ModelSettings } from './expected-redis.ts';
import { dutyIds, expectedImage, newestDutyNode, redisImage } from './images.ts';

const BEGIN = 1_700_000_000_000;
/** What one command takes. A key that has a millisecond to live is gone before the next command. */
export const COMMAND_MS = 2;

/** A link that says which connection it is, and to which run of a Redis. */
export class NamedLink extends RedisLink {
  connection = '1';
  run = 'run-1';

  /** Runs as soon as a script of the product is sent, so that both travel together. */
  sent: () => void = () => {};

  override script(name: string, key: string, args: readonly (string | number)[]): Promise<unknown> {
    const answer = super.script(name, key, args);
    const { sent } = this;
    this.sent = () => {};
    sent();
    return answer;
  }

  override get connectionName(): string {
    return this.connection;
  }

  override runId(): Promise<string> {
    return Promise.resolve(this.run);
  }
}

type Dumped = ReadonlyMap<string, DumpedKey>;

/** One command on both sides. */
export interface TwoSidedCall<Answer> {
  readonly name: string;
  readonly caller: Caller;
  /** One of many while time passes: its answer is compared, the state with the next command. */
  readonly isBetween?: boolean;
  /** False where the call sends more than one command. */
  readonly isOneScript?: boolean;
  readonly redis: () => Promise<Answer>;
  readonly rules: (wall: number) => Answer;
}

/** What each command was and what came of it, for whoever reads why a history failed. */
export type Trace = (line: string) => void;

/** The scripts on a real Redis and what the rules say of them, on one time. Throws a {@link Difference}. */
export class TwoSides {
  now = BEGIN;
  /** Commands after which everything was compared. */
  compared = 0;
  readonly expected: ExpectedRedis;
  readonly trace: Trace;
  readonly #link: NamedLink;
  readonly #nodes: readonly string[];
  readonly #copies = new Map<number, { readonly run: string; readonly bringBack: () => void }>();
  /** Ids of duties: what the rules have for what Redis gave. */
  #ids = new Map<string, string>();

  constructor(
    link: NamedLink,
    options: { readonly settings: ModelSettings; readonly nodes: readonly string[]; readonly trace: Trace },
  ) {
    this.#link = link;
    this.#nodes = options.nodes;
    this.trace = options.trace;
    this.expected = new ExpectedRedis(options.settings);
  }

  /** Runs a script, then the rules, and compares answers and everything that is kept. */
  async run<Answer>(call: TwoSidedCall<Answer>): Promise<Answer> {
    const { caller } = call;
    this.#link.connection = caller.lease;
    this.#link.run = caller.runId;
    const wall = this.now;
    void setTime(this.#link, wall);
    // What went while time passed is gone before the script.
    void expireDue(this.#link);
    this.expected.expire(wall);
    this.now += COMMAND_MS;
    let sent: Promise<Dumped | undefined> | undefined;
    const look = (): void => {
      sent ??= this.#look(call.isBetween === true);
    };
    // What looks at more than one script is looked at after the last.
    if (call.isOneScript !== false) this.#link.sent = look;
    const answer = await call.redis();
    this.#link.sent = () => {};
    look();
    this.#compare(`${caller.node}/${caller.lease} ${call.name}`, {
      ...{ answer, rules: () => call.rules(wall), dumped: await sent },
    });
    return answer;
  }

  async wipe(): Promise<void> {
    await setTime(this.#link, this.now);
    await wipe(this.#link);
    this.expected.wipe();
  }

  /** Keeps a snapshot; `run` comes back with it. */
  async keep(copy: number, run: string): Promise<void> {
    await keepCopy(this.#link, copy);
    this.#copies.set(copy, { run, bringBack: this.expected.snapshot() });
  }

  /** Returns to a snapshot; answers the run that was kept with it, undefined where none was kept. */
  async bringBack(copy: number): Promise<string | undefined> {
    const kept = this.#copies.get(copy);
    if (kept === undefined) return undefined;
    await bringBack(this.#link, copy);
    kept.bringBack();
    const dumped = await this.#look(false);
    this.#compare('bring back', { answer: undefined, rules: () => undefined, dumped });
    return kept.run;
  }

  /** Duties as Redis names them, oldest first. */
  get duties(): readonly Duty[] {
    return this.expected.duties.map((duty) => this.named(duty));
  }

  /** A duty of the rules by the id that Redis gave. */
  named(duty: Duty): Duty {
    const id = [...this.#ids].find(([, ofRules]) => ofRules === duty.id)?.[0] ?? '';
    return { ...duty, id };
  }

  /** The other way round. */
  unnamed(duty: Duty): Duty {
    return { ...duty, id: this.#ids.get(duty.id) ?? '' };
  }

  /** What is kept once the command's time is over; nothing where only answers are compared. */
  async #look(isBetween: boolean): Promise<Dumped | undefined> {
    void setTime(this.#link, this.now);
    void expireDue(this.#link);
    return isBetween ? undefined : dump(this.#link);
  }

  #compare<Answer>(
    name: string,
    call: {
      readonly answer: Answer;
      readonly rules: () => Answer;
      readonly dumped: Dumped | undefined;
    },
  ): void {
    const { dumped } = call;
    if (dumped !== undefined) this.#chooseHolder(newestDutyNode(dumped));
    const expected = call.rules();
    this.expected.expire(this.now);
    this.trace(`${this.now - COMMAND_MS} ${name} -> ${JSON.stringify(call.answer)}`);
    if (!isDeepStrictEqual(call.answer, expected))
      throw new Difference(name, { rules: expected, scripts: call.answer });
    if (dumped === undefined) return;
    this.compared += 1;
    const ids = dutyIds(dumped);
    this.#ids = new Map(this.expected.duties.map(({ id }, index) => [ids[index] ?? '', id]));
    const [rules, scripts] = [expectedImage(this.expected, this.#nodes), redisImage(dumped)];
    if (!isDeepStrictEqual(scripts, rules)) throw new Difference(name, { rules, scripts });
  }

  /** Of several nodes that hold a user, the row of an end may name any. */
  #chooseHolder(node: string | undefined): void {
    for (const { holds } of this.expected.world.records.values()) {
      const chosen = node === undefined ? undefined : holds.get(node);
      if (node === undefined || chosen === undefined) continue;
      const others = [...holds].filter(([other]) => other !== node);
      holds.clear();
      for (const [other, hold] of [[node, chosen] as const, ...others]) holds.set(other, hold);
    }
  }
}

/** Whether a call is taken. */
export async function isDone(call: Promise<void>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch {
    return false;
  }
}
