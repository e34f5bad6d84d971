import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway } from '../support/gateway-process.ts';
import { readMetrics } from '../support/metrics.ts';
import { eventually } from '../support/ports.ts';
import { encodeFrame, openRawWebSocket } from '../support/raw-socket.ts';
import { COMBINATIONS, type Deployment, deploy, freshUser } from '../support/stores.ts';
import { type Client, connect } from '../support/ws-client.ts';

/** Data as a sender may write it. `JSON.parse` and `JSON.stringify` would change all of it. */
const DATA_TEXTS: readonly (readonly [name: string, text: string])[] = [
  ['an integer above 2^53', '9007199254740993'],
  ['a number that no double holds', '1e999'],
  ['a negative zero', '-0'],
  ['digits after the point', '1795513054.000'],
  ['keys in their order', '{"b":1,"10":2,"9":3,"a":4}'],
  ['doubled keys', '{"a":1,"a":2}'],
  ['white space', '{ "a" :\t[ 1 ,\r\n 2 ] }'],
  ['__proto__', '{"__proto__":{"polluted":1e999}}'],
  ['a lone surrogate, escaped', '"\\ud800 \\u00e9\\/"'],
  ['separators of lines', '"\u2028\u2029 灵犀 🐉"'],
];
const frame = (user: number, type: string, data: string) =>
  new RegExp(`^\\{"type":"${type}","userId":${user},"timestamp":\\d+,"data":${escapeRegExp(data)}\\}$`, 'u');
const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const PROTOCOL_TYPES = ['welcome', 'pong', 'goodbye', 'error', 'ack', 'ping', 'token', 'state', 'logout'];

describe.concurrent.each(COMBINATIONS)('pushes on $runtime over $kind', ({ runtime, kind }) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy({
      runtime,
      kind,
      env: {
        LINGXI_OVERFLOW: 'disconnect',
        LINGXI_SEND_QUEUE: '4',
        LINGXI_DISPATCH_QUEUE: '7',
      },
    });
  });
  afterAll(() => deployment?.stop());

  const join = (user: number) => joinAt(deployment.gateway, user);
  const push = (body: unknown) => deployment.gateway.service('POST', '/api/messages', body);

  describe.sequential('the text of data', () => {
    it('arrives byte for byte, from one message and from a batch', async () => {
      const user = freshUser();
      const { client, frames } = await join(user);
      const one = (data: string): string => `{"data":${data},"type":"t","to":{"userId":${user}}}`;
      for (const [, data] of DATA_TEXTS) expect((await push(one(data))).status).toBe(200);
      const batch = `[${DATA_TEXTS.map(([, data]) => one(data)).join(' ,\n')}]`;
      expect((await push(batch)).status).toBe(200);
      await client.next(() => frames.length === 2 * DATA_TEXTS.length);
      [...DATA_TEXTS, ...DATA_TEXTS].forEach(([, data], index) =>
        expect(frames[index]).toMatch(frame(user, 't', data)),
      );
      client.terminate();
    });

    it('is null if it is missing, and the last one counts if the name is doubled or escaped', async () => {
      const user = freshUser();
      const { client, frames } = await join(user);
      const to = `"to":{"userId":${user}},"type":"t"`;
      for (const body of [`{${to}}`, `{${to},"data":1,"data":2e0}`, `{"d\\u0061ta":3e0,${to}}`])
        expect((await push(body)).status).toBe(200);
      await client.next(() => frames.length === 3);
      ['null', '2e0', '3e0'].forEach((data, index) => expect(frames[index]).toMatch(frame(user, 't', data)));
      client.terminate();
    });

    it.each([
      ['no JSON', '{"x":}', 'invalid-json'],
      ['a trailing comma', '[1,]', 'invalid-json'],
      ['a control character', '"\u0001"', 'invalid-json'],
      ['half a number', '1e', 'invalid-json'],
      ['nesting over 128', nested(128), 'invalid-json'],
    ])('is refused if it is %s', async (_name, data, code) => {
      const answer = await push(`{"to":{"userId":1},"type":"t","data":${data}}`);
      expect([answer.status, answer.body['code']]).toEqual([400, code]);
    });
  });

  describe.sequential('receivers', () => {
    it.each([
      ['a short list', 2],
      ['64 times', 64],
      ['65 times', 65],
      ['1,000 times', 1000],
    ])('a user named more than once gets one message and one result: %s', async (_name, times) => {
      const [user, absent] = [freshUser(), freshUser()];
      const { client, frames } = await join(user);
      const userIds = [absent, ...new Array(times).fill(user), String(absent)];
      const answer = await push({ to: { userIds }, type: 'often', data: 1 });
      expect(answer.body).toEqual({
        results: [
          { userId: absent, status: 'offline', connections: 0 },
          { userId: user, status: 'written', connections: 1 },
        ],
        counts: { offline: 1, written: 1 },
      });
      await push({ to: { userId: user }, type: 'last' });
      await client.next('last');
      expect(frames).toHaveLength(2);
      client.terminate();
    });
  });

  describe.sequential("the protocol's own types", () => {
    it.each(PROTOCOL_TYPES)('%s cannot be pushed', async (type) => {
      const user = freshUser();
      const { client } = await join(user);
      for (const body of [{ to: { userId: user }, type }, [{ to: { all: true }, type }]]) {
        const answer = await push(body);
        expect([answer.status, answer.body['code']]).toEqual([400, 'invalid-body']);
        expect(answer.body['error']).toMatch(/type \(used by the protocol itself\)/);
      }
      await push({ to: { userId: user }, type: 'last' });
      await client.next('last');
      expect(client.messages.map((message) => message.type)).toEqual(['last']);
      client.terminate();
    });
  });

  describe.sequential('a socket that has just closed', () => {
    const outcome = async (user: number): Promise<Readonly<Record<string, unknown>>> => {
      const { results } = (await push({ to: { userId: user }, type: 't', data: 1 })).body;
      return (results as Record<string, unknown>[])[0] ?? {};
    };
    const words = ({ status, reason }: Readonly<Record<string, unknown>>): string =>
      [status, reason].filter((word) => word !== undefined).join(' ');

    it('[DL1] on the only node a push is never unknown: the user lingers without a socket', async () => {
      const user = freshUser();
      const { client } = await join(user);
      const seen: string[] = [];
      client.terminate();
      await eventually(async () => {
        seen.push(words(await outcome(user)));
        expect(seen.at(-1)).toBe('offline no-connection');
      });
      const later = await Promise.all(Array.from({ length: 50 }, () => outcome(user)));
      seen.push(...later.map(words));
      const allowed = ['written', 'offline no-connection', 'dropped closed'];
      expect(seen.filter((each) => !allowed.includes(each))).toEqual([]);
    });

    it('[DL3] an overflow under disconnect drops the queue and the connection, and the metrics count every message', async () => {
      const user = freshUser();
      const socket = await openRawWebSocket(deployment.gateway.port(), deployment.gateway.token(user));
      socket.socket.pause();
      const before = await readMetrics(deployment.gateway);
      const data = 'x'.repeat(500_000);
      const seen: string[] = [];
      for (let tries = 0; tries < 60 && !seen.includes('dropped queue-full'); tries += 1) {
        const { results } = (await push({ to: { userId: user }, type: 't', data })).body;
        seen.push(words((results as Record<string, unknown>[])[0] ?? {}));
      }
      expect(seen.at(-1)).toBe('dropped queue-full');
      expect(await outcome(user)).toEqual({
        userId: user,
        status: 'offline',
        connections: 0,
        reason: 'no-connection',
      });
      const after = await readMetrics(deployment.gateway);
      const grown = (series: string): number => after(series) - before(series);
      const lostLater = grown('lingxi_messages_dropped_total{reason="closed"}');
      expect(lostLater).toBeGreaterThan(0);
      expect(grown('lingxi_messages_dropped_total{reason="queue-full"}')).toBe(1);
      expect(grown('lingxi_messages_total{status="dropped"}')).toBe(1 + lostLater);
      expect(grown('lingxi_messages_total{status="queued"}')).toBe(
        seen.filter((each) => each === 'queued').length,
      );
      socket.write(encodeFrame({ opcode: 8 }));
      socket.destroy();
    });
  });

  it.sequential('the metrics show the capacity of the queues and their depth', async () => {
    const metrics = await readMetrics(deployment.gateway);
    expect(metrics('lingxi_dispatch_queue_capacity')).toBe(7);
    expect(metrics('lingxi_send_queue_capacity')).toBe(4);
    expect(metrics('lingxi_dispatch_queue_depth')).toBe(0);
    expect(metrics('lingxi_queued_messages')).toBe(0);
  });
});

