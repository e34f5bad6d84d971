import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { sleep } from '../support/ports.ts';
import { freshUser } from '../support/stores.ts';
import { type Client, type ConnectOptions, connect } from '../support/ws-client.ts';

const TIMEOUT_MS = 3_000;
const LIMIT_BYTES = 2_048;

describe.each(['bun', 'node'] as const)('WebSocket on %s', (runtime) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      runtime,
      stores: 'embedded',
      env: {
        LINGXI_HEARTBEAT_TIMEOUT_MS: String(TIMEOUT_MS),
        LINGXI_PING_INTERVAL_MS: '400',
        LINGXI_MAX_MESSAGE_BYTES: String(LIMIT_BYTES),
        LINGXI_MAX_MESSAGES_PER_SECOND: '20',
      },
    });
  });
  afterAll(() => gateway?.stop());

  const seed = (user: number, options: ConnectOptions = {}) =>
    connect(gateway.wsUrl, { token: gateway.token(user), ...options });
  const v1 = (user: number, options: ConnectOptions = {}) =>
    seed(user, { protocols: ['lingxi.v1'], ...options });
  const push = async (user: number, message: object) => {
    const answer = await gateway.service('POST', '/api/messages', { to: { userId: user }, ...message });
    expect(answer.status).toBe(200);
    const [result] = answer.body['results'] as readonly Record<string, unknown>[];
    return result;
  };

  describe.concurrent('envelopes', () => {
    it.each([
      ['an object', { a: [1, { b: null }] }],
      ['text', '灵力 ✨ "quoted"'],
      ['a number', 1.5],
      ['false', false],
      ['null', null],
      ['an array', []],
    ])('carries %s as data', async (_name, data) => {
      const user = freshUser();
      const client = await seed(user);
      const result = await push(user, { type: 'spirit:update', data });
      expect(result).toMatchObject({ userId: user, status: 'written', connections: 1 });
      const message = await client.next();
      expect(Object.keys(message).sort()).toEqual(['data', 'timestamp', 'type', 'userId']);
      expect(message).toMatchObject({ type: 'spirit:update', userId: user, data });
      expect(Number.isInteger(message.timestamp)).toBe(true);
      expect(Math.abs(message.timestamp - Date.now() / 1000)).toBeLessThan(5);
      client.terminate();
    });

    it('[DL4] keeps the order from one sender to one user', async () => {
      const user = freshUser();
      const client = await seed(user);
      const batch = Array.from({ length: 50 }, (_, index) => ({
        to: { userId: user },
        type: 'n',
        data: index,
      }));
      expect((await gateway.service('POST', '/api/messages', batch)).status).toBe(200);
      await client.next((message) => message.data === 49);
      expect(client.messages.map((message) => message.data)).toEqual(batch.map((message) => message.data));
      client.terminate();
    });

    it('sends a client without lingxi.v1 only envelopes addressed to it', async () => {
      const user = freshUser();
      const client = await seed(user);
      for (const type of ['ping', 'state', 'token', 'logout', 'ack', 'chat']) {
        client.send({ type, timestamp: Date.now(), data: { value: 'active' } });
      }
      await push(user, { type: 'mine', data: 1, ack: true, timeoutMs: 50 });
      const message = await client.next('mine');
      expect(message).not.toHaveProperty('id');
      expect(client.messages).toHaveLength(1);
      expect(client.socket.readyState).toBe(client.socket.OPEN);
      client.terminate();
    });
  });

  describe.concurrent('lingxi.v1', () => {
    it('gets welcome as its first frame', async () => {
      const user = freshUser();
      const client = await v1(user);
      const welcome = await client.next();
      expect(welcome).toMatchObject({ type: 'welcome', userId: user });
      expect(welcome.data).toEqual({
        connectionId: expect.any(String),
        epoch: expect.stringMatching(/^[1-9]\d*$/),
        period: expect.stringMatching(/^[1-9]\d*$/),
        resumed: false,
        heartbeatTimeoutMs: TIMEOUT_MS,
        pingIntervalMs: 400,
        node: expect.any(String),
      });
      client.terminate();
    });

    it.each([[1_700_000_000_123], ['as text'], [1.5], [null], [{ nested: true }]])(
      'gets the timestamp %j of its ping back unchanged',
      async (timestamp) => {
        const client = await v1(freshUser());
        client.send({ type: 'ping', timestamp });
        expect((await client.next('pong')).data).toEqual({ timestamp });
        client.terminate();
      },
    );

    it('ends its period by logout and is closed with 4000 without a goodbye', async () => {
      const user = freshUser();
      const client = await v1(user);
      client.send({ type: 'logout' });
      expect((await client.closed).code).toBe(4000);
      expect(client.messages.map((message) => message.type)).toEqual(['welcome']);
      const player = await gateway.service('GET', `/api/online/player/${user}`);
      expect(player.body).toMatchObject({ status: 'offline', logoutTime: expect.any(Number) });
    });

    it('shows its state in presence', async () => {
      const user = freshUser();
      const client = await v1(user);
      client.send({ type: 'state', data: { value: 'background' } });
      client.send({ type: 'ping', timestamp: 1 });
      await client.next('pong');
      const answer = await gateway.service('GET', `/api/users/${user}/connections`);
      expect(JSON.stringify(answer.json)).toContain('"background"');
      client.terminate();
    });

    it('acknowledges a push that asks for it', async () => {
      const user = freshUser();
      const client = await v1(user);
      const result = push(user, { type: 'gift', data: 1, ack: true, timeoutMs: 3_000 });
      const message = await client.next('gift');
      expect(message.id).toEqual(expect.any(String));
      client.send({ type: 'ack', id: message.id });
      expect(await result).toMatchObject({ status: 'acked', connections: 1 });
      client.terminate();
    });

    it('returns written if no acknowledgement came in time', async () => {
      const user = freshUser();
      const client = await v1(user);
      const before = performance.now();
      expect(await push(user, { type: 'gift', data: 1, ack: true, timeoutMs: 300 })).toMatchObject({
        status: 'written',
      });
      expect(performance.now() - before).toBeGreaterThan(250);
      client.terminate();
    });

    it('gets goodbye before it is closed with 4100', async () => {
      const client = await v1(freshUser(), { autoPong: false });
      const goodbye = await client.next('goodbye');
      expect(goodbye.data).toMatchObject({
        code: 4100,
        reason: expect.any(String),
        reconnectAfterMs: expect.any(Number),
      });
      expect((await client.closed).code).toBe(4100);
    });
  });

  describe.concurrent('token expiry', () => {
    const shortLived = (user: number) => gateway.token(user, { expiresInS: 4 });
    const beating = async (user: number, options: ConnectOptions): Promise<Client> => {
      const client = await connect(gateway.wsUrl, { token: shortLived(user), ...options });
      client.keepAlive();
      return client;
    };

    it('closes a connection with 4003 when its token expires', async () => {
      const client = await beating(freshUser(), {});
      expect((await client.closed).code).toBe(4003);
    });

    it('lets a lingxi.v1 client renew its token', async () => {
      const user = freshUser();
      const client = await beating(user, { protocols: ['lingxi.v1'] });
      client.send({ type: 'token', data: { token: gateway.token(user) } });
      await sleep(5_500);
      expect(client.socket.readyState).toBe(client.socket.OPEN);
      client.terminate();
    });

    it("refuses another user's token as a renewal", async () => {
      const client = await beating(freshUser(), { protocols: ['lingxi.v1'] });
      client.send({ type: 'token', data: { token: gateway.token(freshUser()) } });
      expect((await client.closed).code).toBe(4003);
    });
  });

  describe.concurrent('inbound limits', () => {
    const padded = (bytes: number) => {
      const frame = '{"type":"pad","data":""}';
      return frame.replace('""', `"${'x'.repeat(bytes - frame.length)}"`);
    };

    it('accepts a message of exactly the limit', async () => {
      const client = await v1(freshUser());
      client.send(padded(LIMIT_BYTES));
      client.send({ type: 'ping', timestamp: 1 });
      await client.next('pong');
      client.terminate();
    });

    it('closes with 1009 on one byte more', async () => {
      const client = await seed(freshUser());
      client.send(padded(LIMIT_BYTES + 1));
      expect((await client.closed).code).toBe(1009);
    });

    it('closes with 1008 on more messages a second than allowed', async () => {
      const client = await seed(freshUser());
      for (let index = 0; index < 200; index += 1) client.send({ type: 'n', data: index });
      expect((await client.closed).code).toBe(1008);
    });

    it.each([
      ['no JSON', 'not json'],
      ['a number', '42'],
      ['no type', '{"data":1}'],
      ['a type that is no text', '{"type":1}'],
      ['null', 'null'],
      ['an array', '[{"type":"ping"}]'],
      ['a binary frame without JSON', Buffer.from('not json')],
    ])('ignores %s and counts it', async (_name, message) => {
      const client = await v1(freshUser());
      client.socket.send(message);
      client.send({ type: 'ping', timestamp: 2 });
      expect((await client.next('pong')).data).toEqual({ timestamp: 2 });
      client.terminate();
      const metrics = await gateway.call('GET', '/metrics');
      expect(metrics.text).toMatch(/^lingxi_\w*malformed\w*(\{[^}]*\})? [1-9]/m);
    });

    it('reads a binary frame as text, and closes with 1007 if it is not text', async () => {
      const client = await v1(freshUser());
      client.socket.send(Buffer.from('{"type":"ping","timestamp":3}'));
      expect((await client.next('pong')).data).toEqual({ timestamp: 3 });
      client.socket.send(Buffer.from([0xff, 0xfe, 0]));
      expect((await client.closed).code).toBe(1007);
    });

    it('[HB2] accepts no malformed message as a proof of life of a client without lingxi.v1', async () => {
      const client = await seed(freshUser());
      const last = client.ping();
      const noise = setInterval(() => client.send('not json'), 200);
      const closed = await client.closed;
      clearInterval(noise);
      expect(closed.code).toBe(4100);
      expect(closed.at - last).toBeLessThan(TIMEOUT_MS + 3_000);
    });
  });

  it('logs connected and disconnected with user, connection and cause', async () => {
    const user = freshUser();
    const client = await v1(user);
    client.close();
    await client.closed;
    const mentions = (line: Readonly<Record<string, unknown>>) => Object.values(line).includes(user);
    const connected = await gateway.waitForLog('connected', mentions);
    const disconnected = await gateway.waitForLog('disconnected', mentions);
    const { connectionId } = (await client.next('welcome')).data as { connectionId: string };
    expect(Object.values(connected)).toContain(connectionId);
    expect(Object.values(disconnected)).toContain(connectionId);
    expect(disconnected).toHaveProperty('cause');
  });
});
