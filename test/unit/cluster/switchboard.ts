import type { Bus } from '../../../src/cluster/bus.ts';

/** Pub/sub between nodes of one process: as Redis, at most once and to whoever listens. */
export class Switchboard implements Bus {
  readonly #handlers = new Map<string, (text: string) => void>();
  /** Whoever publishes is told that the way is cut. */
  cut = false;
  /** What is published reaches nobody. */
  lossy = false;
  readonly published: { readonly topic: string; readonly text: string }[] = [];

  publish(topic: string, text: string): Promise<void> {
    if (this.cut) return Promise.reject(new Error('the way is cut'));
    this.published.push({ topic, text });
    if (!this.lossy) this.#handlers.get(topic)?.(text);
    return Promise.resolve();
  }

  subscribe(topic: string, handler: (text: string) => void): Promise<void> {
    this.#handlers.set(topic, handler);
    return Promise.resolve();
  }
}
