import { Value } from '../shared/value.ts';
import { ask, askedWaitMs, type Problem } from './ask.ts';
import { noteReply } from './live.ts';

export interface Polled<T> {
  /** The last good answer, and its path. */
  readonly answer: { readonly path: string; readonly body: T; readonly at: number } | undefined;
  /** Why the newest request has no answer; undefined if it has one. */
  readonly problem: Problem | undefined;
}

export interface PollerOptions<T> {
  readonly key: string;
  readonly everyMs: number;
  /** Undefined if the answer is invalid. */
  readonly read: (body: unknown) => T | undefined;
}

const LONGEST_BACKOFF_MS = 8_000;

/**
 * Requests one path again and again: only after the last answer is drawn, at most once per `everyMs`, and not while the page is
 * hidden.
 */
export class Poller<T> {
  readonly state = new Value<Polled<T>>({ answer: undefined, problem: undefined });
  readonly #options: PollerOptions<T>;
  readonly #controller = new AbortController();
  #path: string | undefined;
  #isPaused = false;
  /** The next request, if it only waits for its time. */
  #wake: (() => void) | undefined;

  constructor(options: PollerOptions<T>) {
    this.#options = options;
    void this.#run();
  }

  /** From now on requests this path. While paused, it sends one request and then waits. */
  follow(path: string, isPaused = false): void {
    if (path === this.#path && isPaused === this.#isPaused) return;
    this.#path = path;
    this.#isPaused = isPaused;
    this.#wake?.();
  }

  /** Sends a request at once. */
  refresh(): void {
    this.#wake?.();
  }

  stop(): void {
    this.#controller.abort();
    this.#wake?.();
  }

  async #run(): Promise<void> {
    const { signal } = this.#controller;
    const { everyMs } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      await whenVisible(signal);
      const path = this.#path;
      if (path === undefined) {
        await this.#pause(undefined);
        continue;
      }
      const startedAt = performance.now();
      const problem = await this.#askOnce(path);
      if (signal.aborted) return;
      failures = problem === undefined ? 0 : failures + 1;
      await drawn();
      const asked = askedWaitMs(problem);
      const backoffMs = failures === 0 ? 0 : Math.min(everyMs * 2 ** failures, LONGEST_BACKOFF_MS);
      const leastMs = Math.max(everyMs - (performance.now() - startedAt), asked, 0);
      // A new path also waits for its time.
      const isDone = problem === undefined && path === this.#path && this.#isPaused;
      await this.#pause(isDone ? undefined : Math.max(leastMs, backoffMs), leastMs);
    }
  }

  async #askOnce(path: string): Promise<Problem | undefined> {
    const { key, read } = this.#options;
    const reply = await ask(path, { key, signal: this.#controller.signal });
    if (this.#controller.signal.aborted) return undefined;
    const body = reply.ok ? read(reply.body) : undefined;
    const problem: Problem | undefined = reply.ok
      ? body === undefined
        ? { kind: 'strange' }
        : undefined
      : reply.problem;
    const answer = body === undefined ? this.state.now.answer : { path, body, at: Date.now() };
    this.state.set({ answer, problem });
    noteReply(problem);
    return problem;
  }

  /** Waits `ms`, or without end. Another call may end the wait, but not before `leastMs`. */
  async #pause(ms: number | undefined, leastMs = 0): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const since = performance.now();
    await new Promise<void>((resolve) => {
      if (ms !== undefined) timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        const restMs = this.#controller.signal.aborted ? 0 : leastMs - (performance.now() - since);
        timer = setTimeout(resolve, Math.max(restMs, 0));
      };
    });
    this.#wake = undefined;
  }
}

function whenVisible(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (document.visibilityState !== 'visible' && !signal.aborted) return;
      document.removeEventListener('visibilitychange', look);
      signal.removeEventListener('abort', look);
      resolve();
    };
    document.addEventListener('visibilitychange', look);
    signal.addEventListener('abort', look);
    look();
  });
}

/** Resolves when the next frame is on the screen. A hidden tab draws none. */
function drawn(): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      document.removeEventListener('visibilitychange', done);
      resolve();
    };
    document.addEventListener('visibilitychange', done);
    requestAnimationFrame(() => requestAnimationFrame(done));
  });
}
