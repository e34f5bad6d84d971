import type { Clock } from '../lib/clock.ts';

/** Handshakes that wait for credentials or presence at one time; beyond: 503 `overloaded`. */
const MAX_PENDING_HANDSHAKES = 20_000;
/** Tokens that may fail from one address within the window before it is refused unread. */
export const MAX_FAILURES_PER_WINDOW = 100;
const FAILURE_WINDOW_MS = 10_000;
/** Addresses whose failures are remembered; beyond it the oldest is forgotten. */
const MAX_REMEMBERED_ADDRESSES = 10_000;

interface LimitOptions {
  readonly clock: Clock;
  readonly maxConnections: number;
  /** 0: off. */
  readonly maxConnectionsPerIp: number;
}

/** Counts connections from the first check of their handshake until they end. */
export class ConnectionLimits {
  readonly #options: LimitOptions;
  readonly #byIp = new Map<string, number>();
  readonly #failures = new Map<string, { count: number; until: number }>();
  #taken = 0;
  #pending = 0;

  constructor(options: LimitOptions) {
    this.#options = options;
  }

  /** Takes a place for a connection from `ip`, to be given back by {@link release}, or says why there is none. */
  take(ip: string): 'overloaded' | 'rate-limited' | undefined {
    const { maxConnections, maxConnectionsPerIp } = this.#options;
    if (this.#taken >= maxConnections || this.#pending >= MAX_PENDING_HANDSHAKES) return 'overloaded';
    if (this.#failures.size > 0 && this.failedTooOften(ip)) return 'rate-limited';
    if (maxConnectionsPerIp > 0) {
      const count = this.#byIp.get(ip) ?? 0;
      if (count >= maxConnectionsPerIp) return 'rate-limited';
      this.#byIp.set(ip, count + 1);
    }
    this.#taken += 1;
    this.#pending += 1;
    return undefined;
  }

  /** The handshake was decided; the place stays taken. */
  settle(): void {
    this.#pending -= 1;
  }

  release(ip: string): void {
    this.#taken -= 1;
    if (this.#options.maxConnectionsPerIp === 0) return;
    const count = (this.#byIp.get(ip) ?? 1) - 1;
    if (count > 0) this.#byIp.set(ip, count);
    else this.#byIp.delete(ip);
  }

  /** A token from `ip` failed. Loopback is not held against anyone: a proxy there may speak for every user. */
  recordFailure(ip: string): void {
    if (ip === '::1' || ip.startsWith('127.')) return;
    const now = this.#options.clock.monotonic();
    const known = this.#failures.get(ip);
    if (known !== undefined && now < known.until) {
      known.count += 1;
      return;
    }
    this.#failures.delete(ip);
    if (this.#failures.size >= MAX_REMEMBERED_ADDRESSES) {
      const oldest = this.#failures.keys().next().value;
      if (oldest !== undefined) this.#failures.delete(oldest);
    }
    this.#failures.set(ip, { count: 1, until: now + FAILURE_WINDOW_MS });
  }

  /** Whether so many tokens from `ip` failed lately that its next ones are not looked at. */
  failedTooOften(ip: string): boolean {
    const known = this.#failures.get(ip);
    if (known === undefined) return false;
    if (this.#options.clock.monotonic() < known.until) return known.count >= MAX_FAILURES_PER_WINDOW;
    this.#failures.delete(ip);
    return false;
  }
}
