import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import type { SocketEvents } from '../../../src/connection/socket.ts';
import { BunHandshake } from '../../../src/gateway/bun-server.ts';
import { BunSocket, bunSocketHandlers } from '../../../src/gateway/bun-socket.ts';
import type { BunWebSocket } from '../../../src/gateway/bun-types.ts';
import type { SocketOwner } from '../../../src/gateway/gateway-server.ts';
import { NodeSocket, OwnedWebSocket } from '../../../src/gateway/node-socket.ts';
import type { Log, LogFields } from '../../../src/logging/log.ts';

const broken = (): never => {
  throw new Error('a bug');
};

/** The events of a socket whose events are `events`, in order. `opened` may refuse. */
function watched(events: Partial<SocketEvents>, opened?: () => never) {
  const told: string[] = [];
  const errors: LogFields[] = [];
  const none = (): void => undefined;
  const note = (event: string) => (): void => void told.push(event);
  const owner: SocketOwner = {
    released: note('released'),
    abandoned: note('abandoned'),
    opened:
      opened ??
      (() => ({
        ...{ message: note('message'), control: note('control'), drained: note('drained') },
        ...{ closed: note('closed') },
        ...events,
      })),
  };
  const log: Log = { debug: none, info: none, warn: none, error: (fields) => errors.push(fields) };
  return { told, errors, options: { owner, log } };
}

function fakeBunSocket(data: BunSocket) {
  const closes: (number | undefined)[] = [];
  const ws: BunWebSocket = {
    data,
    send: () => 1,
    ping: () => 1,
    close: (code) => void closes.push(code),
    terminate: () => undefined,
    getBufferedAmount: () => 0,
  };
  return { ws, closes };
}

async function overWs({
  owner,
  log,
}: {
  owner: SocketOwner;
  log: Log;
}): Promise<{ client: WebSocket; code: Promise<number> }> {
  const server = createServer();
  const upgrades = new WebSocketServer({ noServer: true, WebSocket: OwnedWebSocket });
  server.on('upgrade', (request, stream, head) =>
    upgrades.handleUpgrade(request, stream, head, (ws) =>
      new NodeSocket(ws, stream, { log, all: new Set() }).start(owner),
    ),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const code = new Promise<number>((resolve) => client.once('close', resolve));
  await new Promise((resolve) => client.once('open', resolve));
  return { client, code };
}

describe("callbacks of the runtime's engine", () => {
  it.each(['message', 'control'] as const)('on Bun: a bug in "%s" closes that socket with 1011', (event) => {
    const { options, errors } = watched({ [event]: broken });
    const socket = new BunSocket(options.owner, options.log);
    const { ws, closes } = fakeBunSocket(socket);
    const handlers = bunSocketHandlers({ readTimeoutMs: 60_000, maxMessageBytes: 1000 });
    handlers.open(ws);
    if (event === 'message') handlers.message(ws, 'x');
    else handlers.pong(ws);
    expect(closes).toEqual([1011]);
    expect(errors).toMatchObject([{ event: 'internal-error', where: 'socket' }]);
  });

  it('on Bun: a socket that cannot be registered is closed with 1011 and released', () => {
    const { options, errors, told } = watched({}, broken);
    const socket = new BunSocket(options.owner, options.log);
    const { ws, closes } = fakeBunSocket(socket);
    socket.onOpen(ws);
    expect(closes).toEqual([1011]);
    socket.onClose(1011, '');
    expect(told).toEqual(['released', 'abandoned']);
    expect(errors).toHaveLength(1);
  });

  it('on Bun: an error at the end of a socket still releases everything else', () => {
    const { options, told } = watched({ closed: broken });
    const socket = new BunSocket(options.owner, options.log);
    socket.onOpen(fakeBunSocket(socket).ws);
    expect(() => socket.onClose(1000, '')).not.toThrow();
    expect(told).toEqual(['released']);
  });

  it.each<[string, (client: WebSocket) => void]>([
    ['message', (client) => client.send('x')],
    ['control', (client) => client.ping()],
  ])('on Node: a bug in "%s" closes that socket with 1011', async (event, act) => {
    const { options, errors } = watched({ [event]: broken });
    const { client, code } = await overWs(options);
    act(client);
    expect(await code).toBe(1011);
    expect(errors).toMatchObject([{ event: 'internal-error', where: 'socket' }]);
  });

  it('on Node: a socket that cannot be registered is closed with 1011 and released', async () => {
    const { options, told } = watched({}, broken);
    const { code } = await overWs(options);
    expect(await code).toBe(1011);
    await expect.poll(() => told).toEqual(['released', 'abandoned']);
  });
});

describe('a handshake on Bun', () => {
  it('counts as left when its connection has no peer, before the signal aborts', () => {
    const leaving = new AbortController();
    const request = new Request('http://gateway/ws', { signal: leaving.signal });
    let peer: { address: string; port: number } | null = { address: '192.0.2.1', port: 4711 };
    const handshake = new BunHandshake(request, { requestIP: () => peer }, '192.0.2.1');
    expect(handshake.hasLeft()).toBe(false);
    peer = null;
    expect(handshake.hasLeft()).toBe(true);
    peer = { address: '192.0.2.1', port: 4711 };
    leaving.abort();
    expect(handshake.hasLeft()).toBe(true);
  });
});

describe('the idle timeout of Bun', () => {
  const idle = (readTimeoutMs: number): number =>
    bunSocketHandlers({ readTimeoutMs, maxMessageBytes: 1000 }).idleTimeout;

  it('is longer than the read timeout', () => {
    expect([idle(200), idle(60_000), idle(940_000)]).toEqual([21, 80, 960]);
  });

  it('is off if the read timeout is longer than Bun supports', () => {
    expect([idle(940_001), idle(960_000), idle(3_600_000)]).toEqual([0, 0, 0]);
  });
});
