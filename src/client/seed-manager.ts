import { mayReconnect } from '../protocol/may-reconnect.ts';
import { type Environment, realEnvironment, type WebSocketLike } from './environment.ts';
import type {
  ConnectionEvent,
  DungeonEvent,
  ExplorationEvent,
  LeaderboardUpdate,
  SpiritGrowth,
} from './seed-events.ts';

/** The pages pass callbacks of every kind. */
type Callback = (...values: never[]) => unknown;

const BEAT_MS = 1_000;

const MESSAGES = ['spirit:grow', 'dungeon:event', 'leaderboard:update', 'exploration:event'];
const LOCAL = ['connection:open', 'connection:close', 'connection:error'];

/** The `WebSocketManager` of the Go game's pages: the same names and the same behaviour. */
export class WebSocketManager {
  ws: WebSocketLike | null = null;
  url: string | null = null;
  isConnected = false;
  reconnectAttempts = 0;
  maxReconnectAttempts = 5;
  reconnectDelay = 3_000;
  isIntentionallyClosed = false;
  listeners: Record<string, Callback[]> = Object.fromEntries(
    [...MESSAGES, ...LOCAL].map((type) => [type, [] as Callback[]]),
  );
  readonly #env: Environment;
  #stopBeat: (() => void) | undefined;
  #cancelRetry: (() => void) | undefined;

  constructor(env: Environment) {
    this.#env = env;
  }

  /** Resolves at `open`, rejects with the error event. Without `serverUrl`, it connects to port 3000 of the page's host. */
  connect(token: string, userId: string | number, serverUrl?: string): Promise<void> {
    if (this.isConnected) {
      this.#env.warn('The WebSocket is connected already.');
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      this.#drop();
      this.isIntentionallyClosed = false;
      this.url = serverUrl ?? this.#ownUrl(token, userId);
      const { WebSocket } = this.#env;
      if (!WebSocket) throw new TypeError('This platform has no WebSocket.');
      const socket = new WebSocket(this.url, []);
      this.ws = socket;
      // Once another socket has replaced this one, its events are ignored.
      const present = (work: () => void): void => {
        if (this.ws === socket) work();
      };
      socket.onopen = () =>
        present(() => {
          this.isConnected = true;
          this.reconnectAttempts = 0;
          this.startHeartbeat();
          this.emit('connection:open', { userId, timestamp: this.#env.now() });
          resolve();
        });
      socket.onmessage = ({ data }: { data: unknown }) => present(() => this.#receive(data));
      socket.onerror = (error: unknown) =>
        present(() => {
          this.emit('connection:error', error);
          reject(error);
        });
      socket.onclose = ({ code }: { code: number }) =>
        present(() => {
          this.ws = null;
          this.isConnected = false;
          this.stopHeartbeat();
          this.emit('connection:close', { timestamp: this.#env.now() });
          if (!this.isIntentionallyClosed && mayReconnect(code))
            this.attemptReconnect(token, userId, serverUrl);
        });
    });
  }

  /** Tries again after 3 s × attempt, at most five times. */
  attemptReconnect(token: string, userId: string | number, serverUrl?: string): void {
    if (this.reconnectAttempts >= this.maxReconnectAttempts) {
      this.#env.warn(`Gave up after ${this.maxReconnectAttempts} attempts to reconnect.`);
      return;
    }
    this.reconnectAttempts += 1;
    this.#cancelRetry?.();
    this.#cancelRetry = this.#env.after(this.reconnectDelay * this.reconnectAttempts, () => {
      if (!this.isIntentionallyClosed && !this.isConnected)
        // The close event after an error starts the next attempt.
        this.connect(token, userId, serverUrl).catch(() => undefined);
    });
  }

  /** Closes, and does not reconnect. */
  disconnect(): void {
    this.isIntentionallyClosed = true;
    this.#cancelRetry?.();
    this.stopHeartbeat();
    this.ws?.close();
    this.isConnected = false;
  }

  on(type: string, callback: Callback): () => void {
    (this.listeners[type] ??= []).push(callback);
    return () => this.off(type, callback);
  }

  off(type: string, callback: Callback): void {
    const callbacks = this.listeners[type];
    if (callbacks) this.listeners[type] = callbacks.filter((other) => other !== callback);
  }

  /** Calls the listeners of a local event. */
  emit(type: string, data: unknown): void {
    this.#call(type, data);
  }

  /** Returns false if it is not connected; never throws. */
  send(message: unknown): boolean {
    if (!this.isConnected || !this.ws) return false;
    try {
      this.ws.send(JSON.stringify(message));
      return true;
    } catch (error) {
      this.#env.report(error);
      return false;
    }
  }

  sendHeartbeat(): boolean {
    return this.send({ type: 'ping', timestamp: this.#env.now() });
  }

  startHeartbeat(): void {
    this.stopHeartbeat();
    const beat = (): void => {
      this.#stopBeat = this.#env.after(BEAT_MS, () => {
        beat();
        this.sendHeartbeat();
      });
    };
    beat();
  }

  stopHeartbeat(): void {
    this.#stopBeat?.();
    this.#stopBeat = undefined;
  }

  getConnectionStatus(): { isConnected: boolean; url: string | null; reconnectAttempts: number } {
    const { isConnected, url, reconnectAttempts } = this;
    return { isConnected, url, reconnectAttempts };
  }

  #ownUrl(token: string, userId: string | number): string {
    const page = new URL(this.#env.address ?? 'http://localhost');
    const scheme = page.protocol === 'https:' ? 'wss' : 'ws';
    return `${scheme}://${page.hostname}:3000/ws?userId=${encodeURIComponent(userId)}&token=${encodeURIComponent(token)}`;
  }

  /** Drops a socket that is still connecting: this manager has one socket. */
  #drop(): void {
    this.#cancelRetry?.();
    const socket = this.ws;
    this.ws = null;
    socket?.close();
  }

  #receive(text: unknown): void {
    let message: { type?: unknown; userId?: unknown; timestamp?: unknown; data?: unknown } | null;
    try {
      message = JSON.parse(String(text)) as typeof message;
    } catch (error) {
      return this.#env.report(error);
    }
    const type = String(message?.type);
    if (!Object.hasOwn(this.listeners, type)) return this.#env.warn(`Unknown type of message: ${type}`);
    this.#call(type, message?.data, { userId: message?.userId, timestamp: message?.timestamp });
  }

