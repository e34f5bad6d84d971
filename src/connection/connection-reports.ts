import type { HeartbeatMonitor } from '../heartbeat/monitor.ts';
import { logInternalError } from '../logging/internal-error.ts';
import type { Log } from '../logging/log.ts';
import type { Counters } from '../metrics/counters.ts';
import type { Acknowledgements } from './acknowledgements.ts';
import type { ClientConnection } from './client-connection.ts';
import type { ConnectionEvent } from './connection-host.ts';
import type { ConnectionTable } from './connection-table.ts';
import type { Listeners, ManagerEvents } from './events.ts';
import type { Inbound } from './inbound.ts';
import type { ManagerObserver } from './manager-options.ts';

interface ConnectionReportsParts {
  readonly log: Log;
  readonly counters: Counters;
  readonly observer: ManagerObserver | undefined;
  readonly monitor: HeartbeatMonitor;
  readonly table: ConnectionTable;
  readonly listeners: Listeners<ManagerEvents>;
  readonly inbound: Inbound;
  readonly acknowledgements: Acknowledgements;
}

/** Handles what connections report to their manager: counts it, logs it, and passes it on to the part that needs it. */
export class ConnectionReports {
  readonly #parts: ConnectionReportsParts;

  constructor(parts: ConnectionReportsParts) {
    this.#parts = parts;
  }

  happened(connection: ClientConnection, event: ConnectionEvent): void {
    switch (event.kind) {
      case 'heartbeat':
        this.#parts.counters.heartbeats += 1;
        return;
      case 'proven-late':
        return this.#parts.observer?.provenLate?.(connection);
      case 'timed-out':
        return this.#parts.counters.detectionLag.observe(event.lagMs / 1000);
      case 'malformed':
        return this.#malformed(connection);
      case 'message':
        return this.#parts.inbound.take(connection, event);
      case 'logout-requested':
        return this.#parts.observer === undefined
          ? connection.close('logout')
          : this.#parts.observer.logoutRequested(connection);
      case 'token-offered':
        return this.#parts.observer?.tokenOffered(connection, event.token);
      case 'acknowledged':
        return this.#parts.acknowledgements.acknowledge(connection.userId, event.id);
      case 'dropped':
        return this.#dropped(connection, event);
      case 'replaced':
        this.#parts.counters.messagesReplaced += 1;
        return;
      case 'failed':
        return this.#failed(connection, event.error);
      case 'ended':
        return this.#ended(connection, event);
    }
  }

  #malformed(connection: ClientConnection): void {
    this.#parts.counters.malformedMessages += 1;
    const { userId, registration } = connection;
    this.#parts.log.debug(
      { event: 'malformed-message', userId, connectionId: registration.connectionId },
      'ignored a message that is not {"type": string, …}',
    );
  }

  #failed({ userId, registration: { connectionId } }: ClientConnection, error: unknown): void {
    logInternalError(this.#parts.log, { where: 'socket', error, fields: { userId, connectionId } });
  }

  #dropped(
    connection: ClientConnection,
    { count, reason, wasQueued }: Extract<ConnectionEvent, { readonly kind: 'dropped' }>,
  ): void {
    // Otherwise the sender got `dropped`, which is already counted.
    if (wasQueued) this.#parts.counters.messages.dropped += count;
    this.#parts.counters.dropped[reason] += count;
    const unlogged = connection.lossToLog(count);
    if (unlogged > 0) {
      const { userId, registration } = connection;
      const fields = { userId, connectionId: registration.connectionId, cause: reason, count: unlogged };
      this.#parts.log.warn({ event: 'message-dropped', ...fields }, 'messages were dropped');
    }
    this.#parts.listeners.emit('dropped', { connection, count, reason });
  }

  #ended(
    connection: ClientConnection,
    { cause, code, reason }: Extract<ConnectionEvent, { readonly kind: 'ended' }>,
  ): void {
    this.#parts.monitor.unwatch(connection);
    this.#parts.monitor.expiries.unwatch(connection);
    this.#parts.table.remove(connection);
    try {
      this.#parts.observer?.ended(connection, cause);
    } catch (error) {
      this.#failed(connection, error);
    }
    if (connection.announced) this.#parts.listeners.emit('disconnected', { connection, cause, code, reason });
  }
}
