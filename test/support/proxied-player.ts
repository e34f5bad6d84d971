import { WebSocket } from 'ws';
import { sleep } from './ports.ts';

/** A client that was refused or cut off reconnects after half of this time up to all of it. */
const RETRY_MS = 1_000;

export interface ProxiedPlayerOptions {
  readonly wsUrl: string;
  readonly token: string;
  /** The origin of its page. */
  readonly origin: string;
  /** Its own address. */
  readonly localAddress: string;
}

interface Message {
  readonly type: string;
  readonly data: Record<string, unknown>;
}

function retryMs(): number {
  return RETRY_MS * (0.5 + 0.5 * Math.random());
}

/** Codes from 4000 to 4099 forbid a return. */
function mayReturn(code: number): boolean {
  return code < 4_000 || code > 4_099;
}

/** A `lingxi.v1` client that reconnects at the time in `goodbye`, and records what happens. */
export class ProxiedPlayer {
  /** Periods in its welcomes. */
  readonly periods = new Set<string>();
  /** Nodes in its welcomes, oldest first. */
  readonly nodes: string[] = [];
  /** Status of each refused upgrade, and close codes other than 1012. */
  readonly trouble: string[] = [];
  /** The pushes that it received. */
  readonly received: string[] = [];
  /** The longest time from the end of a connection to the next `welcome`, in ms. */
  longestAwayMs = 0;
  #awaySince: number | undefined;
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

  /** One connection from the attempt to its end. Returns the time in ms until the next one. */
  #live(): Promise<number> {
    const { wsUrl, token, origin, localAddress } = this.#options;
    const socket = new WebSocket(wsUrl, ['lingxi.v1', `bearer.${token}`], {
      localAddress,
      headers: { origin, 'x-forwarded-for': '203.0.113.7' },
    });
    this.#socket = socket;
    let afterMs = retryMs();
    socket.on('message', (data: Buffer) => {
      const message = JSON.parse(data.toString()) as Message;
      if (message.type === 'welcome') {
        this.periods.add(String(message.data['period']));
        this.nodes.push(String(message.data['node']));
        if (this.#awaySince !== undefined)
          this.longestAwayMs = Math.max(this.longestAwayMs, performance.now() - this.#awaySince);
        this.#awaySince = undefined;
      } else if (message.type === 'goodbye') afterMs = Number(message.data['reconnectAfterMs']);
      else this.received.push(message.type);
    });
    return new Promise((resolve) => {
      socket.on('unexpected-response', (request, response) => {
        this.trouble.push(`refused ${response.statusCode}`);
        request.destroy();
        resolve(retryMs());
      });
      socket.on('error', () => undefined);
      socket.on('close', (code) => {
        this.#awaySince ??= performance.now();
        if (code !== 1012 && !this.#left) this.trouble.push(`closed ${code}`);
        if (!mayReturn(code)) this.#left = true;
        resolve(this.#left ? 0 : afterMs);
      });
    });
  }
}
