import {
  type ComputedRef,
  computed,
  getCurrentScope,
  onScopeDispose,
  type ShallowRef,
  shallowRef,
} from 'vue';
import { createClient } from './index.ts';
import type { AnyEvents, Client, ClientOptions, Listenable, State } from './types.ts';

/** A client as a Vue component uses it. */
export interface VueClient<E extends object> {
  readonly client: Client<E>;
  readonly state: Readonly<ShallowRef<State>>;
  readonly isOpen: ComputedRef<boolean>;
  /** As {@link Client.on}, until the component is gone. */
  readonly on: Client<E>['on'];
  /** The data of the newest message of this type; undefined before the first. */
  readonly newest: <K extends keyof Listenable<E> & string>(
    type: K,
  ) => Readonly<ShallowRef<Listenable<E>[K] | undefined>>;
  readonly send: Client<E>['send'];
}

/**
 * A connection for a component, or for any effect scope of Vue 3.
 *
 * @param source a client that others use too, which stays open; or options, and then this function makes a client that closes
 * with the component. On a server that renders pages, call it in `onMounted`.
 */
export function useLingxi<E extends object = AnyEvents>(source: Client<E> | ClientOptions): VueClient<E> {
  const isShared = 'subscribe' in source;
  const client = isShared ? source : createClient<E>(source);
  const state = shallowRef(client.state);
  const stops = new Set([
    client.subscribe(() => {
      state.value = client.state;
    }),
  ]);
  const on: Client<E>['on'] = (type, listener, options) => {
    const remove = client.on(type, listener, options);
    const stop = (): void => {
      stops.delete(stop);
      remove();
    };
    stops.add(stop);
    return stop;
  };
  if (getCurrentScope())
    onScopeDispose(() => {
      for (const stop of stops) stop();
      if (!isShared) client.close();
    });
  return {
    client,
    state,
    isOpen: computed(() => state.value.status === 'open'),
    on,
    newest<K extends keyof Listenable<E> & string>(type: K) {
      const ref = shallowRef<Listenable<E>[K]>();
      on(type, (data) => {
        ref.value = data;
      });
      return ref;
    },
    send: client.send,
  };
}
