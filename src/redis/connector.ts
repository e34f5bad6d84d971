import { createConnection, isIP } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { AbstractConnector } from 'ioredis';
import { type Clock, sleep } from '../lib/clock.ts';
import type { HostAndPort } from './url.ts';

export interface ConnectorOptions {
  readonly clock: Clock;
  /** Finds out where the master is now. Rejects with a sentence. */
  readonly findMaster: () => Promise<HostAndPort>;
  readonly tls: boolean;
  /** Whether a search that failed is repeated: once the first connection was there. */
  readonly mayRetry: () => boolean;
}

/** How long a connection that is given up may take to end in good order, which one to a frozen server never does. */
export const DISCONNECT_TIMEOUT_MS = 100;
/** Longest pause between two tries: with one try at a server that hangs, a new master is found within the 2 s of rule PR10. */
const MAX_RECONNECT_DELAY_MS = 250;

/** Pause before the try with this number, 1 being the first. */
export function reconnectDelay(attempt: number): number {
  return Math.min(50 * attempt, MAX_RECONNECT_DELAY_MS);
}

/** Makes every connection of a client one to the present master, found anew each time. */
export function masterConnector(options: ConnectorOptions): new () => AbstractConnector {
  return class MasterConnector extends AbstractConnector {
    constructor() {
      super(DISCONNECT_TIMEOUT_MS);
    }

    /** Asked with INFO of the new connection: what was found may be about to learn that it is no master any more. */
    override check(info: { readonly role?: string }): boolean {
      return info.role === undefined || info.role === 'master';
    }

    override async connect(
      emit: (event: string, error: Error) => void,
    ): Promise<ReturnType<typeof createConnection>> {
      this.connecting = true;
      const address = await this.#find(emit);
      const stream = options.tls
        ? connectTls({ ...address, ...(isIP(address.host) === 0 ? { servername: address.host } : {}) })
        : createConnection(address);
      stream.once('error', (error: Error) => {
        this.firstError = error;
      });
      this.stream = stream;
      return stream;
    }

    /** A connector that rejects ends its client for good, so it searches on until the client is closed. */
    async #find(emit: (event: string, error: Error) => void): Promise<HostAndPort> {
      for (let attempt = 1; ; attempt += 1) {
        try {
          const address = await options.findMaster();
          if (this.connecting) return address;
        } catch (error) {
          if (!options.mayRetry()) throw error;
          emit('error', error instanceof Error ? error : new Error(String(error)));
        }
        if (!this.connecting) throw new Error('Connection is closed.');
        await sleep(options.clock, reconnectDelay(attempt));
      }
    }
  };
}
