import type { CloseCause } from '../protocol/close-codes.ts';
import type { DropReason } from '../protocol/delivery.ts';
import type { ClientMessage } from '../protocol/frames.ts';
import type { ClientConnection } from './client-connection.ts';

/** What a {@link ConnectionManager} tells its listeners, by name. */
export interface ManagerEvents {
  connected: { readonly connection: ClientConnection };
  disconnected: {
    readonly connection: ClientConnection;
    readonly cause: CloseCause;
    readonly code: number;
    readonly reason: string;
  };
  /** Every client message of a type that the protocol does not know: the application's. Also those with a handler. */
  message: { readonly connection: ClientConnection; readonly message: ClientMessage };
  dropped: { readonly connection: ClientConnection; readonly count: number; readonly reason: DropReason };
}

/** It may be an async function: what it answers is looked at only to hear of its rejection. */
type Listener<Payload> = (payload: Payload) => unknown;

/** Typed listeners of one owner. A listener that throws, or rejects, does not keep the others from being told. */
export class Listeners<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<Listener<never>>>();
  readonly #failed: (error: unknown) => void;

  constructor(failed: (error: unknown) => void) {
    this.#failed = failed;
  }

  /** Answers how to unsubscribe. */
  on<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    listeners.add(listener);
    this.#listeners.set(name, listeners);
    return () => listeners.delete(listener);
  }

  has(name: keyof Events): boolean {
    return (this.#listeners.get(name)?.size ?? 0) > 0;
  }

  emit<Name extends keyof Events>(name: Name, payload: Events[Name]): void {
    const listeners = this.#listeners.get(name) as Set<Listener<Events[Name]>> | undefined;
    if (listeners === undefined) return;
    for (const listener of listeners) {
      try {
        const answer = listener(payload);
        if (answer instanceof Promise) answer.catch(this.#failed);
      } catch (error) {
        this.#failed(error);
      }
    }
  }
}