describe.concurrent.each(['bun', 'node'] as const)('the push channel on %s', (runtime) => {
  // Pub/sub ignores the number of the database.
  const channel = `pushes-${process.pid}-${runtime}`;
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy({ runtime, kind: 'redis+postgres', env: { LINGXI_PUSH_CHANNEL: channel } });
    // This push is refused, which proves that the node now listens.
    await eventually(async () => {
      await publish(`{"to":{"userId":1},"type":"t","data":${nested(128)}}`);
      await deployment.gateway.waitForLog('malformed-message', undefined, 200);
    });
  });
  afterAll(() => deployment?.stop());

  const publish = (body: string) => deployment.stores.redis?.cli('PUBLISH', channel, body);
  const join = (user: number) => joinAt(deployment.gateway, user);

  it.sequential('the text of data arrives byte for byte', async () => {
    const user = freshUser();
    const { client, frames } = await join(user);
    for (const [, data] of DATA_TEXTS) await publish(`{"to":{"userId":${user}},"type":"t","data":${data}}`);
    await client.next(() => frames.length === DATA_TEXTS.length);
    DATA_TEXTS.forEach(([, data], index) => expect(frames[index]).toMatch(frame(user, 't', data)));
    client.terminate();
  });

  it.sequential("the protocol's own types are malformed messages", async () => {
    const user = freshUser();
    const { client } = await join(user);
    const lines = deployment.gateway.logs().length;
    for (const type of [...PROTOCOL_TYPES, 'last'])
      await publish(JSON.stringify({ to: { userId: user }, type }));
    await client.next('last');
    expect(client.messages.map(({ type }) => type)).toEqual(['last']);
    await eventually(() => {
      const later = deployment.gateway.logs().slice(lines);
      // A line about an invalid push from before this test may arrive late. It names no field `type`.
      const told = later.filter(({ event, field }) => event === 'malformed-message' && field === 'type');
      expect(told).toHaveLength(PROTOCOL_TYPES.length);
    });
    client.terminate();
  });
});

/** A client, and the text of each frame that it received. */
async function joinAt(
  gateway: Gateway,
  user: number,
): Promise<{ client: Client; frames: readonly string[] }> {
  const client = await connect(gateway.wsUrl, { token: gateway.token(user) });
  return { client, frames: client.texts };
}

function escapeRegExp(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}
