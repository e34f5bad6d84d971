import type { Action } from '../model/actions.ts';
import { linkOf, MAX_TICKS, type Plan, TICK_MS } from '../model/link.ts';
import { Play } from '../model/play.ts';
import { turn } from './turn.ts';

/** Time for the simulation in each frame, so that the page stays responsive. */
const FRAME_BUDGET_MS = 12;
/** A tab that was hidden does not make up for the lost time. */
const MAX_GAP_MS = 250;
/** Time between two drawings while a history fast-forwards. */
const WIND_MS = 200;
/** A step ends at the next line of the log, or after this time. */
const MAX_STEP_TICKS = 20;

export const SPEEDS = [0.25, 1, 4, 16] as const;

/** Lets simulated time pass, and shows the result. */
export class Driver {
  play: Play;
  isPlaying = false;
  speed = 1;
  /** The history fast-forwards to this tick. */
  windsTo: number | undefined;
  /** Called after each change. */
  show: () => void = () => undefined;
  #waiting: Action[] = [];
  #isBusy = false;
  #owedMs = 0;
  #last = 0;

  constructor(plan: Plan) {
    this.play = new Play(plan, turn);
  }

  /** Starts another history, or the same one again. It first fast-forwards to the tick `until`. */
  async load(plan: Plan, { until = 0, plays = false } = {}): Promise<void> {
    const play = new Play(plan, turn);
    this.play = play;
    this.#waiting = [];
    this.isPlaying = false;
    this.#isBusy = true;
    this.windsTo = until > 0 ? Math.min(until, MAX_TICKS) : undefined;
    this.show();
    await play.start();
    let shown = performance.now();
    while (this.play === play && play.tick < (this.windsTo ?? 0)) {
      await play.step();
      if (performance.now() - shown < WIND_MS) continue;
      this.show();
      shown = performance.now();
    }
    if (this.play !== play) return;
    this.windsTo = undefined;
    this.#isBusy = false;
    this.#pressWaiting();
    if (plays) this.start();
    else this.show();
  }

  start(): void {
    if (this.isPlaying || this.play.isOver) return;
    this.isPlaying = true;
    this.#owedMs = 0;
    this.#last = performance.now();
    requestAnimationFrame(() => void this.#frame());
    this.show();
  }

  pause(): void {
    this.isPlaying = false;
    this.show();
  }

  /** Goes on to the next event. */
  async step(): Promise<void> {
    if (this.#isBusy || this.isPlaying) return;
    const { play } = this;
    const told = play.log.length;
    this.#isBusy = true;
    for (let ticks = 0; ticks < MAX_STEP_TICKS && play.log.length === told; ticks += 1) await play.step();
    this.#isBusy = false;
    this.#pressWaiting();
    this.show();
  }

  press(action: Action): void {
    this.#waiting.push(action);
    if (!this.#isBusy) this.#pressWaiting();
    this.show();
  }

  get link(): string {
    const { plan, presses, tick } = this.play;
    return linkOf({ ...plan, presses }, tick);
  }

  /** Acts only between two ticks, because a history has no other times. */
  #pressWaiting(): void {
    for (const action of this.#waiting.splice(0)) this.play.press(action);
  }

  async #frame(): Promise<void> {
    const { play } = this;
    const now = performance.now();
    this.#owedMs += Math.min(now - this.#last, MAX_GAP_MS) * this.speed;
    this.#last = now;
    if (!this.#isBusy) await this.#catchUp(play, now + FRAME_BUDGET_MS);
    if (play !== this.play || !this.isPlaying) return;
    if (play.isOver) this.isPlaying = false;
    else requestAnimationFrame(() => void this.#frame());
    this.show();
  }

  async #catchUp(play: Play, until: number): Promise<void> {
    this.#isBusy = true;
    while (this.#owedMs >= TICK_MS && play === this.play && performance.now() < until) {
      await play.step();
      this.#owedMs -= TICK_MS;
      if (play === this.play) this.#pressWaiting();
    }
    if (play !== this.play) return;
    // Time that the machine cannot simulate soon enough is dropped, not added up.
    this.#owedMs = Math.min(this.#owedMs, TICK_MS * this.speed * 4);
    this.#isBusy = false;
    this.#pressWaiting();
  }
}
