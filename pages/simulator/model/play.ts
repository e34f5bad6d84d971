import { checkStep } from '../../../test/simulation/checks.ts';
import { Deployment } from '../../../test/simulation/deployment.ts';
import type { Fault } from '../../../test/simulation/faults.ts';
import { Random } from '../../../test/simulation/random.ts';
import { type Action, SLOTS, USERS } from './actions.ts';
import { Book } from './book.ts';
import { brokenRule } from './broken-rules.ts';
import { Chance } from './chance.ts';
import { Faults } from './faults.ts';
import { type Entry, type Told, toldBy } from './history-log.ts';
import { MAX_PRESSES, MAX_TICKS, type Plan, type Press, TICK_MS } from './link.ts';
import { Players } from './players.ts';

/** The nodes start this long before the history. */
export const START_MS = 3000;
/** All users connect within this time. */
const ARRIVAL_TICKS = 40;
const COPY_EVERY_TICKS = 20;
const RULES = { policy: 'replace', loginResetsTime: true, lastSeenTtlMs: 86_400_000 } as const;

/** Waits one turn of the loop, in which every promise that can settle has settled. */
export type Turn = () => Promise<void>;

/** One history: nodes, users and stores, the faults, and the ledger. */
export class Play {
  readonly plan: Plan;
  readonly deployment: Deployment;
  readonly book: Book;
  readonly faults: Faults;
  readonly players: Players;
  readonly chance: Chance;
  readonly log: Entry[] = [];
  /** The technical trace of the simulator. */
  readonly trace: string[] = [];
  /** The actions so far, in the order of time. */
  readonly presses: Press[] = [];
  tick = 0;
  readonly #arrivals: readonly Press[];
  readonly #turn: Turn;
  #planned: readonly Press[];
  #traced = 0;

  constructor(plan: Plan, turn: Turn) {
    const { seed, rule } = plan;
    this.plan = plan;
    this.#turn = turn;
    this.#planned = plan.presses;
    const random = new Random(seed);
    this.#arrivals = USERS.map((user) => ({
      tick: random.int(1, ARRIVAL_TICKS),
      action: { kind: 'connect', user, node: random.pick(SLOTS) },
    }));
    this.chance = new Chance(seed);
    const { mutation, broken } = brokenRule(rule);
    const seen: Fault[] = [];
    this.deployment = new Deployment({
      ...{ random, rules: RULES, faults: seen, mutation, broken, trace: this.trace, leaves: 0 },
      ended: (duty) => this.book.ended(duty),
    });
    this.book = new Book(this.deployment, (told) => this.#tell(told));
    this.faults = new Faults(this.deployment, seen);
    this.players = new Players(this.deployment, (slot) => this.faults.nodeOf(slot));
  }

  /** Starts the nodes. */
  async start(): Promise<void> {
    await this.#run(START_MS);
    this.faults.replicate();
  }

  get isOver(): boolean {
    return this.tick >= MAX_TICKS;
  }

  /** Actions of the plan that are still to come. */
  get planned(): readonly Press[] {
    return this.#planned;
  }

  canDo(action: Action): boolean {
    if (action.kind === 'chance-on') return !this.chance.isOn;
    if (action.kind === 'chance-off') return this.chance.isOn;
    return this.faults.canDo(action) && this.players.canDo(action);
  }

  /** A visitor acts: the later actions of the plan are dropped. Returns false if the action has no meaning now. */
  press(action: Action): boolean {
    if (this.isOver || this.presses.length >= MAX_PRESSES || !this.canDo(action)) return false;
    this.#planned = [];
    this.#pressed(action);
    return true;
  }

  /** Lets {@link TICK_MS} of simulated time pass. */
  async step(): Promise<void> {
    if (this.isOver) return;
    for (const { tick, action } of this.#arrivals) if (tick === this.tick) this.players.do(action);
    while (this.#planned[0] !== undefined && this.#planned[0].tick <= this.tick) {
      const [{ action }] = this.#planned as [Press];
      this.#planned = this.#planned.slice(1);
      if (this.canDo(action)) this.#pressed(action);
    }
    for (const action of this.chance.draw(this.tick)) if (this.canDo(action)) this.#do(action, true);
    this.tick += 1;
    await this.#run(START_MS + this.tick * TICK_MS);
    if (this.faults.promote()) this.#tell({ kind: 'promoted' });
    if (this.tick % COPY_EVERY_TICKS === 0 && !this.deployment.host.down) this.faults.replicate();
    this.#check();
    if (this.isOver) this.#tell({ kind: 'full' });
  }

  #pressed(action: Action): void {
    this.presses.push({ tick: this.tick, action });
    if (action.kind === 'chance-on' || action.kind === 'chance-off')
      this.chance.switch(action.kind === 'chance-on', this.tick);
    this.#do(action, false);
  }

  #do(action: Action, byChance: boolean): void {
    this.#tell({ kind: 'press', action, byChance });
    this.faults.do(action);
    this.players.do(action);
  }

  async #run(until: number): Promise<void> {
    const { scheduler } = this.deployment;
    await this.#turn();
    while (scheduler.runToPromises(until)) await this.#turn();
    this.#hear();
  }

  #check(): void {
    checkStep(this.deployment);
    this.deployment.strict.check();
    this.book.look(this.faults.isCalm);
    this.#hear();
  }

  /** The new lines of the trace since the last call. */
  #hear(): void {
    for (const line of this.trace.slice(this.#traced)) {
      const told = toldBy(line);
      if (told !== undefined) this.#tell(told);
    }
    this.#traced = this.trace.length;
  }

  #tell(told: Told): void {
    this.log.push({ ...told, tick: this.tick });
  }
}
