import { RedisRevocations } from '../../src/cluster/redis-revocations.ts';
import type { RevocationStore } from '../../src/gateway/revocations.ts';
import type { RedisLink } from '../../src/redis/link.ts';
import type { StoreLine } from './store-line.ts';

type Entry = readonly [string, readonly string[]];

/** The two keys of the revocations in Redis, and the commands that the product uses on them. */
export class RevocationKeys {
  readonly #set = new Map<string, number>();
  #stream: Entry[] = [];

  copyFrom({
    set,
    stream,
  }: {
    readonly set: ReadonlyMap<string, number>;
    readonly stream: readonly Entry[];
  }): void {
    for (const [user, at] of set) this.#set.set(user, at);
    this.#stream = [...stream];
  }

  get set(): ReadonlyMap<string, number> {
    return this.#set;
  }

  get stream(): readonly Entry[] {
    return this.#stream;
  }

  zadd(pairs: readonly (string | number)[]): void {
    for (let index = 0; index < pairs.length; index += 2) {
      const user = String(pairs[index + 1]);
      this.#set.set(user, Math.max(Number(pairs[index]), this.#set.get(user) ?? 0));
    }
  }

  /** `wall` is the clock of the server. Ids rise even if it steps back. */
  xadd(wall: number, fields: readonly (string | number)[]): void {
    const [ms = 0, count = 0] = (this.#stream.at(-1)?.[0] ?? '0-0').split('-').map(Number);
    const now = Math.floor(wall);
    const id = now > ms ? `${now}-0` : `${ms}-${count + 1}`;
    this.#stream.push([id, fields.map(String)]);
  }

  xrange(from: string): readonly Entry[] {
    return from === '-' ? this.#stream : this.#stream.filter(([id]) => compareIds(id, from) >= 0);
  }
}

function compareIds(left: string, right: string): number {
  const [leftMs = 0, leftCount = 0] = left.split('-').map(Number);
  const [rightMs = 0, rightCount = 0] = right.split('-').map(Number);
  return leftMs - rightMs || leftCount - rightCount;
}

/** The product's own store of revocations. Its commands go over the line of a node to the simulated Redis. */
export function revocationsOver(line: StoreLine): RevocationStore {
  type Text = string | number;
  const client = {
    zadd: (_key: string, _gt: string, ...pairs: Text[]) =>
      line.command((redis) => redis.revocations.zadd(pairs)),
    // Nothing is trimmed, because a history is short and has few users.
    zremrangebyrank: () => line.command(() => 0),
    zremrangebyscore: () => line.command(() => 0),
    xadd: (_key: string, ...args: Text[]) =>
      line.command((redis) => redis.revocations.xadd(redis.wall, args.slice(args.indexOf('*') + 1))),
    xrange: (_key: string, from: string) => line.command((redis) => redis.revocations.xrange(from)),
    xrevrange: () => line.command((redis) => redis.revocations.stream.slice(-1)),
    zscan: () =>
      line.command((redis): [string, string[]] => [
        '0',
        [...redis.revocations.set].flatMap(([user, at]) => [user, String(at)]),
      ]),
  };
  const link = { prefix: '', client, guarded: <Value>(command: Promise<Value>) => command };
  return new RedisRevocations(link as unknown as RedisLink);
}
