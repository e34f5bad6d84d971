import { isDeepStrictEqual } from 'node:util';
import type { Caller } from '../../../src/presence/rules/lease.ts';
import type { Duty } from '../../../src/protocol/periods.ts';
import { RedisLink, type RedisLinkOptions } from '../../../src/redis/link.ts';
import { bringBack, type DumpedKey, dump, expireDue, keepCopy, setTime, wipe } from '../timed-scripts.ts';
import { Difference } from './difference.ts';
import { ExpectedRedis, type ModelSettings } from './expected-redis.ts';
import { dutyIds, expectedImage, newestDutyNode, redisImage } from './images.ts';

const BEGIN = 1_700_000_000_000;
/** The time that one command takes. A key with one millisecond to live expires before the next command. */
export const COMMAND_MS = 2;
/** Longer than any test: a history takes no time, but a busy machine may stop the test within it for seconds. */
const NEVER_MS = 1_000_000_000;

/** A link that names its connection and the run of Redis. */
export class NamedLink extends RedisLink {
  connection = '1';
  run = 'run-1';

  /** Runs as soon as a script of the product is sent, so that both are sent together. */
  sent: () => void = () => {};

  constructor(options: RedisLinkOptions) {
    super(options);
    const { client } = this;
    // Redis counts by its own clock how long a node has had a duty, so no duty counts as abandoned.
    const xautoclaim = (stream: string, group: string, node: string, _idleMs: number, ...rest: string[]) =>
      client.call('XAUTOCLAIM', stream, group, node, NEVER_MS, ...rest);
    Object.assign(client, { xautoclaim });
  }

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
  /** One of many calls while time passes. Its answer is compared at once, the state with the next command. */
  readonly isBetween?: boolean;
  /** False if the call sends more than one command. */
  readonly isOneScript?: boolean;
  readonly redis: () => Promise<Answer>;
  readonly rules: (wall: number) => Answer;
}

/** Receives each command and its outcome, for readers of a failed history. */
export type Trace = (line: string) => void;

/** The scripts on a real Redis, and the rules, on the same clock. Throws a {@link Difference}. */
export class TwoSides {
  now = BEGIN;
  /** The number of commands after which everything was compared. */
  compared = 0;
  readonly expected: ExpectedRedis;
  readonly trace: Trace;
  readonly #link: NamedLink;
  readonly #nodes: readonly string[];
  readonly #copies = new Map<number, { readonly run: string; readonly bringBack: () => void }>();
  /** Ids of duties in the rules, by the ids that Redis gave. */
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

  /** Runs a script, then the rules, and compares the answers and the whole state. */
  async run<Answer>(call: TwoSidedCall<Answer>): Promise<Answer> {
    const { caller } = call;
    this.#link.connection = caller.lease;
    this.#link.run = caller.runId;
    const wall = this.now;
    // What expired while time passed is gone before the script runs.
    void expireDue(this.#link, wall);
    this.expected.expire(wall);
    this.now += COMMAND_MS;
    let sent: Promise<Dumped | undefined> | undefined;
    const look = (): void => {
      sent ??= this.#look(call.isBetween === true);
    };
    // If a call sends more than one script, the state is read after the last one.
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

  /** Keeps a snapshot. `bringBack` returns its `run`. */
  async keep(copy: number, run: string): Promise<void> {
    await keepCopy(this.#link, copy);
    this.#copies.set(copy, { run, bringBack: this.expected.snapshot() });
  }

  /** Returns to a snapshot. The result is the run that was kept with it, or undefined if there is no snapshot. */
  async bringBack(copy: number): Promise<string | undefined> {
    const kept = this.#copies.get(copy);
    if (kept === undefined) return undefined;
    await bringBack(this.#link, copy);
    kept.bringBack();
    const dumped = await this.#look(false);
    this.#compare('bring back', { answer: undefined, rules: () => undefined, dumped });
    return kept.run;
  }

  /** Duties with the ids of Redis, oldest first. */
  get duties(): readonly Duty[] {
    return this.expected.duties.map((duty) => this.named(duty));
  }

  /** A duty of the rules with the id that Redis gave. */
  named(duty: Duty): Duty {
    const id = [...this.#ids].find(([, ofRules]) => ofRules === duty.id)?.[0] ?? '';
    return { ...duty, id };
  }

  /** The reverse. */
  unnamed(duty: Duty): Duty {
    return { ...duty, id: this.#ids.get(duty.id) ?? '' };
  }

  /** The stored state at the end of the command's time. Undefined if only answers are compared. */
  async #look(isBetween: boolean): Promise<Dumped | undefined> {
    if (!isBetween) return dump(this.#link, this.now);
    void expireDue(this.#link, this.now);
    return undefined;
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

  /** If several nodes hold a user, the row of an end may name any of them. */
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

/** Whether Redis accepts the call. */
export async function isDone(call: Promise<void>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch {
    return false;
  }
}
