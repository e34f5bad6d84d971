import { isDeepStrictEqual } from 'node:util';
import type { LostByNodes } from '../../src/presence/store/port.ts';
import { type StreamEntry, toDuty } from '../../src/presence/store/redis/duties.ts';
import type { ScriptName } from '../../src/presence/store/redis/scripts.ts';
import type { Duty } from '../../src/protocol/periods.ts';
import type { DumpRow } from '../support/timed-scripts.ts';
import { type Command, isError, type Reply } from './redis-bridge.ts';
import { ScriptLink } from './script-link.ts';
import type { ScriptRunner } from './script-runner.ts';
import { ScriptStore } from './script-store.ts';
import { TWINS, toScriptCall } from './script-twin.ts';
import {
  type Connected,
  DEAD_AFTER_MS,
  SimulatedRedis,
  type SimulatedRedisOptions,
} from './simulated-redis.ts';
import { differenceOf } from './state-comparison.ts';
import { type LineOptions, ServerError } from './store-line.ts';

export interface RealRedisOptions extends SimulatedRedisOptions {
  readonly runner: ScriptRunner;
  /** Receives each difference between the scripts and the rules. */
  readonly differs: (text: string) => void;
}

/** The nodes that hold each user before a call. */
type Holders = ReadonlyMap<number, readonly string[]>;

const DUTIES = 'lingxi:duties';
/** Scripts that end periods or move duties. */
const RECORDING: ReadonlySet<ScriptName> = new Set(['claim', 'end', 'reap']);
const FIRST_ID = '0-0';
const FEED_LENGTH = 1000;
const TIMELINE_TTL_MS = 7_776_000_000;
/** The number of snapshots at a time. Redis has as many databases besides the first. */
const MAX_COPIES = 15;

/**
 * A real Redis with the shipped scripts, on simulated time. The rules do the same calls beside it. The witnesses look at the rules,
 * and the nodes get the answers of the scripts. If the two differ, one of them is wrong (rule PR13).
 */
export class RealRedis extends SimulatedRedis {
  readonly #runner: ScriptRunner;
  readonly #differs: (text: string) => void;
  #copies = 0;
  /** The id of the newest duty that both have. */
  #lastId = FIRST_ID;

  constructor(options: RealRedisOptions) {
    super(options);
    this.#runner = options.runner;
    this.#differs = options.differs;
    this.#runner.reset();
  }

