// Many `lingxi.v1` clients in a process of their own. They come back as a good client does: after `Retry-After`, or after a
// second. Each message of the parent is one wave; plain JavaScript, because Node runs it as it is.
import WebSocket from 'ws';

const RETRY_MS = 1_000;
/** Close codes from here to 4099 forbid a return. */
const FINAL_FROM = 4_000;
const FINAL_TO = 4_099;

let sockets = [];

process.on('disconnect', () => process.exit(0));
process.on('message', (message) => {
  if (message.kind === 'cut') {
    for (const socket of sockets) socket.terminate();
    sockets = [];
    process.send({ kind: 'cut' });
  } else void connectAll(message).then((report) => process.send(report));
});

/** Every client connects once, at an even pace over `withinMs`, and again until it is in. */
async function connectAll({ clients, withinMs }) {
  const began = performance.now();
  const report = { kind: 'connected', periods: {}, refusals: {}, lastMs: 0 };
  await Promise.all(
    clients.map(async ({ user, url, token }, index) => {
      await sleep((withinMs * index) / clients.length);
      const welcome = await untilWelcome(url, token, report.refusals);
      report.periods[user] = welcome.period;
      report.lastMs = performance.now() - began;
    }),
  );
  return report;
}

async function untilWelcome(url, token, refusals) {
  for (;;) {
    const outcome = await dial(url, token);
    if (outcome.welcome !== undefined) return outcome.welcome;
    refusals[outcome.refusal] = (refusals[outcome.refusal] ?? 0) + 1;
    await sleep(outcome.afterMs);
  }
}

function dial(url, token) {
  const socket = new WebSocket(url, ['lingxi.v1', `bearer.${token}`]);
  return new Promise((resolve) => {
    socket.once('message', (data) => {
      const { type, data: welcome } = JSON.parse(data.toString());
      sockets.push(socket);
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
