// Many `lingxi.v1` clients in a separate process. They reconnect as a good client does: after `Retry-After`, or after a second.
// Each message of the parent starts one wave. Plain JavaScript, because Node runs it directly.
import WebSocket from 'ws';

const RETRY_MS = 1_000;
/** Close codes from here to 4099 forbid a return. */
const FINAL_FROM = 4_000;
const FINAL_TO = 4_099;

let sockets = [];
/** A sign of life that is younger than this at the cut may be lost with its connection. */
const ON_THE_WAY_MS = 500;
/** When each user gave the last two signs of life, the newest first. The server reads each of them later than this. */
const signs = {};

process.on('disconnect', () => process.exit(0));
process.on('message', (message) => {
  if (message.kind === 'cut') {
    const latest = Date.now() - ON_THE_WAY_MS;
    for (const socket of sockets) socket.terminate();
    sockets = [];
    const lastSigns = Object.entries(signs).map(([user, [newest, before]]) => [
      user,
      newest <= latest ? newest : before,
    ]);
    process.send({ kind: 'cut', lastSigns: Object.fromEntries(lastSigns) });
  } else void connectAll(message).then((report) => process.send(report));
});

/** Every client connects once, at an even pace over `withinMs`, and retries until it is connected. */
async function connectAll({ clients, withinMs }) {
  const began = performance.now();
  const report = { kind: 'connected', periods: {}, welcomes: {}, refusals: {}, lastMs: 0 };
  await Promise.all(
    clients.map(async ({ user, url, token }, index) => {
      await sleep((withinMs * index) / clients.length);
      const welcome = await untilWelcome({ user, url, token }, report.refusals);
      report.periods[user] = welcome.period;
      report.welcomes[user] = Date.now();
      report.lastMs = performance.now() - began;
    }),
  );
  return report;
}

async function untilWelcome(client, refusals) {
  for (;;) {
    const outcome = await connect(client);
    if (outcome.welcome !== undefined) return outcome.welcome;
    refusals[outcome.refusal] = (refusals[outcome.refusal] ?? 0) + 1;
    await sleep(outcome.afterMs);
  }
}

function connect({ user, url, token }) {
  const startedAt = Date.now();
  const socket = new WebSocket(url, ['lingxi.v1', `bearer.${token}`]);
  return new Promise((resolve) => {
    socket.once('message', (data) => {
      const { type, data: welcome } = JSON.parse(data.toString());
      sockets.push(socket);
      signs[user] = [startedAt, startedAt];
      // The library answers each ping.
      socket.on('ping', () => {
        signs[user] = [Date.now(), signs[user][0]];
      });
      resolve(type === 'welcome' ? { welcome } : { refusal: `first frame ${type}`, afterMs: RETRY_MS });
    });
    socket.once('unexpected-response', (request, response) => {
      response.resume();
      request.destroy();
      const afterMs = Number(response.headers['retry-after'] ?? 1) * 1_000;
      resolve({ refusal: String(response.statusCode), afterMs });
    });
    socket.on('error', (error) => resolve({ refusal: error.code ?? error.message, afterMs: RETRY_MS }));
    socket.on('close', (code) => {
      const isFinal = code >= FINAL_FROM && code <= FINAL_TO;
      resolve({ refusal: `closed ${code}`, afterMs: isFinal ? 60_000 : RETRY_MS });
    });
  });
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
