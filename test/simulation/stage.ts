import { afterAll, beforeAll, expect } from 'vitest';
import type { Duty } from '../../src/protocol/periods.ts';
import { type RedisServer, startRedis } from '../support/services.ts';
import type { BrokenPorts } from './broken-ports.ts';
import type { Device } from './client.ts';
import { Deployment } from './deployment.ts';
import { Random } from './random.ts';
import { Phase } from './scheduler.ts';
import { ScriptRunner } from './script-runner.ts';
import { inOwnTurn } from './settle-promises.ts';
import type { Rules, SimulatedNode } from './simulated-node.ts';

const USUAL: Rules = { policy: 'replace', loginResetsTime: false, lastSeenTtlMs: 86_400_000 };
const START_MS = 3000;
/** The time of an upgrade or a request in a deployment without faults. */
const ANSWER_MS = 200;
/** The rule that a difference between scripts and rules breaks. */
const DIFFERENCE = '[PR13]';

/** A deployment that plays a written scene. Chance decides only the delays of calls to the stores. */
export class Stage extends Deployment {
  /** The ended periods, oldest first, each with its simulated time. */
  readonly ends: (Omit<Duty, 'id'> & { readonly now: number })[];

  constructor(rules: Partial<Rules>, runner?: ScriptRunner, broken?: BrokenPorts) {
    const ends: Stage['ends'] = [];
    const ended = (duty: Omit<Duty, 'id'>): void => void ends.push({ ...duty, now: this.scheduler.now });
    const faults = ['kill'] as const;
    super({ random: new Random(7), rules: { ...USUAL, ...rules }, faults, leaves: 0, ended, runner, broken });
    this.ends = ends;
  }

  /** A device that does nothing by itself. */
  device(userId: number, name = 'a'): Device {
    const device = this.addDevice(userId, name);
    device.returns = false;
    return device;
  }

  connect(device: Device, node: SimulatedNode): void {
    device.connect(node);
    this.advance(ANSWER_MS);
  }

  /** A request arrives at a node. The stage does not wait for the answer. */
  request(node: SimulatedNode, work: () => Promise<unknown>): void {
    this.scheduler.place(this.scheduler.now + 1, Phase.read, node.clock, () => void work());
  }

  loginByHttp(node: SimulatedNode, userId: number): void {
    this.request(node, () => this.proveByHttp(node, userId, true));
    this.advance(ANSWER_MS);
  }

  heartbeatByHttp(node: SimulatedNode, userId: number): void {
    this.request(node, () => this.proveByHttp(node, userId, false));
    this.advance(ANSWER_MS);
  }

  /** Without an epoch the node asks Redis for it first. */
  logout(node: SimulatedNode, userId: number, epoch?: number): void {
    const named = epoch === undefined ? {} : { epoch };
    this.request(node, () => node.tracker.logout({ userId, reason: 'logout', ...named }));
    this.advance(ANSWER_MS);
  }

  /** The current period, or 0 if the user is offline. */
  period(userId: number): number {
    const record = this.redis.world.records.get(userId);
    return record !== undefined && record.recorded && record.holds.size > 0 ? record.period : 0;
  }

  holders(userId: number): readonly string[] {
    return [...(this.redis.world.records.get(userId)?.holds.keys() ?? [])];
  }

  /** Another server with its own contents replaces Redis, which was away for `downMs`. */
  failover(restore: () => void, downMs: number): void {
    this.#away(() => {
      restore();
      this.redis.restart();
    });
    this.advance(downMs);
    this.host.down = false;
  }

  /** Redis is unreachable from now on, until the caller resets `host.down`. */
  unreachable(): void {
    this.#away(() => undefined);
  }

  #away(then: () => void): void {
    this.host.down = true;
    this.host.forget();
    then();
    for (const node of this.nodes) if (node.isUp) node.link.disconnect();
  }
}

export const STAGES = ['the rules', 'the real scripts'] as const;

/** Plays a scene. The simulator's witnesses do not judge it: they fit random histories, and a scene has its own expectations. */
export type OnStage = (rules: Partial<Rules>, play: (stage: Stage) => void) => () => Promise<void>;

/** Plays scenes on the rules, or on the scripts in a real Redis. For the tests of one `describe`. */
export function stageOn(where: (typeof STAGES)[number]): OnStage {
  let redis: RedisServer | undefined;
  let runner: ScriptRunner | undefined;
  if (where === 'the real scripts') {
    beforeAll(async () => {
      redis = await startRedis();
      runner = new ScriptRunner(redis.port);
    });
    afterAll(async () => {
      await runner?.close();
      await redis?.stop();
    });
  }
  return (rules, play) => () =>
    inOwnTurn(() => {
      const stage = new Stage(rules, runner);
      stage.startNode();
      stage.startNode();
      stage.advance(START_MS);
      play(stage);
      stage.end();
      expect(stage.witness.violations.filter((text) => text.includes(DIFFERENCE))).toEqual([]);
    });
}

/** The two nodes that run from the start. */
export function nodesOf(stage: Stage): readonly [SimulatedNode, SimulatedNode] {
  const [first, second] = stage.nodes;
  if (first === undefined || second === undefined) throw new Error('the stage has two nodes');
  return [first, second];
}

/** The number of periods that SQL has for a user. */
export function rowsOf(stage: Stage, userId: number): number {
  return [...stage.sql.rows.values()].filter((row) => row.userId === userId).length;
}
