import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sleep } from '../support/ports.ts';
import {
  encodeFrame,
  type FrameOptions,
  handshake,
  openRaw,
  openRawWebSocket,
} from '../support/raw-socket.ts';
import { type Deployment, deploy, freshUser } from '../support/stores.ts';
import { connect, refusal } from '../support/ws-client.ts';

const LIMIT_BYTES = 65_536;
const close = (payload: Buffer): FrameOptions => ({ opcode: 8, payload });
const closeCode = (code: number): FrameOptions => {
  const payload = Buffer.alloc(2);
  payload.writeUInt16BE(code);
  return close(payload);
};

describe.concurrent.each(['bun', 'node'] as const)('bad input on %s', (runtime) => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await deploy({
      runtime,
      kind: 'redis+postgres',
      env: { LINGXI_MAX_MESSAGE_BYTES: String(LIMIT_BYTES) },
    });
  });
  afterAll(() => deployment?.stop());
  // Another user must not notice any of the inputs.
  beforeEach(async () => {
    const { gateway } = deployment;
    const bystander = await connect(gateway.wsUrl, {
      token: gateway.token(freshUser()),
      protocols: ['lingxi.v1'],
    });
    await bystander.next('welcome');
    return async () => {
      bystander.send({ type: 'ping', timestamp: 42 });
      expect((await bystander.next('pong')).data).toEqual({ timestamp: 42 });
      bystander.terminate();
      expect((await gateway.call('GET', '/healthz')).status).toBe(200);
    };
  });

  const raw = () => openRawWebSocket(deployment.gateway.port(), deployment.gateway.token(freshUser()));
  const withoutHandshake = (request: string | Buffer) => openRaw(deployment.gateway.port(), request);

  describe.sequential('frames', () => {
    it.each<[string, readonly FrameOptions[], readonly (number | undefined)[]]>([
      ['47 an unmasked frame', [{ opcode: 1, payload: '{}', masked: false }], [1002]],
      ['48 a reserved bit', [{ opcode: 1, payload: '{}', reserved: 4 }], [1002]],
      ['48 a reserved opcode', [{ opcode: 3, payload: 'x' }], [1002]],
      ['48 a reserved control opcode', [{ opcode: 11, payload: 'x' }], [1002]],
      ['49 invalid UTF-8', [{ opcode: 1, payload: Buffer.from([0x22, 0xc3, 0x28, 0x22]) }], [1007]],
      [
        '49 invalid UTF-8, split',
        [
          { opcode: 1, payload: Buffer.from([0x22, 0xc3]), fin: false },
          { opcode: 0, payload: Buffer.from([0x28, 0x22]) },
        ],
        [1007],
      ],
      ['50 one byte over the limit', [{ opcode: 1, payload: 'x'.repeat(LIMIT_BYTES + 1) }], [1009]],
      [
        '50 one byte over the limit in fragments',
        [
          { opcode: 1, payload: 'x'.repeat(LIMIT_BYTES), fin: false },
          { opcode: 0, payload: 'x' },
        ],
        [1009],
      ],
      ['52 a control frame of 126 bytes', [{ opcode: 9, payload: 'x'.repeat(126) }], [1002]],
      ['52 a fragmented control frame', [{ opcode: 9, payload: 'x', fin: false }], [1002]],
      ['a continuation of nothing', [{ opcode: 0, payload: 'x' }], [1002]],
      [
        'a new message inside a fragmented one',
        [
          { opcode: 1, payload: 'x', fin: false },
          { opcode: 1, payload: 'y' },
        ],
        [1002],
      ],
      ['53 close code 999', [closeCode(999)], [1002]],
      ['53 close code 1005', [closeCode(1005)], [1002]],
      ['53 close code 1006', [closeCode(1006)], [1002]],
      ['53 a close body of one byte', [close(Buffer.from([3]))], [1002]],
    ])('%s ends that connection', async (_name, frames, codes) => {
      const socket = await raw();
      for (const frame of frames) socket.send(frame);
      // A runtime may cut the connection instead of sending the code. The connection must not continue.
      expect([...codes, undefined]).toContain((await socket.ended).code);
    });

    it('the server closes a message over the limit with 1009', async () => {
      const socket = await raw();
      socket.send({ opcode: 1, payload: 'x'.repeat(LIMIT_BYTES + 1) });
      expect((await socket.ended).code).toBe(1009);
    });

    it('54 the server closes a flood of pings with 1008', async () => {
      const socket = await raw();
      const flood = Buffer.concat(Array.from({ length: 500 }, () => encodeFrame({ opcode: 9 })));
      const timer = setInterval(() => socket.write(flood), 50);
      const { code } = await socket.ended;
      clearInterval(timer);
      expect([1008, undefined]).toContain(code);
    });

    it('62 random bytes after the upgrade end only that connection', async () => {
      const socket = await raw();
      socket.write(Buffer.from(Array.from({ length: 512 }, (_, index) => (index * 197 + 131) & 0xff)));
      await socket.ended;
    });

    it('63 a reset in mid-frame ends that connection', async () => {
      const socket = await raw();
      socket.write(encodeFrame({ opcode: 1, payload: 'x'.repeat(1_000) }).subarray(0, 300));
      await sleep(50);
      socket.socket.resetAndDestroy();
      await socket.ended;
    });
  });

  describe.sequential('messages', () => {
    it.each([
      ['59 JSON 10,000 deep', `${'['.repeat(10_000)}${']'.repeat(10_000)}`],
      ['59 a deep value beside a type', `{"type":"n","data":${'['.repeat(10_000)}${']'.repeat(10_000)}}`],
      ['59 1e999', '{"type":"ping","timestamp":1e999}'],
      ['59 doubled keys', '{"type":"ping","type":"chat"}'],
      ['59 no type', '{"timestamp":1}'],
      ['60 __proto__', '{"type":"chat","__proto__":{"polluted":true},"data":{"__proto__":{"polluted":1}}}'],
      ['NUL in the type', '{"type":"a\\u0000b"}'],
      ['a lone surrogate', '{"type":"\\ud800"}'],
      ['a byte order mark', '\ufeff{"type":"ping"}'],
    ])('%s is accepted or ignored, and the connection stays open', async (_name, text) => {
      const { gateway } = deployment;
      const client = await connect(gateway.wsUrl, {
        token: gateway.token(freshUser()),
        protocols: ['lingxi.v1'],
      });
      client.send(text);
      client.send({ type: 'ping', timestamp: 'after' });
      await client.next((message) => JSON.stringify(message.data) === '{"timestamp":"after"}');
      client.terminate();
    });

    it('60 leaves the prototype unchanged by HTTP too', async () => {
      const { gateway } = deployment;
      const body = '{"playerId":"1","__proto__":{"polluted":true},"constructor":{"prototype":{"x":1}}}';
      await gateway.service('POST', '/api/online/heartbeat', body);
      const stats = await gateway.call('GET', '/ws/stats');
      expect(stats.text).not.toContain('polluted');
    });
  });

  describe.sequential('handshakes', () => {
    it.each<[string, Readonly<Record<string, string>>]>([
      ['a bad key', { 'Sec-WebSocket-Key': '!!' }],
      ['no key', { 'Sec-WebSocket-Key': '' }],
      ['a bad version', { 'Sec-WebSocket-Version': '12' }],
      ['no upgrade', { Upgrade: '' }],
    ])('55 %s is refused with 400 or 426', async (_name, headers) => {
      const token = deployment.gateway.token(freshUser());
      const socket = withoutHandshake(handshake('/ws', token, headers));
      expect([400, 426]).toContain((await socket.head).status);
      socket.destroy();
    });

    it('56 2,000 headers are refused with 431 or cut', async () => {
      const many = Object.fromEntries(
        Array.from({ length: 2_000 }, (_, index) => [`X-Header-${index}`, 'x'.repeat(20)]),
      );
      const socket = withoutHandshake(handshake('/ws', deployment.gateway.token(freshUser()), many));
      const status = await Promise.race([
        socket.head.then((head) => head.status).catch(() => 431),
        socket.ended.then(() => 431),
      ]);
      expect([400, 431]).toContain(status);
      socket.destroy();
    });

    it('63 a reset in mid-handshake affects no other connection', async () => {
      const socket = withoutHandshake('GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgr');
      await sleep(50);
      socket.socket.resetAndDestroy();
      await socket.ended;
    });

    it.each([
      ['garbage', 'HELLO\r\n\r\n'],
      ['bytes', Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc])],
      ['no end of a huge first line', `GET /${'x'.repeat(200_000)}`],
    ])(
      '%s instead of HTTP ends that connection',
      async (_name, bytes) => {
        const socket = withoutHandshake(bytes);
        await socket.ended;
        expect(String(socket.received().subarray(0, 12))).toMatch(/^(HTTP\/1\.1 4|$)/);
      },
      15_000,
    );
  });

  // Each of these tests waits for ten seconds.
  describe.concurrent('clients that never finish', () => {
    it('51 the server cuts off a message of endless empty fragments, with any control frames between them', async () => {
      const socket = await raw();
      const flood = Buffer.concat(
        Array.from({ length: 2_000 }, () => encodeFrame({ opcode: 0, fin: false })),
      );
      const ping = encodeFrame({ opcode: 9 });
      socket.send({ opcode: 1, fin: false });
      let count = 0;
      const timer = setInterval(() => {
        count += 1;
        socket.write(count % 50 === 0 ? Buffer.concat([flood, ping]) : flood);
      }, 20);
      const { code } = await socket.ended;
      clearInterval(timer);
      // Bun does not show fragments to the program. A client without `lingxi.v1` can send no heartbeat inside a message, so the
      // timeout ends it.
      expect(code).toBe(runtime === 'bun' ? 4100 : 1008);
    });

    // Bun has a fixed limit of 10 s. Its timers run in steps of 4 s, so the limit takes effect after 8 to 12 s.
    const longestHeadMs = runtime === 'bun' ? 12_000 : 9_000;
    it('57 the server cuts a client that sends one header byte a second, 58 and a silent socket', async () => {
      const slow = withoutHandshake('GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ');
      const silent = withoutHandshake('');
      const started = performance.now();
      const drip = setInterval(() => slow.write('x'), 1_000);
      const ends = await Promise.all([slow.ended, silent.ended]);
      clearInterval(drip);
      // The rest is for a busy machine.
      for (const end of ends) expect(end.at - started).toBeLessThan(longestHeadMs + 5_000);
    }, 30_000);
  });

  describe.sequential('user ids', () => {
    const bad = [
      ['empty', ''],
      ['a star', '*'],
      ['CR LF', '1\r\nSET x 1'],
      ['NUL', '1\u0000'],
      ['10 kB', '1'.repeat(10_000)],
      ['a colon', 'a:b'],
      ['2^53+1', '9007199254740993'],
      ['negative', '-1'],
      ['a path', '../1'],
      ['full-width digits', '１２'],
    ] as const;

    it.each(bad)('61 %s: 400 everywhere, and no key or row', async (_name, id) => {
      const { gateway, stores } = deployment;
      // Redis may return the same keys in another order.
      const keys = async () => (await stores.redis?.cli('KEYS', 'player:online:*'))?.split('\n').sort();
      const keysBefore = await keys();
      const query = `?userId=${encodeURIComponent(id)}`;
      const upgrade = await refusal(gateway.wsUrl, { token: gateway.token(7), query });
      // A target of 10 kB may be refused for its size before it is parsed.
      expect([400, 414, 431]).toContain(upgrade.status);
      for (const verb of ['login', 'heartbeat', 'logout']) {
        expect((await gateway.service('POST', `/api/online/${verb}`, { playerId: id })).status).toBe(400);
      }
      const body = { to: { userId: id }, type: 'n', data: 1 };
      expect((await gateway.service('POST', '/api/messages', body)).status).toBe(400);
      const subject = await refusal(gateway.wsUrl, { token: gateway.token(id) });
      expect([400, 401, 431]).toContain(subject.status);
      expect(await keys()).toEqual(keysBefore);
      const rows = await stores.postgres?.query(
        'SELECT count(*)::int AS n FROM lingxi_periods WHERE user_id < 0',
      );
      expect(rows?.[0]?.['n']).toBe(0);
      for (const line of gateway.printed().split('\n')) expect(line).not.toContain('SET x 1');
    });
  });
});
