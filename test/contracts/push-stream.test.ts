import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway, Runtime } from '../support/gateway-process.ts';
import { readMetrics } from '../support/metrics.ts';
import { eventually } from '../support/ports.ts';
import {
  GROUP,
  note,
  openScene,
  openSceneToKill,
  REJECTED,
  type Scene,
  STREAM,
} from '../support/push-stream-scene.ts';
import { freshUser } from '../support/stores.ts';
import type { Client } from '../support/ws-client.ts';

const RUNTIMES: readonly Runtime[] = ['bun', 'node'];

describe.concurrent.each(RUNTIMES)('the push stream of two nodes on %s', (runtime) => {
  let scene: Scene;
  let a: Gateway;
  let b: Gateway;
  beforeAll(async () => {
    scene = await openScene(runtime);
    [a, b] = await Promise.all([scene.start('a'), scene.start('b')]);
  });
  afterAll(() => scene?.stop());

  it.sequential('each entry reaches its user once, on any node', async () => {
    const [left, right] = [await scene.join(a), await scene.join(b)];
    const before = await scene.outcomes('handled');
    for (let n = 0; n < 20; n += 1) {
      await scene.add(note(left.user, n));
      await scene.add(note(right.user, n));
    }
    await scene.untilEmpty();
    for (const { client } of [left, right]) {
      const notes = (): unknown[] => client.messages.filter(({ type }) => type === 'note');
      await eventually(() => expect(notes()).toHaveLength(20));
      const data = client.messages.filter(({ type }) => type === 'note').map((message) => message.data);
      expect(new Set(data).size).toBe(20);
    }
    expect(await scene.cli('XPENDING', STREAM, GROUP)).toMatch(/^0/);
    await eventually(async () => expect(await scene.outcomes('handled')).toBe(before + 40));
  });

  it.sequential('the text of data arrives byte for byte, also for a list and for all users', async () => {
    const [left, right] = [await scene.join(a), await scene.join(b)];
    const data = '{"n":9007199254740993,"e":1e999,"z":-0}';
    await scene.add(`{"to":{"userIds":[${left.user},${right.user}]},"type":"list","data":${data}}`);
    await scene.add('{"to":{"all":true},"type":"everybody"}');
    for (const { client } of [left, right]) {
      await eventually(() => expect(client.texts.some((text) => text.includes(`"data":${data}`))).toBe(true));
      await client.next('everybody');
    }
    await scene.untilEmpty();
  });

  it.sequential('an entry for an offline user is finished: it counts as offline', async () => {
    const total = async () =>
      (await Promise.all([a, b].map((node) => readMetrics(node))))
        .map((metric) => metric('lingxi_messages_total{status="offline"}'))
        .reduce((sum, n) => sum + n, 0);
    const before = await total();
    await scene.add(note(freshUser()));
    await eventually(async () => expect(await total()).toBe(before + 1));
    await scene.untilEmpty();
  });

  it.sequential('unreadable entries are rejected, and later ones arrive', async () => {
    const { user, client } = await scene.join(b);
    const bad: readonly (readonly string[])[] = [
      ['foo', 'bar'],
      ['message', 'no json'],
      ['message', ''],
      ['message', '['.repeat(5000)],
      ['message', note(user), 'more', '1'],
      ['message', note(-1)],
      ['message', JSON.stringify({ to: { userId: user }, type: 'welcome' })],
      ['message', note(user, 'x', { colour: 1 })],
      ['message', note(user, 'x', { idempotencyKey: 'k' })],
    ];
    const before = await scene.outcomes('rejected');
    for (const fields of bad) await scene.cli('XADD', STREAM, '*', ...fields);
    // One byte over LINGXI_MAX_BODY_BYTES.
    await scene.cli(
      'EVAL',
      `return redis.call('XADD', KEYS[1], '*', 'message', '{"data":"' .. string.rep('x', 3000000) .. '"}')`,
      '1',
      STREAM,
    );
    await scene.add(note(user, 'after'));
    expect((await client.next('note')).data).toBe('after');
    await scene.untilEmpty();
    await eventually(async () => expect(await scene.outcomes('rejected')).toBe(before + bad.length + 1));
    expect(Number(await scene.cli('XLEN', REJECTED))).toBe(bad.length + 1);
    expect((await scene.cli('XRANGE', REJECTED, '-', '+')).length).toBeLessThan(200_000);
    const fields = ['(entry)', '(message)', 'to.userId', 'type', 'colour', 'idempotencyKey', '(size)'];
    await eventually(() => {
      const lines = [a, b].flatMap((node) => node.logs()).filter(({ event }) => event === 'push-rejected');
      expect(lines.map(({ field }) => field)).toEqual(expect.arrayContaining(fields));
    });
  });

  it.sequential('[PR13] a foreign value under a key is replaced and logged', async () => {
    const { user, client } = await scene.join(a);
    for (const key of [STREAM, REJECTED]) {
      await scene.cli('DEL', key);
      await scene.cli('SET', key, 'of another program');
    }
    await eventually(async () => expect(await scene.cli('TYPE', STREAM)).not.toBe('string'), {
      timeoutMs: 10_000,
    });
    await scene.cli('XADD', STREAM, '*', 'message', 'nonsense');
    await scene.add(note(user, 'after'));
    expect((await client.next('note')).data).toBe('after');
    await eventually(async () => expect(await scene.cli('TYPE', REJECTED)).toBe('stream'));
    await eventually(() => {
      const keys = [a, b].flatMap((node) => node.logs()).filter(({ event }) => event === 'foreign-value');
      expect(keys.map(({ key }) => key)).toEqual(expect.arrayContaining([STREAM, REJECTED]));
    });
  });

  it.sequential('[PR11] entries added after Redis lost everything arrive', async () => {
    const { user, client } = await scene.join(b);
    await scene.cli('FLUSHDB');
    await scene.add(note(user, 'first'));
    await eventually(
      async () => {
        await scene.add(note(user, 'again'));
        await client.next('note', 300);
      },
      { timeoutMs: 10_000 },
    );
    await scene.untilEmpty();
  });

  it.sequential('entries added while connections to Redis break arrive', async () => {
    const { user, client } = await scene.join(b);
    for (let round = 0; round < 3; round += 1) {
      await scene.cli('CLIENT', 'KILL', 'TYPE', 'normal');
      for (let n = 0; n < 20; n += 1) await scene.add(note(user, round * 20 + n));
    }
    const seen = (): Set<unknown> =>
      new Set(client.messages.filter(({ type }) => type === 'note').map(({ data }) => data));
    await eventually(() => expect(seen().size).toBe(60), { timeoutMs: 20_000 });
    await scene.untilEmpty();
  });

  it.sequential('[DR1] a draining node takes no entry; the other one takes them all', async () => {
    const handled = async () => (await readMetrics(a))('lingxi_push_stream_entries_total{outcome="handled"}');
    await scene.drain(a, { othersRead: 1 });
    const before = await handled();
    for (let n = 0; n < 30; n += 1) await scene.add(note(freshUser()));
    await scene.untilEmpty();
    expect(await handled()).toBe(before);
    expect((await a.service('DELETE', '/api/drain', {})).status).toBe(200);
    await eventually(async () => {
      for (let n = 0; n < 10; n += 1) await scene.add(note(freshUser()));
      expect(await handled()).toBeGreaterThan(before);
    });
  });
});