  #call(type: string, ...values: unknown[]): void {
    for (const callback of [...(this.listeners[type] ?? [])]) {
      try {
        callback(...(values as never[]));
      } catch (error) {
        this.#env.report(error);
      }
    }
  }
}

/** The only manager of the page. */
export const wsManager: WebSocketManager = new WebSocketManager(realEnvironment());

type Subscribe<T> = (
  callback: (data: T, info: { userId: number; timestamp: number }) => unknown,
) => () => void;

export const subscribeSpiritGrowth: Subscribe<SpiritGrowth> = (callback) =>
  wsManager.on('spirit:grow', callback);
export const subscribeDungeonEvent: Subscribe<DungeonEvent> = (callback) =>
  wsManager.on('dungeon:event', callback);
export const subscribeLeaderboardUpdate: Subscribe<LeaderboardUpdate> = (callback) =>
  wsManager.on('leaderboard:update', callback);
export const subscribeExplorationEvent: Subscribe<ExplorationEvent> = (callback) =>
  wsManager.on('exploration:event', callback);

export function subscribeConnectionEvent(callback: (event: ConnectionEvent) => unknown): () => void {
  const stops = [
    wsManager.on('connection:open', (data: unknown) => callback({ status: 'open', data })),
    wsManager.on('connection:close', (data: unknown) => callback({ status: 'close', data })),
    wsManager.on('connection:error', (error: unknown) => callback({ status: 'error', error })),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}
