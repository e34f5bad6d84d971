/** The part of Bun's API (1.4) that the gateway uses; no package with its types is installed. */
export interface BunRuntime {
  serve(options: BunServeOptions): BunServer;
}

interface BunServeOptions {
  readonly hostname: string;
  readonly port: number;
  /** Seconds, at most 255. */
  readonly idleTimeout: number;
  readonly development: boolean;
  readonly reusePort: boolean;
  fetch(request: Request, server: BunServer): Promise<Response | undefined> | Response;
  error?(error: unknown): Response;
  readonly websocket: BunSocketHandlers;
}

export interface BunServer {
  readonly port: number;
  readonly hostname: string;
  /** False if the connection is gone or the request is no handshake. */
  upgrade(request: Request, options: { readonly headers: Headers; readonly data: BunSocketData }): boolean;
  requestIP(request: Request): { readonly address: string; readonly port: number } | null;
  /** Overrides the idle timeout of one request, in seconds. */
  timeout(request: Request, seconds: number): void;
  /** `true` drops open connections, sockets included. */
  stop(closeActiveConnections?: boolean): Promise<void>;
}

/** The object on each of Bun's sockets. Bun's callbacks call its methods without a look-up. */
export interface BunSocketData {
  onOpen(ws: BunWebSocket): void;
  onMessage(message: string | Uint8Array): void;
  onControl(kind: 'ping' | 'pong'): void;
  onDrain(): void;
  onClose(code: number, reason: string): void;
}

export interface BunWebSocket {
  readonly data: BunSocketData;
  /** Bytes sent; -1: held back; 0: dropped. */
  send(message: string): number;
  ping(): number;
  close(code?: number, reason?: string): void;
  terminate(): void;
  getBufferedAmount(): number;
}

export interface BunSocketHandlers {
  readonly maxPayloadLength: number;
  readonly backpressureLimit: number;
  readonly closeOnBackpressureLimit: boolean;
  /** Seconds, at most 960; 0: never. */
  readonly idleTimeout: number;
  readonly sendPings: boolean;
  readonly perMessageDeflate: boolean;
  open(ws: BunWebSocket): void;
  message(ws: BunWebSocket, message: string | Uint8Array): void;
  ping(ws: BunWebSocket): void;
  pong(ws: BunWebSocket): void;
  drain(ws: BunWebSocket): void;
  close(ws: BunWebSocket, code: number, reason: string): void;
}

/** Undefined if the program does not run on Bun. */
export function bunRuntime(): BunRuntime | undefined {
  return (globalThis as { readonly Bun?: BunRuntime }).Bun;
}
