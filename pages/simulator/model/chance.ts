import { Random } from '../../../test/simulation/random.ts';
import { type Action, SLOTS, USERS } from './actions.ts';
import { TICK_MS } from './link.ts';

const FAULT_SHARE = 0.3;
const PAUSE_TICKS = { from: 4, to: 50 } as const;
/** In ticks: mostly too short for a node to look dead, sometimes much longer. */
const SHORT = { from: 200 / TICK_MS, to: 7500 / TICK_MS } as const;
const LONG = { from: 7500 / TICK_MS, to: 20_000 / TICK_MS } as const;
const STREAM = 0x5bd1e995;

interface Due {
  readonly tick: number;
  readonly action: Action;
}

/** Draws events and their ends from the seed. */
export class Chance {
  isOn = false;
  readonly #random: Random;
  #next = 0;
  /** The action that ends a fault. */
  #due: Due[] = [];

  constructor(seed: number) {
    this.#random = new Random(seed ^ STREAM);
  }

  switch(isOn: boolean, tick: number): void {
    this.isOn = isOn;
    this.#next = tick;
  }

  /** The events of this tick. A fault that has begun ends, even if chance is off. */
  draw(tick: number): readonly Action[] {
    const over = this.#due.filter((due) => due.tick <= tick);
    this.#due = this.#due.filter((due) => due.tick > tick);
    const actions = over.map(({ action }) => action);
    if (!this.isOn || tick < this.#next) return actions;
    this.#next = tick + this.#random.int(PAUSE_TICKS.from, PAUSE_TICKS.to);
    const action = this.#random.chance(FAULT_SHARE) ? this.#fault(tick) : this.#move();
    return [...actions, action];
  }

  #move(): Action {
    const random = this.#random;
    const user = random.pick(USERS);
    const kind = random.weighted({ connect: 5, silent: 2, speak: 3, close: 2, tab: 2, logout: 1 });
    return kind === 'connect' ? { kind, user, node: random.pick(SLOTS) } : { kind, user };
  }

  #fault(tick: number): Action {
    const random = this.#random;
    const node = random.pick(SLOTS);
    const length = random.chance(0.7) ? SHORT : LONG;
    const over = tick + random.int(length.from, length.to);
    const until = (action: Action): void => void this.#due.push({ tick: over, action });
    const weights = {
      kill: 3,
      freeze: 3,
      cut: 3,
      wipe: 2,
      failover: 3,
      'stop-sql': 2,
      'step-store': 1,
      'step-node': 1,
    };
    const kind = random.weighted(weights);
    switch (kind) {
      case 'kill':
        until({ kind: 'start', node });
        return { kind, node };
      case 'freeze':
        until({ kind: 'thaw', node });
        return { kind, node };
      case 'cut':
        until({ kind: 'join', node });
        return { kind, node };
      case 'stop-sql':
        until({ kind: 'start-sql' });
        return { kind };
      case 'step-store':
        return { kind, hours: random.pick([8, -8]) };
      case 'step-node':
        return { kind, node, hours: random.pick([8, -1]) };
      default:
        return { kind };
    }
  }
}
