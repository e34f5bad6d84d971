import type { Caller } from '../../src/presence/rules/lease.ts';
import type { ScriptName } from '../../src/presence/store/redis/scripts.ts';
import type { StoreConnection } from '../../src/presence/store/redis/store-connection.ts';
import type { RealRedis } from './real-redis.ts';
import type { Reply } from './redis-bridge.ts';
import { type LineOptions, StoreLine } from './store-line.ts';

/** The link to Redis that the node's own store gets. Each call goes over the bad network to a real Redis. */
export class ScriptLink extends StoreLine implements StoreConnection {
  readonly database = 0;
  readonly client: StoreConnection['client'];
  readonly #real: RealRedis;

  constructor(options: LineOptions & { readonly real: RealRedis }) {
    super(options);
    this.#real = options.real;
    this.client = new Proxy({} as StoreConnection['client'], {
      get:
        (_, name) =>
        (...args: readonly (string | number)[]) =>
          this.#call(() => this.#real.command(String(name), args)),
    });
  }

  async runId(): Promise<string> {
    return (await this.caller()).runId;
  }

  script(name: string, key: string, args: readonly (string | number)[]): Promise<unknown> {
    return this.#call(() => this.#real.script(name as ScriptName, key, args));
  }

  guarded<Value>(command: Promise<Value>): Promise<Value> {
    return command;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #call(run: () => Reply): Promise<Reply> {
    // The call itself names its caller.
    const caller: Caller = { node: '', lease: '', runId: this.redis.runId };
    return this.send(run, caller);
  }
}
