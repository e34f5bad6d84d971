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
/** An upgrade, or a request, in a deployment that is well. */
const ANSWER_MS = 200;
/** What scripts and rules do differently is told under this rule. */
const DIFFERENCE = '[PR13]';

/** A deployment whose history is written down: nothing in it is left to chance but the way to the stores. */
export class Stage extends Deployment {
  /** Periods that ended, oldest first, and the simulated time of it. */
  readonly ends: (Omit<Duty, 'id'> & { readonly now: number })[];

  constructor(rules: Partial<Rules>, runner?: ScriptRunner, broken?: BrokenPorts) {
    const ends: Stage['ends'] = [];
    const ended = (duty: Omit<Duty, 'id'>): void => void ends.push({ ...duty, now: this.scheduler.now });
    const faults = ['kill'] as const;
    super({ random: new Random(7), rules: { ...USUAL, ...rules }, faults, leaves: 0, ended, runner, broken });
    this.ends = ends;
  }

  /** A device that does only what it is told. */
  device(userId: number, name = 'a'): Device {
    const device = this.addDevice(userId, name);
    device.returns = false;
    return device;
  }

  connect(device: Device, node: SimulatedNode): void {
    device.connect(node);
    this.advance(ANSWER_MS);
  }

  /** A request that arrives at a node; what it was answered is not waited for. */
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

  /** The period that runs; 0 where the user is offline. */
  period(userId: number): number {
    const record = this.redis.world.records.get(userId);
    return record !== undefined && record.recorded && record.holds.size > 0 ? record.period : 0;
  }

  holders(userId: number): readonly string[] {
    return [...(this.redis.world.records.get(userId)?.holds.keys() ?? [])];
  }

  /** Another server with contents of its own takes the place of Redis, which was away for `downMs`. */
  failover(restore: () => void, downMs: number): void {
    this.#away(() => {
      restore();
      this.redis.restart();
    });
    this.advance(downMs);
    this.host.down = false;
  }

  /** Redis cannot be reached from now on, until `host.down` is taken back. */
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

/** Plays a scene. What the simulator's witnesses think of it is not asked: they know chance, and scenes say what they expect. */
export type OnStage = (rules: Partial<Rules>, play: (stage: Stage) => void) => () => Promise<void>;

/** Plays scenes over a Redis that is the rules, or over a real one with the scripts. For the tests of one `describe`. */
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

/** Two nodes that are there from the start. */
export function nodesOf(stage: Stage): readonly [SimulatedNode, SimulatedNode] {
  const [first, second] = stage.nodes;
  if (first === undefined || second === undefined) throw new Error('the stage has two nodes');
  return [first, second];
}
