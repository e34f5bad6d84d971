import { countedAddress } from '../lib/counted-address.ts';

/** Largest number of handshakes that wait for credentials or presence. One more gets 503 `overloaded`. */
const MAX_PENDING_HANDSHAKES = 20_000;

interface LimitOptions {
  readonly maxConnections: number;
  /** For one IPv4 address or IPv6 /64; 0: off. */
  readonly maxConnectionsPerIp: number;
}

/** Counts connections from the first check of their handshake until they end. */
export class ConnectionPlaces {
  readonly #options: LimitOptions;
  readonly #byAddress = new Map<string, number>();
  #taken = 0;
  #pending = 0;

  constructor(options: LimitOptions) {
    this.#options = options;
  }

  /** Takes a place for a connection from `ip`, or returns why none is free. {@link release} frees it. */
  take(ip: string): 'overloaded' | 'rate-limited' | undefined {
    const { maxConnections, maxConnectionsPerIp } = this.#options;
    if (this.#taken >= maxConnections || this.#pending >= MAX_PENDING_HANDSHAKES) return 'overloaded';
    if (maxConnectionsPerIp > 0) {
      const address = countedAddress(ip);
      const count = this.#byAddress.get(address) ?? 0;
      if (count >= maxConnectionsPerIp) return 'rate-limited';
      this.#byAddress.set(address, count + 1);
    }
    this.#taken += 1;
    this.#pending += 1;
    return undefined;
  }

  /** The handshake is decided. Its place stays taken. */
  settle(): void {
    this.#pending -= 1;
  }

  release(ip: string): void {
    this.#taken -= 1;
    if (this.#options.maxConnectionsPerIp === 0) return;
    const address = countedAddress(ip);
    const count = (this.#byAddress.get(address) ?? 1) - 1;
    if (count > 0) this.#byAddress.set(address, count);
    else this.#byAddress.delete(address);
  }
}
