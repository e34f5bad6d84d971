import type { Counters } from '../metrics/counters.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';
import type { ClientMessage } from '../protocol/frames.ts';
import type { ClientConnection } from './client-connection.ts';
import type { Listeners, ManagerEvents } from './events.ts';

/** Handles client messages of one type. It may be an async function: its rejection is logged. */
export type MessageHandler = (received: ManagerEvents['message']) => unknown;

/** Stores messages that have no handler in this process. */
export interface InboundStore {
  /**
   * Accepts a message to write later, and counts the result. `text` is the whole message as the client sent it. Returns an error
   * code if it refuses at once. The connection gets a later refusal.
   */
  take(connection: ClientConnection, message: ClientMessage, text: string): ErrorCode | undefined;
}

export interface InboundOptions {
  readonly listeners: Listeners<ManagerEvents>;
  readonly store: InboundStore | undefined;
  readonly counters: Pick<Counters, 'inbound'>;
  /** Called if a handler threw or rejected. */
  readonly failed: (error: unknown) => void;
}

/**
 * Delivers client messages of the application's types. All listeners of `message` get them. Then the handler of the type gets the
 * message, or else the store. If there is neither, the client gets an `error` frame.
 */
export class Inbound {
  readonly #options: InboundOptions;
  readonly #handlers = new Map<string, MessageHandler>();

  constructor(options: InboundOptions) {
    this.#options = options;
  }

  handle(type: string, handler: MessageHandler): () => void {
    if (typeof type !== 'string' || typeof handler !== 'function')
      throw new TypeError('handle needs the type of a message as a string, and a function');
    if (type === 'ping') throw new TypeError('the server answers "ping" itself: no handler would get it');
    if (this.#handlers.has(type)) throw new Error(`messages of the type "${type}" have a handler`);
    this.#handlers.set(type, handler);
    return () => {
      if (this.#handlers.get(type) === handler) this.#handlers.delete(type);
    };
  }

  take(
    connection: ClientConnection,
    { message, text }: { readonly message: ClientMessage; readonly text: string },
  ): void {
    const { listeners, store, counters } = this.#options;
    listeners.emit('message', { connection, message });
    const handler = this.#handlers.get(message.type);
    if (handler !== undefined) {
      counters.inbound.handled += 1;
      return this.#run(handler, { connection, message });
    }
    if (store !== undefined) {
      const refusal = store.take(connection, message, text);
      if (refusal !== undefined) connection.refuse('message', refusal, message.type);
      return;
    }
    // An application that listens to every message handles all types.
    if (listeners.has('message')) counters.inbound.handled += 1;
    else {
      counters.inbound.unhandled += 1;
      connection.refuse('message', 'unhandled-type', message.type);
    }
  }

  #run(handler: MessageHandler, received: ManagerEvents['message']): void {
    const { failed } = this.#options;
    try {
      const answer = handler(received);
      if (answer instanceof Promise) answer.catch(failed);
    } catch (error) {
      failed(error);
    }
  }
}
