import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { REPOSITORY } from '../support/cache.ts';
import { readMetrics } from '../support/metrics.ts';
import { eventually, sleep } from '../support/ports.ts';
import { openRawWebSocket } from '../support/raw-socket.ts';
import { type Deployment, deploy, freshUser } from '../support/stores.ts';
import { startWitness, type Witness } from '../support/witness.ts';
import { type Client, connect } from '../support/ws-client.ts';

const LIMIT_BYTES = 262_144;
/** A stall that a user could notice, plus some time because other tests use the machine. */
const NOTICED_MS = 3_000;
const FAULT = '"planted-fault"';
const PRELOAD = join(REPOSITORY, 'test/support/planted-fault.mjs');

const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const nestedObject = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;

describe.concurrent.each(['bun', 'node'] as const)('one hostile client beside others on %s', (runtime) => {
  let deployment: Deployment;
  let witness: Witness;
  beforeAll(async () => {
    deployment = await deploy({
      runtime,
      kind: 'redis+postgres',
      env: {
        LINGXI_MAX_MESSAGE_BYTES: String(LIMIT_BYTES),
        LOG_LEVEL: 'debug',
        NODE_OPTIONS: `--import ${PRELOAD}`,
        BUN_OPTIONS: `--preload ${PRELOAD}`,
      },
    });
    witness = await startWitness(deployment.gateway);
  });
  afterAll(async () => {
    witness?.stop();
    await deployment?.stop();
  });
  beforeEach(() => witness.forget());

  const client = (protocols: readonly string[] = ['lingxi.v1']): Promise<Client> => {
    const { gateway } = deployment;
    return connect(gateway.wsUrl, { token: gateway.token(freshUser()), protocols });
  };
  const alive = async (): Promise<void> => {
    await witness.noticedNothing(NOTICED_MS);
    expect((await deployment.gateway.call('GET', '/healthz')).status).toBe(200);
  };
  const publish = (text: string): Promise<string> => {
    const { redis } = deployment.stores;
    if (redis === undefined) throw new Error('these tests need Redis');
    return redis.cli('PUBLISH', 'lingxi:push', text);
  };
  const errorsAt = async (where: string): Promise<number> => {
    const metrics = await readMetrics(deployment.gateway);
    const value = metrics(`lingxi_internal_errors_total{where="${where}"}`);
    return Number.isNaN(value) ? 0 : value;
  };
  /** Waits for the pong to a ping sent now. By then the server has read everything sent before. */
  const settled = async (asking: Client): Promise<void> => {
    const mark = `after-${freshUser()}`;
    asking.send({ type: 'ping', timestamp: mark });
    await asking.next(({ type, data }) => type === 'pong' && JSON.stringify(data).includes(mark));
  };

  describe.sequential('frames with deeply nested JSON', () => {
    it.each([
      ['4,500 arrays as the timestamp of a ping', `{"type":"ping","timestamp":${nested(4_500)}}`],
      ['60,000 arrays as the timestamp of a ping', `{"type":"ping","timestamp":${nested(60_000)}}`],
      ['30,000 objects as the timestamp of a ping', `{"type":"ping","timestamp":${nestedObject(30_000)}}`],
      ['100,000 arrays as the data of a message', `{"type":"note","data":${nested(100_000)}}`],
      ['200,000 opening brackets', '['.repeat(200_000)],
      ['one level too many', `{"type":"ping","timestamp":${nested(128)}}`],
    ])('the server ignores and counts %s', async (_name, text) => {
      const before = (await readMetrics(deployment.gateway))('lingxi_malformed_messages_total');
      const hostile = await client();
      hostile.send(text);
      await settled(hostile);
      const after = (await readMetrics(deployment.gateway))('lingxi_malformed_messages_total');
      expect(after).toBe(before + 1);
      expect(hostile.messages.filter(({ type }) => type === 'pong')).toHaveLength(1);
      hostile.terminate();
      await alive();
    });

    it('the server reads 128 levels', async () => {
      const deep = nested(127);
      const raw = await openRawWebSocketV1();
      raw.send({ opcode: 1, payload: `{"type":"ping","timestamp":${deep}}` });
      const frame = await eventually(() => {
        const pong = raw.frames().find(({ payload }) => payload.toString().startsWith('{"type":"pong"'));
        if (pong === undefined) throw new Error('no pong');
        return pong;
      });
      expect(frame.payload.toString()).toContain(`"data":{"timestamp":${deep}}}`);
      raw.destroy();
    });
  });

  const openRawWebSocketV1 = () => {
    const { gateway } = deployment;
    return openRawWebSocket(gateway.port(), gateway.token(freshUser()), {
      'Sec-WebSocket-Protocol': 'lingxi.v1',
    });
  };

  describe.sequential('a pong', () => {
    it.each([
      ['spaces', '{"type": "ping", "timestamp": 12345678901234567890}', '12345678901234567890'],
      ['another order', '{"timestamp":12345678901234567890,"type":"ping"}', '12345678901234567890'],
      [
        'extra members',
        '{"a":{"timestamp":1},"type":"ping","timestamp":1795513054.000,"b":[2]}',
        '1795513054.000',
      ],
      ['more than a number holds', '{"type":"ping","timestamp":1e999}', '1e999'],
      ['minus zero', '{"type":"ping","timestamp":-0}', '-0'],
      ['a doubled name: the last counts', '{"timestamp":1,"type":"ping","timestamp":2.50}', '2.50'],
      ['a name with escapes', String.raw`{"type":"ping","\u0074imestamp":3.10}`, '3.10'],
      ['spaces within', '{"type":"ping","timestamp": [ 1 , { "b" : 1.0 } ] }', '[ 1 , { "b" : 1.0 } ]'],
    ])('returns the timestamp digit for digit: %s', async (_name, text, digits) => {
      const raw = await openRawWebSocketV1();
      raw.send({ opcode: 1, payload: text });
      const pong = await eventually(() => {
        const frame = raw.frames().find(({ payload }) => payload.toString().startsWith('{"type":"pong"'));
        if (frame === undefined) throw new Error('no pong');
        return frame.payload.toString();
      });
      expect(pong).toContain(`"data":{"timestamp":${digits}}}`);
      raw.destroy();
    });
  });

  describe.sequential('deeply nested JSON from Redis', () => {
    it.each([
      ['10,000 arrays', `{"to":{"all":true},"type":"x","data":${nested(10_000)}}`],
      ['20,000 objects', `{"to":{"all":true},"type":"x","data":${nestedObject(20_000)}}`],
    ])('%s on the push channel are a malformed message', async (_name, text) => {
      const lines = () =>
        deployment.gateway
          .logs()
          .filter(({ event, channel }) => event === 'malformed-message' && channel === 'lingxi:push');
      const before = lines().length;
      await publish(text);
      await eventually(() => {
        if (lines().length <= before) throw new Error('no line malformed-message');
      });
      await alive();
    });

    it('in calls from other nodes, and in their reports about themselves, is ignored too', async () => {
      const { gateway, stores } = deployment;
      const nodes = JSON.parse((await gateway.service('GET', '/api/nodes')).text) as {
        nodes: { node: string }[];
      };
      const node = nodes.nodes[0]?.node ?? '';
      const database = (await stores.redis?.cli('PUBSUB', 'CHANNELS', 'lingxi:*:node:*'))?.split(':')[1];
      const deep = nested(20_000);
      await stores.redis?.cli(
        'PUBLISH',
        `lingxi:${database}:node:${node}`,
        `{"id":"x","from":"y","call":${deep}}`,
      );
      await gateway.waitForLog('malformed-message', ({ channel }) => channel === `node:${node}`);
      await stores.redis?.cli('SET', `lingxi:i:${node}`, `{"connections":${deep}}`, 'PX', '1500');
      expect((await gateway.service('GET', '/api/nodes')).status).toBe(200);
      await alive();
    });
  });

  describe.sequential('a bug in the work for', () => {
    it('a frame closes only that connection with 1011, and is logged and counted', async () => {
      const before = await errorsAt('socket');
      const hostile = await client();
      hostile.send(`{"type":${FAULT}}`);
      expect(await hostile.closed).toMatchObject({ code: 1011, reason: 'internal-error' });
      const line = await deployment.gateway.waitForLog('internal-error', ({ where }) => where === 'socket');
      expect(line).toMatchObject({ level: 'error', err: { message: 'a planted fault' } });
      expect(await errorsAt('socket')).toBe(before + 1);
      await alive();
    });

    it('a message on the push channel drops only that message, and is logged and counted', async () => {
      const before = await errorsAt('bus');
      await publish(`{"to":{"all":true},"type":${FAULT}}`);
      await deployment.gateway.waitForLog('internal-error', ({ where }) => where === 'bus');
      expect(await errorsAt('bus')).toBe(before + 1);
      await publish('{"to":{"all":true},"type":"still-heard"}');
      await witness.client.next('still-heard');
      await alive();
    });
  });

  describe.sequential('the rate of messages', () => {
    it('[HB5] closes no connection for messages that queued while the process stood still', async () => {
      const { gateway } = deployment;
      witness.stop();
      const honest = await client();
      const timer = setInterval(() => honest.ping(), 100);
      await sleep(1_000);
      gateway.signalAll('SIGSTOP');
      await sleep(6_000);
      gateway.signalAll('SIGCONT');
      await sleep(1_500);
      clearInterval(timer);
      await settled(honest);
      honest.terminate();
      witness = await startWitness(gateway);
    });

    it('closes a flood with 1008, also right after a stall', async () => {
      const flood = await client();
      for (let count = 0; count < 2_000; count += 1) flood.ping();
      expect(await flood.closed).toMatchObject({ code: 1008, reason: 'policy-violation' });
      await alive();
    });
  });
});
