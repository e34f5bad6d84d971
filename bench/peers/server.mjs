// A minimal server on one of the engines that the bench compares with Lingxi: node server.mjs ws|socket.io, or on Bun: bun
// server.mjs bun. It checks no credential and keeps no presence. It runs one command per line of its standard input, as the other
// helpers of the bench do.
import { createInterface } from 'node:readline';

const PAYLOAD = 'x'.repeat(100);
const PER_TURN = 64;

const starter = { bun: startBun, ws: startWs, 'socket.io': startSocketIo }[process.argv[2]];
if (starter === undefined) throw new Error('name an engine: bun, ws or socket.io');
const connections = [];
let received = 0;
const { port, send } = await starter();

const commands = {
  port: () => ({}),
  async random({ seconds }) {
    const end = performance.now() + seconds * 1000;
    let sent = 0;
    while (performance.now() < end) {
      for (let turn = 0; turn < PER_TURN; turn += 1)
        send(connections[Math.floor(Math.random() * connections.length)]);
      sent += PER_TURN;
      await new Promise((resolve) => setImmediate(resolve));
    }
    return { sent };
  },
  async broadcast({ times, everyMs }) {
    const start = performance.now();
    let sent = 0;
    for (let turn = 0; turn < times; turn += 1) {
      for (const connection of connections) send(connection);
      sent += connections.length;
      const left = start + (turn + 1) * everyMs - performance.now();
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, left)));
    }
    return { sent };
  },
};

const input = createInterface({ input: process.stdin });
input.on('close', () => process.exit(0));
input.on('line', (line) => void answer(JSON.parse(line)));

async function answer({ id, command, args }) {
  const before = cpuMs();
  const start = performance.now();
  const done = await commands[command](args ?? {});
  const spent = { ms: performance.now() - start, cpuMs: cpuMs() - before };
  const state = { port, connections: connections.length, received, totalCpuMs: cpuMs() };
  const rssBytes = process.memoryUsage.rss();
  process.stdout.write(`${JSON.stringify({ id, answer: { ...done, ...spent, ...state, rssBytes } })}\n`);
}

function cpuMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function startBun() {
  const server = globalThis.Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: (request, self) => (self.upgrade(request) ? undefined : new Response('', { status: 400 })),
    websocket: {
      perMessageDeflate: false,
      open: (socket) => void connections.push(socket),
      message: () => {
        received += 1;
      },
    },
  });
  return { port: server.port, send: (socket) => socket.send(PAYLOAD) };
}

async function startWs() {
  const { WebSocketServer } = await import('ws');
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', backlog: 4096, perMessageDeflate: false });
  server.on('connection', (socket) => {
    connections.push(socket);
    socket.on('error', () => {});
    socket.on('message', () => {
      received += 1;
    });
  });
  await new Promise((resolve) => server.once('listening', resolve));
  return { port: server.address().port, send: (socket) => socket.send(PAYLOAD) };
}

async function startSocketIo() {
  const { createServer } = await import('node:http');
  const { Server } = await import('socket.io');
  const http = createServer();
  // Only the bench's pings are measured, so the pings of the engine are off.
  const server = new Server(http, {
    transports: ['websocket'],
    pingInterval: 600_000,
    serveClient: false,
    perMessageDeflate: false,
  });
  server.on('connection', (socket) => {
    connections.push(socket);
    socket.on('ping', () => {
      received += 1;
    });
  });
  await new Promise((resolve) => http.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, resolve));
  return { port: http.address().port, send: (socket) => socket.emit('note', PAYLOAD) };
}
