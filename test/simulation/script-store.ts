import type { ReapAnswer } from '../../src/presence/store/port.ts';
import { RedisPresenceStore, type RedisStoreOptions } from '../../src/presence/store/redis/store.ts';
import type { Duty, PendingDuties } from '../../src/protocol/periods.ts';
import { NOTHING_REAPED } from './contents.ts';
import type { RealRedis } from './real-redis.ts';
import type { ScriptLink } from './script-link.ts';

/**
 * The node's own store. On a good line it omits calls that would find nothing according to the rules. These are two of three calls.
 */
export class ScriptStore extends RedisPresenceStore {
  readonly #link: ScriptLink;
  readonly #real: RealRedis;

  constructor(options: RedisStoreOptions & { readonly link: ScriptLink }, real: RealRedis) {
    super(options);
    this.#link = options.link;
    this.#real = real;
  }

  override reap(limit: number): Promise<ReapAnswer> {
    const isIdle = this.#link.isGood && this.#real.hasNothingToReap();
    return isIdle ? Promise.resolve(NOTHING_REAPED) : super.reap(limit);
  }

  override takeDuties(limit: number): Promise<readonly Duty[]> {
    const isIdle = this.#link.isGood && this.#real.duties.size === 0;
    return isIdle ? Promise.resolve([]) : super.takeDuties(limit);
  }

  /** Only metrics use this, and a stopping node that decides whether to wait longer. */
  override pendingDuties(): Promise<PendingDuties> {
    const { size } = this.#real.duties;
    if (!this.#link.isGood || size > 0) return super.pendingDuties();
    return Promise.resolve({ count: 0, oldestAgeMs: 0, setAside: 0 });
  }
}
