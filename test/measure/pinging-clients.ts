import type { Gateway } from '../support/gateway-process.ts';
import { sleep } from '../support/ports.ts';

/** As Bun has it. */
const BunWebSocket = WebSocket as unknown as new (
  url: string,
  options: { readonly headers: Readonly<Record<string, string>> },
) => WebSocket;

export const PING = '{"type":"ping"}';
const SLICES = 20;
const SECOND_MS = 1000;
const CONNECTING = 200;
const MAX_ATTEMPTS = 5;

/** Connects so many users, who begin to ping at once: the first must not time out before the last are there. */
export async function connectUsers(
  gateway: Gateway,
  count: number,
): Promise<{ readonly clients: readonly WebSocket[]; readonly rest: () => void }> {
  const clients: WebSocket[] = [];
  const rest = pingEachSecond(clients);
  for (let start = 0; start < count; start += CONNECTING) {
    const size = Math.min(CONNECTING, count - start);
    const opened = Array.from({ length: size }, (_, index) => open(gateway, start + index + 1));
    clients.push(...(await Promise.all(opened)));
  }
  return { clients, rest };
}

/** As a client does, it comes again after a 503. */
async function open(gateway: Gateway, user: number): Promise<WebSocket> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await tryOpen(gateway, user);
    } catch (error) {
      if (attempt === MAX_ATTEMPTS) throw error;
      await sleep(SECOND_MS);
    }
  }
}

/** Bun's own client: what clients do is paid by the machine that the node shares with them, so they do little. */
function tryOpen(gateway: Gateway, user: number): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${gateway.token(user)}` };
    const socket = new BunWebSocket(gateway.wsUrl, { headers });
    const refused = (): void => reject(new Error('refused'));
    socket.addEventListener('error', refused);
    socket.addEventListener('close', refused);
    const opened = (): void => {
      socket.removeEventListener('error', refused);
      socket.removeEventListener('close', refused);
      resolve(socket);
    };
    socket.addEventListener('open', opened, { once: true });
  });
}

/** Every client once a second, spread over it. */
function pingEachSecond(clients: readonly WebSocket[]): () => void {
  let slice = 0;
  const timer = setInterval(() => {
    for (let index = slice; index < clients.length; index += SLICES) clients[index]?.send(PING);
    slice = (slice + 1) % SLICES;
  }, SECOND_MS / SLICES);
  return () => clearInterval(timer);
}
