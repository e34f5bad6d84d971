import type { Random } from '../../simulation/random.ts';
import { Asking } from './asking.ts';
import { type PlayerOptions, pause } from './player.ts';
import type { Site } from './site.ts';

const LOGOUT_TRIES = 3;

/** A user with only HTTP, as on the Go server: logs in, sends heartbeats to any node, and leaves. */
export class PagePlayer {
  readonly #site: Site;
  readonly #random: Random;
  readonly #isOver: () => boolean;
  readonly #asking: Asking;

  constructor({ site, facts, random, isOver }: PlayerOptions) {
    this.#site = site;
    this.#random = random;
    this.#isOver = isOver;
    this.#asking = new Asking(site, facts);
  }

  async play(): Promise<void> {
    await this.#pause(0, this.#timeoutMs);
    while (!this.#isOver()) {
      if (!(await this.#asking.login(this.#site.pick(this.#random)))) await this.#pause(150, 500);
      else if (await this.#stay()) await this.#go();
    }
  }

  get #timeoutMs(): number {
    return this.#site.options.httpTimeoutMs;
  }

  /** False: the answer reported that the user is offline. */
  async #stay(): Promise<boolean> {
    const until = Date.now() + this.#random.int(300, 1.5 * this.#timeoutMs);
    while (Date.now() < until && !this.#isOver()) {
      await this.#pause(200, 0.3 * this.#timeoutMs);
      if (!(await this.#asking.heartbeat(this.#site.pick(this.#random)))) return false;
    }
    return true;
  }

  async #go(): Promise<void> {
    const way = this.#random.weighted({ logout: 3, silent: 2, back: 2 });
    if (way === 'back') return this.#pause(0, 0.7 * this.#timeoutMs);
    if (way === 'silent')
      return this.#isOver() ? undefined : this.#pause(1.1 * this.#timeoutMs, 1.8 * this.#timeoutMs);
    for (let attempt = 0; attempt < LOGOUT_TRIES; attempt += 1) {
      if ((await this.#asking.logout(this.#site.pick(this.#random), undefined)) !== 'unknown') break;
      await this.#pause(100, 300);
    }
    return this.#pause(0, this.#timeoutMs / 2);
  }

  #pause(from: number, to: number): Promise<void> {
    return pause(this.#random.int(Math.round(from), Math.round(to)));
  }
}
