import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import type { SimulatedRedis } from './simulated-redis.ts';

/** What lies between the nodes and Redis, for all of them: whether the server answers at all. */
export class RedisHost {
  readonly redis: SimulatedRedis;
  /** Calls wait until it goes on. */
  stalled = false;
  /** Connections are refused, calls get lost. */
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

  /** Runs a script now, or when the stall is over; never while the server is down. */
  submit(script: () => void): void {
    if (this.down) return;
    if (this.stalled) this.#waiting.push(script);
    else script();
  }

  goOn(): void {
    this.stalled = false;
    for (const script of this.#waiting.splice(0)) this.#scheduler.schedule(this.#scheduler.now, script);
  }

  /** What the old server had not read is gone with it. */
  forget(): void {
    this.#waiting.length = 0;
  }
}

/** How bad the line of one node to Redis is; shares of calls. */
export interface LineQuality {
  lostRequests: number;
  lostReplies: number;
  doubled: number;
  late: number;
}

export const GOOD_LINE: LineQuality = { lostRequests: 0, lostReplies: 0, doubled: 0, late: 0 };

/** Whether a call does what its share says. */
export function befalls(random: Random, share: number): boolean {
  return share > 0 && random.chance(share);
}
