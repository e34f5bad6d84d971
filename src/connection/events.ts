import type { CloseCause } from '../protocol/close-codes.ts';
import type { DropReason } from '../protocol/delivery.ts';
import type { ClientMessage } from '../protocol/frames.ts';
import type { ClientConnection } from './client-connection.ts';

/** The events of a {@link ConnectionManager}, by name. */
export interface ManagerEvents {
  connected: { readonly connection: ClientConnection };
  disconnected: {
    readonly connection: ClientConnection;
    readonly cause: CloseCause;
    readonly code: number;
    readonly reason: string;
  };
  /** Every client message of a type that the protocol does not know, also one that has a handler. */
  message: { readonly connection: ClientConnection; readonly message: ClientMessage };
  dropped: { readonly connection: ClientConnection; readonly count: number; readonly reason: DropReason };
}

/** A listener may be async. Only a rejection of its promise matters. */
type Listener<Payload> = (payload: Payload) => unknown;

/** Typed listeners of one owner. If a listener throws or rejects, the others still run. */
export class Listeners<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<Listener<never>>>();
  readonly #failed: (error: unknown) => void;

  constructor(failed: (error: unknown) => void) {
    this.#failed = failed;
  }

  /** Returns the function that unsubscribes. */
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
