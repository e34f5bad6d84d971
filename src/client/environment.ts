/** The part of a WebSocket that the client uses. Browsers, Node 22, Bun and the package `ws` have it. */
export interface WebSocketLike {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  readonly bufferedAmount: number;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}

/** A WebSocket class. `extra` is the third argument of `ws`, which takes headers; other classes ignore it. */
export type WebSocketClass = new (url: string, protocols: string[], extra?: object) => WebSocketLike;

/** The part of a BroadcastChannel that shared tabs use. */
export interface Channel {
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  postMessage(message: unknown): void;
  close(): void;
}

/** The part of `navigator.locks` that shared tabs use. */
export interface Locks {
  request(
    name: string,
    options: { readonly signal: AbortSignal },
    granted: () => Promise<void>,
  ): Promise<void>;
}

/** Everything that the client uses of its platform. Tests pass their own. */
export interface Environment {
  /** Wall clock in ms. */
  readonly now: () => number;
  /** From 0 up to 1. */
  readonly random: () => number;
  /** Runs `work` once after `ms`, at most 2^31 − 1; returns the function that cancels it. */
  readonly after: (ms: number, work: () => void) => () => void;
  /** The WebSocket class of the platform; undefined on Node 20. */
  readonly WebSocket: WebSocketClass | undefined;
  /** Address of the page; undefined outside a browser. */
  readonly address: string | undefined;
  /** Whether the page is hidden; false outside a browser. */
  readonly isHidden: () => boolean;
  /** Listens to an event of the window or of the document; returns a function that stops listening. */
  readonly listen: (target: 'window' | 'document', type: string, listener: () => void) => () => void;
  /** Undefined if the platform has no Web Locks or no BroadcastChannel. */
  readonly tabs: { readonly locks: Locks; channel(name: string): Channel } | undefined;
  /** Shows the error of a listener to the developer. */
  readonly report: (error: unknown) => void;
  /** Warns the developer. */
  readonly warn: (sentence: string) => void;
}

/** Globals of a page that a program on Node or Bun may lack. */
interface Globals {
  readonly WebSocket?: WebSocketClass;
  readonly BroadcastChannel?: new (name: string) => Channel;
  readonly navigator?: { readonly locks?: Locks };
  readonly location?: { readonly href: string };
  readonly document?: Target & { readonly hidden: boolean };
  readonly addEventListener?: Target['addEventListener'];
  readonly removeEventListener?: Target['removeEventListener'];
}

interface Target {
  addEventListener(type: string, listener: () => void): void;
  removeEventListener(type: string, listener: () => void): void;
}

/** The real environment. It reads the globals when they are needed, so importing the client has no effect on a server. */
export function realEnvironment(): Environment {
  const world = globalThis as unknown as Globals;
  return {
    now: () => Date.now(),
    random: () => Math.random(),
    after(ms, work) {
      const timer = setTimeout(work, ms);
      return () => clearTimeout(timer);
    },
    WebSocket: world.WebSocket,
    address: world.location?.href,
    isHidden: () => world.document?.hidden === true,
    listen(name, type, listener) {
      const target: Partial<Target> | undefined = name === 'window' ? world : world.document;
      target?.addEventListener?.(type, listener);
      return () => target?.removeEventListener?.(type, listener);
    },
    get tabs() {
      const { BroadcastChannel, navigator } = world;
      const locks = navigator?.locks;
      return locks && BroadcastChannel && { locks, channel: (name: string) => new BroadcastChannel(name) };
    },
    report: (error) => console.error(error),
    warn: (sentence) => console.warn(sentence),
  };
}
