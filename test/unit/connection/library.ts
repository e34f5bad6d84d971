import {
  type ClientConnection,
  ConnectionManager,
  FakeClock,
  type ManagerOptions,
  type Registration,
} from '../../../src/index.ts';
import { FakeSocket } from '../../support/fake-socket.ts';

/** A manager as a user of the library creates it, on a clock that stands still. */
export interface Library {
  readonly clock: FakeClock;
  readonly manager: ConnectionManager;
  /** Registers a new socket with the defaults of a test and the given changes. */
  connect(changed?: Partial<Registration>, socket?: FakeSocket): Connected;
}

export interface Connected {
  readonly socket: FakeSocket;
  readonly connection: ClientConnection;
}

/** Several managers may share one clock. */
export function openLibrary(options: ManagerOptions = {}, clock = new FakeClock()): Library {
  const manager = new ConnectionManager({ clock, ...options });
  manager.start();
  let last = 0;
  return {
    clock,
    manager,
    connect(changed = {}, socket = new FakeSocket()) {
      last += 1;
      const registration: Registration = {
        userId: 7,
        username: '玩家7',
        connectionId: `c${last}`,
        epoch: 1000 + last,
        period: 1000,
        resumed: false,
        ip: '192.0.2.1',
        protocol: 'seed',
        ...changed,
      };
      const connection = manager.register(registration, socket);
      return { connection: socket.attach(connection), socket };
    },
  };
}

export const PING = '{"type":"ping","timestamp":1767225600000}';

/** The counted losses, by reason. */
export function losses(manager: ConnectionManager): number {
  return Object.values(manager.counters.dropped).reduce((sum, count) => sum + count, 0);
}
