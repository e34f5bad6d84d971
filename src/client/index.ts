import { Connection } from './client.ts';
import { realEnvironment } from './environment.ts';
import type { AnyEvents, Client, ClientOptions } from './types.ts';

export type { WebSocketClass, WebSocketLike } from './environment.ts';
export type {
  AnyEvents,
  Client,
  ClientOptions,
  ListenOptions,
  MessageInfo,
  ProtocolEvents,
  SendOutcome,
  State,
  Status,
  TokenReason,
} from './types.ts';

/**
 * Connects to a gateway and stays connected. `E` maps each type of message to its data.
 *
 * Throws a TypeError if the options cannot work at all: no token, no WebSocket class on this platform, or an invalid address.
 * Everything that happens later is in `state`.
 */
export function createClient<E extends object = AnyEvents>(options: ClientOptions): Client<E> {
  const client = new Connection<E>(options, realEnvironment());
  client.connect();
  return client;
}
