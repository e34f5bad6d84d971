const INTERVAL_MS = 5;

/** Measures how long this program's own loop was blocked, so that its own stalls do not count against the product. */
export class LoopWatch {
  #last = performance.now();
  #worst = 0;
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.#timer = setInterval(() => this.#look(), INTERVAL_MS);
  }

  /** The longest time in ms since the last call. */
  takeWorst(): number {
    this.#look();
    const worst = this.#worst;
    this.#worst = 0;
    return worst;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = performance.now();
    this.#worst = Math.max(this.#worst, now - this.#last - INTERVAL_MS);
    this.#last = now;
  }
}
