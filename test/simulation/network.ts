import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import type { SimulatedRedis } from './simulated-redis.ts';

/** The state of the Redis server for all nodes: whether it answers at all. */
export class RedisHost {
  readonly redis: SimulatedRedis;
  /** Calls wait until the server continues. */
  stalled = false;
  /** Connections are refused, and calls are lost. */
  down = false;
  readonly #waiting: (() => void)[] = [];
  readonly #scheduler: Scheduler;

  constructor(redis: SimulatedRedis, scheduler: Scheduler) {
    this.redis = redis;
    this.#scheduler = scheduler;
  }

  get isBad(): boolean {
    return this.down || this.stalled;
  }

  /** Runs a script now, or after the stall. It never runs while the server is down. */
  submit(script: () => void): void {
    if (this.down) return;
    if (this.stalled) this.#waiting.push(script);
    else script();
  }

  goOn(): void {
    this.stalled = false;
    for (const script of this.#waiting.splice(0)) this.#scheduler.schedule(this.#scheduler.now, script);
  }

  /** Calls that the old server had not read are lost with it. */
  forget(): void {
    this.#waiting.length = 0;
  }
}

/** The quality of one node's line to Redis, as shares of calls. */
export interface LineQuality {
  lostRequests: number;
  lostReplies: number;
  doubled: number;
  late: number;
}

export const GOOD_LINE: LineQuality = { lostRequests: 0, lostReplies: 0, doubled: 0, late: 0 };

/** Whether this call is among the share. */
export function isHit(random: Random, share: number): boolean {
  return share > 0 && random.chance(share);
}
