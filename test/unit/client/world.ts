import type { Channel, Environment, WebSocketLike } from '../../../src/client/environment.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';

type Handler = ((event: never) => void) | null;

/** A socket whose other end is the test. */
export class TestSocket implements WebSocketLike {
  onopen: Handler = null;
  onmessage: Handler = null;
  onerror: Handler = null;
  onclose: Handler = null;
  bufferedAmount = 0;
  /** What the client sent, parsed. */
  readonly sent: { readonly type: string; readonly [name: string]: unknown }[] = [];
  /** Whether the client has closed it. */
  isClosed = false;
  /** Calls of the client after it had closed this socket. */
  readonly afterlife: string[] = [];
  readonly world: World;
  readonly url: string;
  readonly protocols: readonly string[];
  readonly extra: unknown;
  readonly openedAt: number;
  /** Called with each message of the client. */
  answer: (message: { readonly type: string }) => void = () => undefined;

  constructor(world: World, url: string, protocols: readonly string[], extra: unknown) {
    this.world = world;
    this.url = url;
    this.protocols = protocols;
    this.extra = extra;
    this.openedAt = world.clock.monotonic();
  }

  send(text: string): void {
    if (this.isClosed) this.afterlife.push(text);
    const message = JSON.parse(text) as { type: string };
    this.sent.push(message);
    this.answer(message);
  }

  close(): void {
    if (this.isClosed) this.afterlife.push('close');
    this.isClosed = true;
  }

  /** The server accepts the handshake. */
  accept(): void {
    this.#fire(this.onopen, {});
  }

  /** The server accepts, and greets with `welcome`. */
  welcome(data: Record<string, unknown> = {}): void {
    this.accept();
    this.message('welcome', { pingIntervalMs: 3_000, resumed: false, ...data });
  }

  message(type: string, data: unknown, more: Record<string, unknown> = {}): void {
    const timestamp = Math.floor(this.world.clock.now() / 1000);
    this.text(JSON.stringify({ type, userId: 7, timestamp, data, ...more }));
  }

  text(data: unknown): void {
    this.#fire(this.onmessage, { data });
  }

  pong(): void {
    this.message('pong', {});
  }

  /** The server or the network closes the connection. */
  end(code = 1006, reason = ''): void {
    if (code === 1006) this.#fire(this.onerror, {});
    this.#fire(this.onclose, { code, reason });
  }

  /** The platform fails the handshake or loses the connection, and gives a reason. */
  fail(message: string): void {
    this.#fire(this.onerror, { message });
    this.#fire(this.onclose, { code: 1006, reason: '' });
  }

  pings(): number {
    return this.sent.filter(({ type }) => type === 'ping').length;
  }

  #fire(handler: Handler, event: unknown): void {
    (handler as ((event: unknown) => void) | null)?.(event);
  }
}

/** The environment of one client: a fake clock, sockets and a page, all controlled by the test. */
export class World {
  readonly clock = new FakeClock();
  readonly sockets: TestSocket[] = [];
  /** Errors shown to the developer. */
  readonly reported: unknown[] = [];
  readonly warned: string[] = [];
  /** Number of active timers. */
  timers = 0;
  isHidden = false;
  /** The result of `random()`. */
  luck = 0.5;
  /** The next WebSocket cannot be created. */
  isForbidden = false;
  readonly env: Environment;
  readonly #listeners = new Map<string, Set<() => void>>();

  constructor(tabs?: Environment['tabs']) {
    const { clock } = this;
    const open = (url: string, protocols: readonly string[], extra: unknown): TestSocket => {
      if (this.isForbidden) throw new Error('The page may not open this address.');
      const socket = new TestSocket(this, url, protocols, extra);
      this.sockets.push(socket);
      return socket;
    };
    this.env = {
      now: () => clock.now(),
      random: () => this.luck,
      after: (ms, work) => {
        this.timers += 1;
        let isPending = true;
        const done = (): void => {
          if (isPending) this.timers -= 1;
          isPending = false;
        };
        const timer = clock.after(ms, () => {
          done();
          work();
        });
        return () => {
          timer.cancel();
          done();
        };
      },
      WebSocket: function (url: string, protocols: string[], extra?: object) {
        return open(url, protocols, extra);
      } as unknown as NonNullable<Environment['WebSocket']>,
      address: 'https://game.example/play',
      isHidden: () => this.isHidden,
      listen: (_target, type, listener) => {
        const listeners = this.#listeners.get(type) ?? new Set();
        this.#listeners.set(type, listeners.add(listener));
        return () => listeners.delete(listener);
      },
      tabs,
      report: (error) => this.reported.push(error),
      warn: (sentence) => this.warned.push(sentence),
    };
  }

  /** The newest socket. */
  get socket(): TestSocket {
    const socket = this.sockets.at(-1);
    if (socket === undefined) throw new Error('the client has opened no socket');
    return socket;
  }

  /** An event of the window or of the document. */
  fire(type: string): void {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) listener();
  }

  listeners(): number {
    return [...this.#listeners.values()].reduce((sum, { size }) => sum + size, 0);
  }

  hide(): void {
    this.isHidden = true;
    this.fire('visibilitychange');
  }

  show(): void {
    this.isHidden = false;
    this.fire('visibilitychange');
  }
}

/** A token whose only claim is its expiry. */
export function tokenUntil(expiresAtMs: number): string {
  return `h.${Buffer.from(JSON.stringify({ exp: expiresAtMs / 1000 })).toString('base64url')}.s`;
}

/** Lets promises settle. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

/** Web Locks and BroadcastChannels of one browser, for the tabs of a test. */
export class Browser {
  readonly #channels = new Set<{ readonly name: string; channel: Channel }>();
  readonly #queues = new Map<string, { granted: () => Promise<void>; signal: AbortSignal }[]>();
  readonly #held = new Set<string>();

  tabs(): NonNullable<Environment['tabs']> {
    return {
      locks: {
        request: (name, { signal }, granted) =>
          new Promise((resolve, reject) => {
            const entry = {
              signal,
              granted: async () => {
                await granted();
                resolve();
              },
            };
            const queue = this.#queues.get(name) ?? [];
            this.#queues.set(name, queue);
            queue.push(entry);
            signal.addEventListener('abort', () => {
              const at = queue.indexOf(entry);
              if (at >= 0) queue.splice(at, 1);
              if (at >= 0) reject(new Error('aborted'));
            });
            void Promise.resolve().then(() => this.#grant(name));
          }),
      },
      channel: (name) => this.#channel(name),
    };
  }

  #grant(name: string): void {
    if (this.#held.has(name)) return;
    const entry = this.#queues.get(name)?.shift();
    if (entry === undefined) return;
    this.#held.add(name);
    void entry.granted().then(() => {
      this.#held.delete(name);
      this.#grant(name);
    });
  }

  #channel(name: string): Channel {
    let isOpen = true;
    const channel: Channel = {
      onmessage: null,
      postMessage: (message) => {
        if (!isOpen) throw new Error('the channel is closed');
        const data: unknown = structuredClone(message);
        for (const other of [...this.#channels])
          if (other.name === name && other.channel !== channel)
            queueMicrotask(() => other.channel.onmessage?.({ data }));
      },
      close: () => {
        isOpen = false;
        for (const entry of this.#channels) if (entry.channel === channel) this.#channels.delete(entry);
      },
    };
    this.#channels.add({ name, channel });
    return channel;
  }
}
