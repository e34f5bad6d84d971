import { useEffect, useRef } from 'preact/hooks';
import { Poller, type PollerOptions } from './poller.ts';

/** One poller for the lifetime of a component. */
export function usePoller<T>(options: PollerOptions<T>): Poller<T> {
  const kept = useRef<Poller<T>>(undefined);
  kept.current ??= new Poller(options);
  const poller = kept.current;
  useEffect(() => () => poller.stop(), [poller]);
  return poller;
}
