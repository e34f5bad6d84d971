import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway, Runtime } from '../support/gateway-process.ts';
import { readMetrics } from '../support/metrics.ts';
import { eventually } from '../support/ports.ts';
import { openScene, type Scene, STREAM } from '../support/push-stream-scene.ts';
import type { Client } from '../support/ws-client.ts';

const RUNTIMES: readonly Runtime[] = ['bun', 'node'];

/**
 * The heartbeat timeout is 10 s here. The client of these tests shares its loop with the receiver of the flood, and its core with
 * other tests; the unit tests hold the slices to 4 ms.
 */
const BUSY_MACHINE_MS = 8000;

const started = new Map<Runtime, { readonly scene: Scene; readonly gateway: Gateway }>();
beforeAll(async () => {
  await Promise.all(
    RUNTIMES.map(async (runtime) => {
      const scene = await openScene(runtime);
      // The script that creates the flood keeps Redis busy for a while.
      const gateway = await scene.start('a', {
        LINGXI_REDIS_TIMEOUT_MS: '10000',
        LINGXI_HEARTBEAT_TIMEOUT_MS: '10000',
      });
      started.set(runtime, { scene, gateway });
    }),
  );
});
afterAll(() => Promise.all([...started.values()].map(({ scene }) => scene.stop())));

// They time pongs, so they run one after the other.
describe.each(RUNTIMES)('a flood on %s', (runtime) => {
  let scene: Scene;
  let gateway: Gateway;
  beforeAll(() => {
    ({ scene, gateway } = started.get(runtime) ?? expect.fail('it did not start'));
  });

  /** Longest wait of a client for its pong while `work` runs. */
  async function longestPong(client: Client, work: () => Promise<unknown>): Promise<number> {
    let isOver = false;
    let longest = 0;
    const done = work().finally(() => {
      isOver = true;
    });
    while (!isOver) {
      const began = client.ping();
      await client.next('pong', 20_000);
      longest = Math.max(longest, performance.now() - began);
    }
    await done;
    return longest;
  }

  it('[DL5] 100,000 entries arrive in order, and heartbeats go on', async () => {
    const { user, client } = await scene.join(gateway);
    const script = `for n = 1, 100000 do redis.call('XADD', KEYS[1], '*', 'message',
      '{"to":{"userId":' .. ARGV[1] .. '},"type":"note","data":' .. n .. '}') end`;
    const memory = async () => (await readMetrics(gateway))('process_resident_memory_bytes');
    const other = (await scene.join(gateway)).client;
    const before = await memory();
    await scene.cli('EVAL', script, '1', STREAM, String(user));
    const longest = await longestPong(other, () => scene.untilEmpty(120_000));
    await eventually(() =>
      expect(client.messages.filter(({ type }) => type === 'note')).toHaveLength(100_000),
    );
    const data = client.messages.filter(({ type }) => type === 'note').map((message) => message.data);
    expect(data.every((n, index) => n === index + 1)).toBe(true);
    process.stdout.write(`  figure: a flood of the push stream: pong ${Math.round(longest)} ms\n`);
    expect(longest).toBeLessThan(BUSY_MACHINE_MS);
    expect((await memory()) - before).toBeLessThan(300_000_000);
  }, 180_000);

  it('[DL5] 100,000 messages at once on the push channel delay no heartbeat', async () => {
    const { user, client } = await scene.join(gateway);
    const other = (await scene.join(gateway)).client;
    const script = `for n = 1, 100000 do redis.call('PUBLISH', 'lingxi:push',
      '{"to":{"userId":' .. ARGV[1] .. '},"type":"note","data":' .. n .. '}') end`;
    const longest = await longestPong(other, async () => {
      await scene.cli('EVAL', script, '0', String(user));
      await eventually(
        () => expect(client.messages.filter(({ type }) => type === 'note')).toHaveLength(100_000),
        { timeoutMs: 60_000, intervalMs: 250 },
      );
    });
    process.stdout.write(`  figure: a flood of the push channel: pong ${Math.round(longest)} ms\n`);
    expect(longest).toBeLessThan(BUSY_MACHINE_MS);
    expect((await readMetrics(gateway))('lingxi_push_channel_dropped_total')).toBe(0);
  }, 120_000);
});
