import { useLayoutEffect, useState } from 'preact/hooks';

/** A value that changes, with its subscribers. */
export class Value<T> {
  #now: T;
  readonly #listeners = new Set<() => void>();

  constructor(first: T) {
    this.#now = first;
  }

  get now(): T {
    return this.#now;
  }

  set(next: T): void {
    if (Object.is(next, this.#now)) return;
    this.#now = next;
    for (const listener of [...this.#listeners]) listener();
  }

  /** Returns a function that ends the subscription. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** The value in a component, which renders again when the value changes. */
export function useValue<T>(value: Value<T>): T {
  const [, redraw] = useState({});
  const drawn = value.now;
  useLayoutEffect(() => {
    // The value may have changed between the rendering and this subscription.
    if (!Object.is(drawn, value.now)) redraw({});
    return value.subscribe(() => redraw({}));
  }, [value]);
  return drawn;
}
