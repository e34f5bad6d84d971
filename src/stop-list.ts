import { type Clock, sleep } from './lib/clock.ts';
import { logInternalError } from './logging/internal-error.ts';
import type { Log } from './logging/log.ts';

/**
 * The parts that a gateway stops, in this order: first the sources of new work, then the workers, then the stores that they write
 * to. SQL comes last, because presence writes to it until the end.
 */
const STOP_ORDER = [
  'descriptor watch',
  'push stream',
  'dashboard',
  'feeds',
  'server',
  'inbound',
  'operations',
  'credentials',
  'heartbeat',
  'presence',
  'settler',
  'reconciler',
  'SQL health',
  'ledger',
  'last sign of life',
  'presence store',
  'user store',
] as const;

export type Stoppable = (typeof STOP_ORDER)[number];

/** Everything in one gateway that runs and must be stopped. A part that was not started is not stopped. */
export class StopList {
  readonly #log: Log;
  readonly #stops = new Map<Stoppable, () => void | Promise<void>>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Call this as soon as `name` runs. */
  started(name: Stoppable, stop: () => void | Promise<void>): void {
    this.#stops.set(name, stop);
  }

  /** Stops all parts, one after the other. If one fails, the others are still stopped. */
  async stop(): Promise<void> {
    for (const name of STOP_ORDER) {
      const stop = this.#stops.get(name);
      this.#stops.delete(name);
      try {
        await stop?.();
      } catch (error) {
        logInternalError(this.#log, { where: 'background', error, fields: { stopping: name } });
      }
    }
  }

  /** As {@link stop}, but gives up after `ms`. Returns whether everything has stopped. */
  stopWithin(clock: Clock, ms: number): Promise<boolean> {
    return Promise.race([this.stop().then(() => true), sleep(clock, ms).then(() => false)]);
  }
}
