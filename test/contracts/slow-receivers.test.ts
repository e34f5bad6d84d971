import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Aborted, eventually } from '../support/ports.ts';
import { openSlowReceiver, type SlowReceiver } from '../support/slow-receiver.ts';
import { type Deployment, deploy, freshUser } from '../support/stores.ts';
import { startWitness, type Witness } from '../support/witness.ts';

const WRITE_TIMEOUT_MS = 3_000;
const HEARTBEAT_TIMEOUT_MS = 4_000;
/**
 * At the pace below, the client reads this for longer than both timeouts, also without the part in the buffers of two kernels.
 */
const MESSAGE_BYTES = 20_000_000;
const BYTES_PER_SECOND = 2_500_000;
/** On a machine that other tests use, the client reads more slowly than configured. */
const PATIENCE_MS = 50_000;

describe.each(['bun', 'node'] as const)('slow receivers on %s', { timeout: 60_000 }, (runtime) => {
  let deployment: Deployment;
  let witness: Witness;
  beforeAll(async () => {
    deployment = await deploy({
      runtime,
      kind: 'embedded',
      env: {
        LINGXI_WRITE_TIMEOUT_MS: String(WRITE_TIMEOUT_MS),
        LINGXI_HEARTBEAT_TIMEOUT_MS: String(HEARTBEAT_TIMEOUT_MS),
        LINGXI_PING_INTERVAL_MS: '1000',
        LINGXI_MAX_BODY_BYTES: String(2 * MESSAGE_BYTES),
      },
    });
    witness = await startWitness(deployment.gateway);
  });
  afterAll(async () => {
    witness?.stop();
    await deployment?.stop();
  });

  const push = async (userId: number): Promise<string> => {
    const body = { to: { userId }, type: 'large', data: 'x'.repeat(MESSAGE_BYTES) };
    const { text } = await deployment.gateway.service('POST', '/api/messages', body);
    return (JSON.parse(text) as { results: { status: string }[] }).results[0]?.status ?? text;
  };
  const causeOf = (userId: number): unknown =>
    deployment.gateway.logs().find((line) => line['event'] === 'disconnected' && line['userId'] === userId)?.[
      'cause'
    ];
  const readsAll = (receiver: SlowReceiver, userId: number): Promise<void> =>
    eventually(
      () => {
        const cause = causeOf(userId);
        if (cause !== undefined)
          throw new Aborted(`closed by ${String(cause)} after ${receiver.read()} bytes`);
        if (receiver.isClosed() || receiver.read() < MESSAGE_BYTES)
          throw new Error(`read ${receiver.read()} bytes`);
      },
      { timeoutMs: PATIENCE_MS, intervalMs: 50 },
    );

  it.concurrent('[DL3] the server does not cut a client that keeps accepting bytes, however long a message takes', async () => {
    const userId = freshUser();
    const receiver = await openSlowReceiver(deployment.gateway, {
      userId,
      bytesPerSecond: BYTES_PER_SECOND,
      speaksV1: false,
    });
    const beats = setInterval(() => receiver.beat(), 500);
    expect(await push(userId)).toBe('queued');
    await readsAll(receiver, userId);
    clearInterval(beats);
    expect(causeOf(userId)).toBeUndefined();
    receiver.destroy();
  });

  it.concurrent('[HB2] accepted bytes prove the life of a lingxi.v1 client whose pong waits behind them', async () => {
    const userId = freshUser();
    const receiver = await openSlowReceiver(deployment.gateway, {
      userId,
      bytesPerSecond: BYTES_PER_SECOND,
      speaksV1: true,
    });
    await eventually(() => expect(receiver.pongs()).toBeGreaterThan(0));
    const before = receiver.pongs();
    expect(await push(userId)).toBe('queued');
    await readsAll(receiver, userId);
    await eventually(() => {
      if (receiver.pongs() === before) throw new Error('no ping came behind the message');
    });
    expect(causeOf(userId)).toBeUndefined();
    receiver.destroy();
  });

  it.concurrent('[scenario 46] [DL3] after the write timeout the server closes a client that accepts nothing as a slow consumer', async () => {
    const userId = freshUser();
    const receiver = await openSlowReceiver(deployment.gateway, {
      userId,
      bytesPerSecond: 0,
      speaksV1: false,
    });
    const beats = setInterval(() => receiver.beat(), 500);
    const began = performance.now();
    expect(await push(userId)).toBe('queued');
    await eventually(
      () => {
        if (causeOf(userId) === undefined) throw new Error('not closed');
      },
      { timeoutMs: PATIENCE_MS, intervalMs: 20 },
    );
    clearInterval(beats);
    expect(causeOf(userId)).toBe('slow-consumer');
    expect(performance.now() - began).toBeGreaterThan(WRITE_TIMEOUT_MS - 100);
    receiver.destroy();
  });

  it('[DL3] no other connection is affected', () => witness.noticedNothing(4_000));
});
