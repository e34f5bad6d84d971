import { WebSocket } from 'ws';
import { sleep } from './ports.ts';

/** How soon a client dials again that was refused or cut off. */
const RETRY_MS = 500;

export interface ProxiedPlayerOptions {
  readonly wsUrl: string;
  readonly token: string;
  /** The page from which it comes. */
  readonly origin: string;
  /** Its own address. */
  readonly localAddress: string;
}

interface Message {
  readonly type: string;
  readonly data: Record<string, unknown>;
}

/** A `lingxi.v1` client that comes back when `goodbye` tells it to, and what it met. */
export class ProxiedPlayer {
  /** Periods that it was welcomed in. */
  readonly periods = new Set<string>();
  /** Nodes that it was welcomed by, oldest first. */
  readonly nodes: string[] = [];
  /** Status of each refused upgrade, and close codes but 1012. */
  readonly trouble: string[] = [];
  /** What was pushed to it. */
  readonly received: string[] = [];
  readonly #options: ProxiedPlayerOptions;
  #socket: WebSocket | undefined;
  #left = false;
  readonly #done: Promise<void>;

  constructor(options: ProxiedPlayerOptions) {
    this.#options = options;
    this.#done = this.#play();
  }

  get isOnline(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  async leave(): Promise<void> {
    this.#left = true;
    this.#socket?.terminate();
    await this.#done;
  }

  async #play(): Promise<void> {
    while (!this.#left) await sleep(await this.#live());
  }

  /** One connection from its dial to its end; answers in how many ms the next one comes. */
  #live(): Promise<number> {
    const { wsUrl, token, origin, localAddress } = this.#options;
    const socket = new WebSocket(wsUrl, ['lingxi.v1', `bearer.${token}`], {
      localAddress,
      headers: { origin, 'x-forwarded-for': '203.0.113.7' },
    });
    this.#socket = socket;
    let afterMs = RETRY_MS;
    socket.on('message', (data: Buffer) => {
      const message = JSON.parse(data.toString()) as Message;
      if (message.type === 'welcome') {
        this.periods.add(String(message.data['period']));
        this.nodes.push(String(message.data['node']));
      } else if (message.type === 'goodbye') afterMs = Number(message.data['reconnectAfterMs']);
      else this.received.push(message.type);
    });
    return new Promise((resolve) => {
      socket.on('unexpected-response', (request, response) => {
        this.trouble.push(`refused ${response.statusCode}`);
        request.destroy();
        resolve(RETRY_MS);
      });
      socket.on('error', () => undefined);
      socket.on('close', (code) => {
        if (code !== 1012 && !this.#left) this.trouble.push(`closed ${code}`);
        resolve(this.#left ? 0 : afterMs);
      });
    });
  }
}
