import type { Bus } from '../../src/cluster/bus.ts';
import { isHit } from './network.ts';
import type { Random } from './random.ts';
import type { NodeClock, Scheduler } from './scheduler.ts';
import type { StoreLine } from './store-line.ts';

/** One node's connection to the bus. */
export interface BusEnd {
  readonly line: StoreLine;
  readonly clock: NodeClock;
  readonly random: Random;
}

interface Listener extends BusEnd {
  readonly handler: (text: string) => void;
}

/**
 * Pub/sub of the simulated Redis. A text travels over the line of its sender, which may lose, delay or double it like any call.
 * Then it travels over the line of its receiver. The bus keeps nothing for a node that is cut off.
 */
export class SimulatedBus {
  readonly #scheduler: Scheduler;
  readonly #listeners = new Map<string, Listener>();

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  /** The bus as one node sees it. */
  of(end: BusEnd): Bus {
    return {
      publish: (topic, text) => end.line.publish(() => this.#deliver(topic, text)),
      subscribe: (topic, handler) => {
        this.#listeners.set(topic, { ...end, handler });
        return Promise.resolve();
      },
    };
  }

  #deliver(topic: string, text: string): void {
    const listener = this.#listeners.get(topic);
    if (listener === undefined || !listener.line.isReady) return;
    const { line, clock, random, handler } = listener;
    const { lostReplies, doubled, late } = line.quality;
    if (isHit(random, lostReplies)) return;
    for (let copies = isHit(random, doubled) ? 2 : 1; copies > 0; copies -= 1) {
      const delay = isHit(random, late) ? random.int(200, 2500) : random.int(1, 2);
      this.#scheduler.schedule(this.#scheduler.now + delay, () => !line.cut && handler(text), clock);
    }
  }
}