  /** Runs a script with the arguments of the product. Returns what Redis answers. */
  script(name: ScriptName, key: string, args: readonly (string | number)[]): Reply {
    const commands = [this.#runner.call(name, key, args)];
    if (RECORDING.has(name)) commands.push(['XRANGE', DUTIES, `(${this.#lastId}`, '+']);
    const [reply = null, entries] = this.#run(...commands);
    const call = toScriptCall(args);
    const holders = new Map(
      [...this.world.records].map(([userId, { holds }]) => [userId, [...holds.keys()]]),
    );
    const { script, rules } = TWINS[name](this, call, reply);
    if (!isDeepStrictEqual(script, rules))
      this.#differs(`${name} of ${call.caller.node} answers ${shown(script)}, by the rules ${shown(rules)}`);
    if (entries !== undefined)
      this.#compareDuties(name, entries as unknown as readonly StreamEntry[], holders);
    return answered(reply);
  }

  /** Any other command. Commands that deliver duties use simulated time. */
  command(name: string, args: readonly (string | number)[]): Reply {
    switch (name) {
      case 'xreadgroup':
        return this.#readGroup(args);
      case 'xautoclaim':
        return this.#takeAbandoned(args);
      default:
        return answered(this.#run([name, ...args])[0]);
    }
  }

  /** The node's own store on the scripts. */
  override connect(options: LineOptions, lost: (lost: LostByNodes) => void): Connected {
    const { node, clock } = options;
    const link = new ScriptLink({ ...options, real: this });
    const store = new ScriptStore(
      {
        ...{ ...this.rules, link, node, prefix: '', deadAfterMs: DEAD_AFTER_MS },
        ...{ feedLength: FEED_LENGTH, timelineTtlMs: TIMELINE_TTL_MS, now: () => clock.now(), lost },
      },
      this,
    );
    return { link, store };
  }

  /** Compares everything that both store. */
  override compareState(): void {
    const [rows] = this.#run(this.#runner.call('testDump'));
    const difference = differenceOf(this, rows as unknown as readonly DumpRow[]);
    if (difference !== undefined) this.#differs(difference);
  }

  override wipe(): void {
    super.wipe();
    this.#run(this.#runner.call('testWipe'));
    this.#lastId = FIRST_ID;
  }

  override snapshot(): () => void {
    const copy = (this.#copies % MAX_COPIES) + 1;
    this.#copies += 1;
    const lastId = this.#lastId;
    this.#run(this.#runner.call('testCopy', undefined, [0, copy]));
    const restore = super.snapshot();
    return () => {
      this.#run(this.#runner.call('testCopy', undefined, [copy, 0]));
      restore();
      this.#lastId = lastId;
    };
  }

  /** Removes expired data first. The rules do it only when they are asked, and the clock may step back before that. */
  #run(...commands: readonly Command[]): readonly Reply[] {
    const { records, losses, endings } = this.world;
    for (const userId of records.keys()) this.world.recordOf(userId, this.wall);
    for (const [node] of losses) losses.expire(node, this.wall);
    endings.expire(this.wall);
    return this.#runner.run(this.wall, ...commands);
  }

  /** XREADGROUP GROUP group consumer COUNT limit STREAMS stream from */
  #readGroup(args: readonly (string | number)[]): Reply {
    const [, group = '', consumer = '', , limit = 0, , stream = '', from = ''] = args;
    const call = this.#runner.call('testReadGroup', String(stream), [group, consumer, limit, from]);
    const [reply = null] = this.#run(call);
    if (isError(reply)) return answered(reply);
    const [of] = (reply ?? []) as unknown as [string, StreamEntry[]][];
    const asked = [String(consumer), Number(limit), this.wall] as const;
    const given = from === '>' ? this.duties.fresh(...asked) : this.duties.again(...asked);
    this.#compareGiven(`XREADGROUP ${from}`, of?.[1] ?? [], given);
    return reply;
  }

  /** XAUTOCLAIM stream group consumer idle start COUNT limit */
  #takeAbandoned(args: readonly (string | number)[]): Reply {
    const [stream = '', group = '', consumer = '', idle = 0, , , limit = 0] = args;
    const call = this.#runner.call('testAbandoned', String(stream), [group, consumer, idle, limit]);
    const [reply = null] = this.#run(call);
    if (isError(reply)) return answered(reply);
    const entries = (reply as unknown as [string, StreamEntry[]])[1];
    const given = this.duties.abandoned(String(consumer), Number(limit), this.wall);
    this.#compareGiven('XAUTOCLAIM', entries, given);
    return reply;
  }

  #compareGiven(command: string, entries: readonly StreamEntry[], given: readonly Duty[]): void {
    const real = entries.filter((entry) => entry?.[1] != null).map(toDuty);
    if (!isDeepStrictEqual(real, given))
      this.#differs(`${command} gives ${shown(real)}, by the rules ${shown(given)}`);
  }

  /** The rules continue with the ids of Redis. A script that ends several periods assigns them in its own order. */
  #compareDuties(name: ScriptName, entries: readonly StreamEntry[], holders: Holders): void {
    const real = entries.flatMap((entry) => toDuty(entry) ?? []);
    this.#lastId = entries.at(-1)?.[0] ?? this.#lastId;
    const told = sortedDuties(real, holders);
    const expected = sortedDuties(this.duties.appended(), holders);
    if (real.length < entries.length || !isDeepStrictEqual(told, expected))
      this.#differs(`${name} records ${shown(told)}, by the rules ${shown(expected)}`);
    this.duties.adopt(real);
  }
}

function answered(reply: Reply | undefined): Reply {
  if (isError(reply)) throw new ServerError(reply.error);
  return reply ?? null;
}

/** If several nodes hold a user, a logout may name any of them. */
function sortedDuties(duties: readonly Duty[], holders: Holders): readonly Duty[] {
  return duties
    .map((duty) => ({ ...duty, id: '', node: isOfAny(duty, holders) ? '' : duty.node }))
    .sort((left, right) => left.userId - right.userId || left.period - right.period);
}

function isOfAny({ reason, userId, node }: Duty, holders: Holders): boolean {
  return (reason === 'logout' || reason === 'kick') && holders.get(userId)?.includes(node) === true;
}

function shown(value: unknown): string {
  return JSON.stringify(value);
}
