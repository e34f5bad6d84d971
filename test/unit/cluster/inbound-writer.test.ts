import { describe, expect, it } from 'vitest';
import { InboundWriter } from '../../../src/cluster/inbound-writer.ts';
import type { ClientConnection } from '../../../src/connection/client-connection.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { silentLog } from '../../../src/logging/log.ts';
import { Counters } from '../../../src/metrics/counters.ts';
import type { RedisLink } from '../../../src/redis/link.ts';

const LENGTH = 100_000;
const MIB = 1_048_576;
/** Size of an entry in Redis without its data. */
const ENTRY_BYTES = 200;
const STREAM = 'lingxi:inbound';

/** The streams in memory, in the form that Redis has. */
class FakeRedis {
  readonly #streams = new Map<string, { readonly id: number; readonly fields: readonly string[] }[]>();
  #lastId = 0;
  largest = 0;
  refusesMarks = false;
  /** The store accepts entries, but its answer comes too late. */
  isSlow = false;

  #of(key: string) {
    const stream = this.#streams.get(key) ?? [];
    this.#streams.set(key, stream);
    return stream;
  }

  get length(): number {
    return this.#of(STREAM).length;
  }

  get marks(): number {
    return this.#of('lingxi:inbound:marks').length;
  }

  get bytes(): number {
    return this.#of(STREAM).reduce((sum, { fields }) => sum + ENTRY_BYTES + (fields[5]?.length ?? 0), 0);
  }

  readonly link = {
    prefix: '',
    guarded: <Value>(command: Promise<Value>) => command,
    client: {
      pipeline: () => this.#pipeline(),
      xtrim: (key: string, ...[, , from]: readonly (string | number)[]) => {
        const stream = this.#of(key);
        const first = stream.findIndex(({ id }) => id >= Number.parseInt(String(from), 10));
        stream.splice(0, first === -1 ? stream.length : first);
        return Promise.resolve();
      },
    },
  } as unknown as RedisLink;

  #pipeline() {
    const replies: [Error | null, unknown][] = [];
    const commands = {
      xadd: (key: string, ...[, , length, , ...fields]: readonly (string | number)[]) => {
        if (this.refusesMarks && key !== STREAM) {
          replies.push([new Error('away'), undefined]);
          return commands;
        }
        this.#lastId += 1;
        const stream = this.#of(key);
        stream.push({ id: this.#lastId, fields: fields.map(String) });
        if (stream.length > Number(length)) stream.shift();
        replies.push([null, `${this.#lastId}-0`]);
        return commands;
      },
      xrange: (key: string) => {
        replies.push([null, this.#of(key).map(({ id, fields }) => [`${id}-0`, fields])]);
        return commands;
      },
      exec: () => {
        this.largest = Math.max(this.largest, this.bytes);
        if (this.isSlow) return Promise.reject(new Error('Command timed out'));
        return Promise.resolve(replies);
      },
    };
    return commands;
  }
}

function open() {
  const redis = new FakeRedis();
  const clock = new FakeClock();
  const connection = {
    userId: 7,
    registration: { connectionId: 'c' },
    refuse: () => undefined,
  } as unknown as ClientConnection;
  const node = (name: string) => {
    const counters = new Counters();
    const writer = new InboundWriter({
      link: redis.link,
      clock,
      log: silentLog,
      counters,
      node: name,
      length: LENGTH,
    });
    const send = async (count: number, size: number, text = 'x'): Promise<void> => {
      const frame = `{"type":"chat","data":"${text.repeat(size)}"}`;
      for (let sent = 0; sent < count; sent += 1) {
        writer.take(connection, { type: 'chat', data: undefined }, frame);
        if (sent % 100 === 99) await clock.advanceAsync(10);
      }
      await clock.advanceAsync(10);
    };
    return { send, counters };
  };
  return { redis, clock, node };
}

describe('the stream of messages from clients', () => {
  it('takes about 64 MiB in Redis, for any message size and any writing nodes', async () => {
    const { redis, node } = open();
    const [a, b] = [node('a'), node('b')];
    await a.send(20_000, 100);
    expect(redis.length).toBe(20_000);
    for (let round = 0; round < 20; round += 1) {
      await a.send(100, 65_000);
      await b.send(100, 65_000);
      await b.send(500, 100);
    }
    expect(redis.largest).toBeLessThan(80 * MIB);
    expect(redis.bytes).toBeGreaterThan(55 * MIB);
    expect(redis.marks).toBe(16);
    expect(a.counters.inbound.dropped + b.counters.inbound.dropped).toBe(0);
  });

  it('a restarted node continues the count', async () => {
    const { redis, node } = open();
    for (let life = 0; life < 20; life += 1) await node(`life ${life}`).send(500, 65_000);
    expect(redis.largest).toBeLessThan(80 * MIB);
  });

  it('a few large messages do not displace the small ones', async () => {
    const { redis, node } = open();
    const a = node('a');
    for (let round = 0; round < 20; round += 1) {
      await a.send(1000, 100);
      await a.send(10, 65_000);
    }
    expect(redis.length).toBe(20_200);
  });

  it('keeps many entries again once the large messages are gone', async () => {
    const { redis, node } = open();
    const a = node('a');
    await a.send(2000, 65_000);
    expect(redis.length).toBeLessThan(1200);
    await a.send(20_000, 100);
    expect(redis.length).toBeGreaterThan(20_000);
  });

  it('a single message larger than the bound is kept, alone', async () => {
    const { redis, node } = open();
    const a = node('a');
    await a.send(1000, 100);
    await a.send(1, 100 * MIB);
    expect(redis.length).toBe(1);
  });

  it('counts bytes, not characters', async () => {
    const { redis, node } = open();
    await node('a').send(2000, 20_000, '语');
    expect(redis.length).toBeLessThan(1200);
  });

  it('counts what a slow Redis may have accepted', async () => {
    const { redis, node } = open();
    const a = node('a');
    for (let round = 0; round < 100; round += 1) {
      redis.isSlow = true;
      await a.send(50, 65_000);
      redis.isSlow = false;
      await a.send(1, 100);
    }
    expect(redis.largest).toBeLessThan(80 * MIB);
  });

  it('what Redis did not delete at once is deleted after the next message', async () => {
    const { redis, node } = open();
    const a = node('a');
    redis.refusesMarks = true;
    await a.send(3000, 65_000);
    expect(a.counters.inbound).toMatchObject({ written: 3000, dropped: 0 });
    redis.refusesMarks = false;
    await a.send(1, 100);
    expect(redis.bytes).toBeLessThan(64 * MIB);
  });
});
