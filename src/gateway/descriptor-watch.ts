import type { Clock, Timer } from '../lib/clock.ts';
import type { Log } from '../logging/log.ts';
import { descriptorLimit, freeDescriptors } from './descriptor-limit.ts';
import type { GatewayServer } from './gateway-server.ts';

const LOOK_INTERVAL_MS = 200;
/** With fewer free descriptors the server accepts no connection: stores, files and open sockets need them. */
const RESERVED_DESCRIPTORS = 16;
/** The server accepts connections again when this many are free, so that it does not stop again at once. */
const FREE_TO_RESUME = 48;
/** Shortest time between two log lines about it. */
const LOG_INTERVAL_MS = 60_000;

export interface DescriptorWatchOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly server: Pick<GatewayServer, 'pause' | 'resume'>;
  /** Number of descriptors that the process may open, if the system says it. */
  readonly limit: number | undefined;
  /** How many of `wanted` descriptors the process can open now. */
  free(wanted: number): number;
}

/** The watch over the descriptors of this process. */
export function watchDescriptors(
  parts: Pick<DescriptorWatchOptions, 'clock' | 'log' | 'server'>,
): DescriptorWatch {
  const { clock, log, server } = parts;
  return new DescriptorWatch({ clock, log, server, limit: descriptorLimit(), free: freeDescriptors });
}

/**
 * Stops accepting connections before the process has no descriptors left. Otherwise Bun's loop spins on a connection that
 * it cannot accept, and everything that needs a descriptor now and then fails.
 */
export class DescriptorWatch {
  readonly #options: DescriptorWatchOptions;
  #state: 'accepting' | 'paused' = 'accepting';
  #ticker: Timer | undefined;
  #loggedAt = Number.NEGATIVE_INFINITY;

  constructor(options: DescriptorWatchOptions) {
    this.#options = options;
  }

  start(): void {
    this.#ticker = this.#options.clock.every(LOOK_INTERVAL_MS, () => this.#look());
  }

  stop(): void {
    this.#ticker?.cancel();
  }

  #look(): void {
    const { server, log } = this.#options;
    if (this.#state === 'accepting') {
      if (this.#options.free(RESERVED_DESCRIPTORS) >= RESERVED_DESCRIPTORS) return;
      server.pause();
      this.#state = 'paused';
    } else if (this.#options.free(FREE_TO_RESUME) >= FREE_TO_RESUME && server.resume()) {
      this.#state = 'accepting';
      log.debug({ event: 'descriptors-exhausted', exhausted: false }, 'connections are taken again');
      return;
    }
    this.#warn();
  }

  #warn(): void {
    const { clock, log, limit } = this.#options;
    const now = clock.monotonic();
    if (now - this.#loggedAt < LOG_INTERVAL_MS) return;
    this.#loggedAt = now;
    log.warn(
      { event: 'descriptors-exhausted', exhausted: true, ...(limit === undefined ? {} : { limit }) },
      'no descriptors left: no connection is taken until some are closed; look for clients that connect and say nothing, or raise the limit (ulimit -n, LimitNOFILE)',
    );
  }
}