describe.concurrent.each(RUNTIMES)('the push stream when a node dies on %s', (runtime) => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await openSceneToKill(runtime);
  });
  afterAll(() => scene?.stop());

  it('[PR8] kill -9 of the node with an unfinished entry: the other node delivers it, and removes the dead consumer', async () => {
    const c = await scene.start('c');
    const { user, client } = await scene.join(c);
    // It starts before the entry comes: without an acknowledgement, the entry is kept for 10 s.
    const d = await scene.start('d');
    await scene.drain(d, { othersRead: 1 });
    // No client acknowledges, so the entry has no outcome yet.
    await scene.add(note(user, 'kept', { ack: true, timeoutMs: 10_000 }));
    await client.next('note');
    expect(await scene.cli('XPENDING', STREAM, GROUP)).toMatch(/^1/);
    expect((await d.service('DELETE', '/api/drain', {})).status).toBe(200);
    // As long as node c lives, it reports that the entry is in progress, so no other node takes it.
    let last = 0;
    await eventually(async () => {
      const earlier = last;
      last = Number((await scene.cli('XPENDING', STREAM, GROUP, '-', '+', '1')).split('\n')[2]);
      expect(last).toBeLessThan(earlier);
    });
    await c.kill();
    const again = await scene.join(d, user);
    const answer = again.client.next('note', 15_000);
    const { data, id } = await answer;
    expect(data).toBe('kept');
    again.client.send({ type: 'ack', id });
    await scene.untilEmpty();
    expect(await d.waitForLog('push-entries-taken-over')).toMatchObject({ entries: 1 });
    await eventually(
      async () => expect(await scene.cli('XINFO', 'CONSUMERS', STREAM, GROUP)).not.toContain('c:'),
      { timeoutMs: 20_000, intervalMs: 250 },
    );
    await d.terminate();
  }, 60_000);
});

