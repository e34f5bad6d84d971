import { createConnection, isIP } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { AbstractConnector } from 'ioredis';
import { type Clock, sleep } from '../lib/clock.ts';
import type { HostAndPort } from './url.ts';

export interface ConnectorOptions {
  readonly clock: Clock;
  /** Finds the present master. Rejects with a sentence for the operator. */
  readonly findMaster: () => Promise<HostAndPort>;
  readonly tls: boolean;
  /** Whether to repeat a failed search. True after the first connection. */
  readonly mayRetry: () => boolean;
}

/** How long an orderly close may take. A connection to a frozen server never closes in order. */
export const DISCONNECT_TIMEOUT_MS = 100;
/** Longest pause between two tries. Even after one try at a hanging server, the client finds a new master within the 2 s of rule PR10. */
const MAX_RECONNECT_DELAY_MS = 250;

/** Pause before the try with this number, 1 being the first. */
export function reconnectDelay(attempt: number): number {
  return Math.min(50 * attempt, MAX_RECONNECT_DELAY_MS);
}

/** Makes a client find the present master for each new connection. */
export function masterConnector(options: ConnectorOptions): new () => AbstractConnector {
  return class MasterConnector extends AbstractConnector {
    constructor() {
      super(DISCONNECT_TIMEOUT_MS);
    }

    /** Called with INFO of the new connection. The server may just have become a replica. */
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

    /** If a connector rejects, its client ends for good. So it searches until the client is closed. */
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
