import { WebSocket } from 'ws';

/** A server message as a client sees it. */
export interface Received {
  readonly type: string;
  readonly userId: number;
  readonly timestamp: number;
  readonly data: unknown;
  readonly id?: string;
}

export interface Closed {
  readonly code: number;
  readonly reason: string;
  /** `performance.now()` of the close. */
  readonly at: number;
}

export interface ConnectOptions {
  /** Sent as `Authorization: Bearer`. */
  readonly token?: string;
  /** Appended to the address: `?userId=7`. */
  readonly query?: string;
  readonly protocols?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  /** False: the client does not answer protocol pings. Default true. */
  readonly autoPong?: boolean;
}

/** A refused upgrade. */
export interface Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface Client {
  readonly socket: WebSocket;
  /** The selected subprotocol; empty if there is none. */
  readonly protocol: string;
  readonly responseHeaders: Readonly<Record<string, string | string[] | undefined>>;
  /** Every message so far, oldest first. `next` does not remove messages from here. */
  readonly messages: readonly Received[];
  /** The text of each of `messages`, byte for byte. */
  readonly texts: readonly string[];
  /** Protocol pings of the server so far. */
  pings(): number;
  readonly closed: Promise<Closed>;
  /** The next unread message that `match` accepts. Those before it are skipped. */
  next(match?: string | ((message: Received) => boolean), timeoutMs?: number): Promise<Received>;
  send(message: unknown): void;
  /** One heartbeat of a client without `lingxi.v1`. Returns `performance.now()` of the send. */
  ping(): number;
  /** A heartbeat now and then every `intervalMs`, until the returned function is called or the socket closes. */
  keepAlive(intervalMs?: number): () => void;
  close(code?: number): void;
  /** Drops the TCP connection without a close frame. */
  terminate(): void;
}

const TIMEOUT_MS = 15_000;

/** Connects, or rejects with the refusal in the message. */
export async function connect(wsUrl: string, options: ConnectOptions = {}): Promise<Client> {
  const outcome = await tryConnect(wsUrl, options);
  if ('status' in outcome) throw new Error(`refused with ${outcome.status} ${JSON.stringify(outcome.body)}`);
  return outcome;
}

/** Connects and expects to be refused. */
export async function refusal(wsUrl: string, options: ConnectOptions = {}): Promise<Refusal> {
  const outcome = await tryConnect(wsUrl, options);
  if ('status' in outcome) return outcome;
  outcome.terminate();
  throw new Error('the upgrade was granted');
}

export function tryConnect(wsUrl: string, options: ConnectOptions = {}): Promise<Client | Refusal> {
  const headers: Record<string, string> = { ...options.headers };
  if (options.token !== undefined) headers['Authorization'] = `Bearer ${options.token}`;
  const socket = new WebSocket(wsUrl + (options.query ?? ''), [...(options.protocols ?? [])], {
    headers,
    autoPong: options.autoPong ?? true,
    perMessageDeflate: false,
    handshakeTimeout: 30_000,
  });
  let responseHeaders: Refusal['headers'] = {};
  socket.once('upgrade', (response) => {
    responseHeaders = response.headers;
  });
  const client = attach(socket, () => responseHeaders);
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve(client));
    socket.once('error', reject);
    socket.once('unexpected-response', (_request, response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.once('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: parseBody(text) });
      });
    });
  });
}

function attach(socket: WebSocket, headers: () => Refusal['headers']): Client {
  let end = '';
  const inbox = createInbox(() => end);
  let pings = 0;
  // An error needs a listener, also in tests that are not about errors. A close always follows.
  socket.on('error', () => undefined);
  socket.on('ping', () => {
    pings += 1;
  });
  const texts: string[] = [];
  socket.on('message', (data) => {
    // The text is added first, because a caller of `next` may count the texts.
    texts.push(String(data));
    inbox.put(JSON.parse(String(data)) as Received);
  });
  const closed = new Promise<Closed>((resolve) => {
    socket.once('close', (code, reason) => {
      end = `; closed with ${code} ${String(reason)}`;
      resolve({ code, reason: String(reason), at: performance.now() });
    });
  });
  const ping = (): number => {
    // The time after the call may be later than the sending: a busy machine can stop this process in between.
    const at = performance.now();
    socket.send(JSON.stringify({ type: 'ping', timestamp: Date.now() }));
    return at;
  };
  return {
    socket,
    get protocol() {
      return socket.protocol;
    },
    get responseHeaders() {
      return headers();
    },
    messages: inbox.messages,
    texts,
    pings: () => pings,
    closed,
    next: inbox.next,
    send: (message) => socket.send(typeof message === 'string' ? message : JSON.stringify(message)),
    ping,
    keepAlive(intervalMs = 300) {
      const beat = (): void => {
        if (socket.readyState === WebSocket.OPEN) ping();
      };
      beat();
      const timer = setInterval(beat, intervalMs);
      socket.once('close', () => clearInterval(timer));
      return () => clearInterval(timer);
    },
    close: (code = 1000) => socket.close(code),
    terminate: () => socket.terminate(),
  };
}

interface Inbox {
  readonly messages: readonly Received[];
  put(message: Received): void;
  readonly next: Client['next'];
}

/** `end` says how the connection ended; empty while it is open. */
function createInbox(end: () => string): Inbox {
  const messages: Received[] = [];
  const waiting = new Set<() => void>();
  let taken = 0;
  const take = (match: (message: Received) => boolean): Received | undefined => {
    const index = messages.findIndex((message, at) => at >= taken && match(message));
    if (index < 0) return undefined;
    taken = index + 1;
    return messages[index];
  };
  return {
    messages,
    put(message) {
      messages.push(message);
      for (const wake of waiting) wake();
    },
    next(match = () => true, timeoutMs = TIMEOUT_MS) {
      const accepts = typeof match === 'string' ? (message: Received) => message.type === match : match;
      return new Promise((resolve, reject) => {
        const finish = (): void => {
          const message = take(accepts);
          if (message === undefined) return;
          clearTimeout(timer);
          waiting.delete(finish);
          resolve(message);
        };
        const timer = setTimeout(() => {
          waiting.delete(finish);
          const wanted = typeof match === 'string' ? `"${match}"` : 'as wanted';
          const seen = JSON.stringify(messages.slice(-5));
          reject(new Error(`no message ${wanted} in ${timeoutMs} ms${end()}; seen: ${seen}`));
        }, timeoutMs);
        waiting.add(finish);
        finish();
      });
    },
  };
}

function parseBody(text: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return { notJson: text };
  }
}