// One after the other on one scene: together they take no longer than the test above, and the starts of further scenes cost more.
describe.concurrent.each(RUNTIMES)('the push stream when a node or Redis dies on %s', (runtime) => {
  let scene: Awaited<ReturnType<typeof openSceneToKill>>;
  beforeAll(async () => {
    scene = await openSceneToKill(runtime);
  });
  afterAll(() => scene?.stop());

  it.sequential('[PR8] kill -9 of a node with 200 entries: the other node takes over all of them at once', async () => {
    const entries = 200;
    const c = await scene.start('full');
    const { user, client } = await scene.join(c);
    const d = await scene.start('heir');
    await scene.drain(d, { othersRead: 1 });
    await scene.cli(
      'EVAL',
      `for n = 1, tonumber(ARGV[2]) do redis.call('XADD', KEYS[1], '*', 'message',
        '{"to":{"userId":' .. ARGV[1] .. '},"type":"note","ack":true,"timeoutMs":10000,"data":' .. n .. '}') end`,
      '1',
      STREAM,
      String(user),
      String(entries),
    );
    const notes = (of: Client): unknown[] =>
      of.messages.filter(({ type }) => type === 'note').map(({ data }) => data);
    await eventually(() => expect(notes(client)).toHaveLength(entries));
    await c.kill();
    expect((await d.service('DELETE', '/api/drain', {})).status).toBe(200);
    const again = await scene.join(d, user);
    // The time until a take-over, a third of it until the next check, and some time for a busy machine.
    await eventually(() => expect(new Set(notes(again.client)).size).toBe(entries), { timeoutMs: 10_000 });
    for (const { type, id } of again.client.messages)
      if (type === 'note') again.client.send({ type: 'ack', id });
    await scene.untilEmpty();
    expect(await d.waitForLog('push-entries-taken-over')).toMatchObject({ entries });
    await d.terminate();
  }, 60_000);

  it.sequential('[PR10] Redis is away for a while: entries added afterwards arrive', async () => {
    const e = await scene.start('e');
    const { user, client } = await scene.join(e);
    await scene.redis.kill();
    await e.waitForLog('presence-unavailable');
    await scene.redis.restart();
    await eventually(async () => scene.add(note(user, 'after')));
    // Redis may give the entry to a read whose connection was cut. Then it is delivered as if the node had died.
    expect((await client.next('note', 20_000)).data).toBe('after');
    await scene.untilEmpty();
    expect(await scene.cli('XINFO', 'CONSUMERS', STREAM, GROUP)).toContain('e:');
    await e.terminate();
    expect(await scene.cli('XINFO', 'CONSUMERS', STREAM, GROUP)).not.toContain('e:');
  }, 60_000);

  it.sequential('a stream that exceeds its bound loses its oldest entries, which are counted', async () => {
    const node = await scene.start('bounded', { LINGXI_PUSH_STREAM_LENGTH: '1000' });
    await scene.drain(node, { othersRead: 0 });
    const script = `for n = 1, 3000 do redis.call('XADD', KEYS[1], '*', 'message', '{}') end`;
    await scene.cli('EVAL', script, '1', STREAM);
    const trimmed = 'lingxi_push_stream_entries_total{outcome="trimmed"}';
    await eventually(async () => expect((await readMetrics(node))(trimmed)).toBe(2000), {
      timeoutMs: 10_000,
    });
    expect(await scene.cli('XLEN', STREAM)).toBe('1000');
    expect(await node.waitForLog('push-stream-trimmed')).toMatchObject({ entries: 2000 });
  });
});
