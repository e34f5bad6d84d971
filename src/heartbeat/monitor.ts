import type { Clock, Timer } from '../lib/clock.ts';
import { Expiries } from './expiries.ts';
import { type BreakerOptions, type Holdable, MassTimeoutBreaker } from './mass-timeout-breaker.ts';
import type { ObservedTime } from './observed-time.ts';
import { OFF_WHEEL, TimeoutWheel } from './timeout-wheel.ts';

const TICK_MS = 25;
/**
 * The tick while no deadline comes within this time. Half as many ticks halve what an idle node costs. A deadline that is set
 * meanwhile is found within this time and a slot of the wheel, so within the 100 ms of rule HB4.
 */
const CALM_TICK_MS = 50;
/** If the loop was blocked for longer, the check waits one more turn, so that pending reads come first (HB5). */
const LATE_TICK_MS = 200;
/** Largest number of nodes in one tick. The rest follows in the next turn of the loop. */
const MAX_DUE_PER_TICK = 1000;

/** A node of the wheel. The monitor asks it for a decision when its deadline has passed. */
export interface Watched extends Holdable {
  /** Acts on a deadline that passed at observed time `now`. Returns true to be put back and watched further. */
  attend(now: number): boolean;
}

/** The one ticker for all deadlines of the process (rule HB4). */
export class HeartbeatMonitor {
  /** Expiries by the wall clock, on the same ticker. They also come while observed time stands still. */
  readonly expiries: Expiries;
  readonly #clock: Clock;
  readonly #time: ObservedTime;
  readonly #wheel: TimeoutWheel<Watched>;
  readonly #breaker: MassTimeoutBreaker | undefined;
  #ticker: Timer | undefined;
  #tickMs = CALM_TICK_MS;
  #pending: Timer | undefined;
  #lastTick: number;

  constructor(clock: Clock, time: ObservedTime, breaker?: BreakerOptions) {
    this.expiries = new Expiries(clock);
    this.#clock = clock;
    this.#time = time;
    this.#wheel = new TimeoutWheel(time.now());
    this.#breaker = breaker === undefined ? undefined : new MassTimeoutBreaker(breaker);
    this.#lastTick = clock.monotonic();
  }

  start(): void {
    this.#lastTick = this.#clock.monotonic();
    this.#time.turned();
    if (this.#ticker === undefined) this.#setPace();
  }

  stop(): void {
    this.#ticker?.cancel();
    this.#pending?.cancel();
    this.#ticker = undefined;
    this.#pending = undefined;
    this.#breaker?.report();
  }

  watch(node: Watched): void {
    if (node.wheelSlot === OFF_WHEEL) this.#wheel.add(node);
    else this.#wheel.reschedule(node);
  }

  unwatch(node: Watched): void {
    this.#wheel.remove(node);
  }

  #setPace(): void {
    const tickMs = this.#isNear() ? TICK_MS : CALM_TICK_MS;
    if (this.#ticker !== undefined && tickMs === this.#tickMs) return;
    this.#ticker?.cancel();
    this.#tickMs = tickMs;
    this.#ticker = this.#clock.every(tickMs, () => this.#tick());
  }

  /** Whether a deadline comes before a calm tick. */
  #isNear(): boolean {
    return this.#wheel.countUntil(this.#time.now() + CALM_TICK_MS) > 0 || this.expiries.within(CALM_TICK_MS);
  }

  #tick(): void {
    this.#setPace();
    const monotonic = this.#clock.monotonic();
    const late = monotonic - this.#lastTick > LATE_TICK_MS;
    this.#lastTick = monotonic;
    this.#time.turned();
    if (this.#pending !== undefined) return;
    if (late) this.#pending = this.#clock.defer(() => this.#judgeAfterReads(false));
    else this.#judgeAfterReads(true);
  }

  /** `mayWait`: wait one more turn if the loop was blocked since the tick. Only once: a slow loop must check too. */
  #judgeAfterReads(mayWait: boolean): void {
    this.#pending = this.#clock.defer(() => {
      if (mayWait && this.#clock.monotonic() - this.#lastTick > LATE_TICK_MS)
        return this.#judgeAfterReads(false);
      this.#pending = undefined;
      const mayExpire = this.expiries.look();
      if (this.#time.frozen) this.#breaker?.report();
      const mayTimeOut = this.#time.frozen ? false : this.#timeOut();
      if ((mayExpire || mayTimeOut) && this.#ticker !== undefined) this.#judgeAfterReads(true);
    });
  }

  /** Asks the nodes whose deadline has passed. Returns whether there may be more. */
  #timeOut(): boolean {
    const now = this.#time.now();
    this.#breaker?.inspect(this.#wheel, now);
    const handled = this.#wheel.advance(now, MAX_DUE_PER_TICK, (node) => {
      if (node.attend(now)) this.watch(node);
    });
    return handled === MAX_DUE_PER_TICK;
  }
}
