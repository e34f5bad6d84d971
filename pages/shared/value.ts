import { useLayoutEffect, useState } from 'preact/hooks';

/** A value that changes, and those who want to know. */
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

  /** Returns the function that ends the subscription. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** The value, in a component that is drawn again when it changes. */
export function useValue<T>(value: Value<T>): T {
  const [, redraw] = useState({});
  const drawn = value.now;
  useLayoutEffect(() => {
    // It may have changed between the drawing and this subscription.
    if (!Object.is(drawn, value.now)) redraw({});
    return value.subscribe(() => redraw({}));
  }, [value]);
  return drawn;
}
