import { useEffect, useRef, useState, useSyncExternalStore } from 'react';
import type { AnyEvents, Client, Listenable, MessageInfo, State } from './types.ts';

const NO_CLIENT: State = { status: 'closed', reason: 'new' };
const nothing = (): void => undefined;

/**
 * A client for as long as the component is mounted. `create` runs after the first render, and again when one of `deps` changes;
 * the previous client is then closed. Undefined in the first render and on a server.
 */
export function useLingxiClient<E extends object = AnyEvents>(
  create: () => Client<E>,
  deps: readonly unknown[],
): Client<E> | undefined {
  const [client, setClient] = useState<Client<E>>();
  useEffect(() => {
    const created = create();
    setClient(created);
    return () => {
      created.close();
      setClient(undefined);
    };
  }, deps);
  return client;
}

/** The state of a client; the component renders again when it changes. */
export function useLingxi<E extends object = AnyEvents>(client: Client<E> | undefined): State {
  const read = (): State => client?.state ?? NO_CLIENT;
  return useSyncExternalStore(client?.subscribe ?? (() => nothing), read, read);
}

/** Calls the newest `listener` with each message of a type, while the component is mounted. */
export function useLingxiEvent<E extends object, K extends keyof Listenable<E> & string>(
  client: Client<E> | undefined,
  type: K,
  listener: (data: Listenable<E>[K], info: MessageInfo) => unknown,
): void {
  const newest = useRef(listener);
  useEffect(() => {
    newest.current = listener;
  });
  useEffect(() => client?.on(type, (data, info) => newest.current(data, info)), [client, type]);
}
